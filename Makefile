# Everything lives in .venv. Each target sets up what it needs first; what is up to date is not done again.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/.installed
# the first interpreter that answers and is new enough: a name on the path need not run (pyenv's do not always)
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo "$$name" && break; done)

.PHONY: help setup check test demo bench bench-captions bench-narration bench-transfer bench-language docs clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

setup: $(STAMP) ## Make .venv and install everything (3 minutes and 6 GB the first time)

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found: install one (Debian: apt-get install python3.11-venv) and run make again." >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv) and run make again." >&2; exit 1; }
	@echo "Installing into .venv (the first time: 3 minutes, 6 GB) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[starter,parity,dev]"
	@touch $@

check: $(STAMP) ## Lint, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# one thread a worker: two workers with a thread pool each would fight for the same cores
test: check ## Checks, then all tests (3 minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8

demo: $(STAMP) ## Caption the example images, narrate the example videos, transfer the language model to Swahili (fetches 80 MB)
	$(BIN)/polygraft caption examples/pictures
	$(BIN)/polygraft narrate examples/films
	$(BIN)/python -m starter_build.demo

bench: $(STAMP) ## Measure speed, and captions against controls (fetches 350 MB, trains for half an hour)
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m pip install --quiet --editable ".[build]"
	$(BIN)/python -m benchmarks.captions

bench-captions: $(STAMP) ## Measure personal captions against impersonal ones (fetches 400 MB, trains for some hours)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks.personal --sets voices --out docs
	$(BIN)/python -m benchmarks.personal --sets authors --steps 150

bench-narration: $(STAMP) ## Measure narrations of moving emoji (fetches 800 MB, trains for an hour)
	$(BIN)/python -m benchmarks.narration
	$(BIN)/python -m benchmarks.retrieval
	$(BIN)/python -m benchmarks.steps
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks.films

bench-transfer: $(STAMP) ## Measure transfer to four languages against training from nothing (fetches 200 MB, trains for hours)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks.transfer --out docs/transfer.svg

bench-language: $(STAMP) ## Measure tokenizers, mixtures, optimisers and the training loop in many languages (fetches 140 MB, trains for an hour)
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python -m benchmarks.language

docs: $(STAMP) ## Write docs/cli.md and docs/config.md from the code
	$(BIN)/python -m scripts._app.docs docs

clean: ## Remove .venv and every cache
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
