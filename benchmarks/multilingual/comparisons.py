"""What is compared: tokenizers, mixtures, optimizers; models are trained by the commands, all else being the same."""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.common import cache_path, cached
from crosslingual.corpus.corpus import Corpus
from scripts._app.cli import remark
from starter_build.datasets.multilingual_texts import MultilingualMaterial
from starter_build.processes import polygraft

# mGPT's five strategies, and two more ways to cut text; options of ``polygraft tokenizer train`` by name
TOKENIZERS: dict[str, tuple[str, ...]] = {
    "default": (),
    "case": ("--strategy", "case"),
    "arithmetic": ("--strategy", "arithmetic"),
    "combined": ("--strategy", "combined"),
    "char": ("--strategy", "char"),
    "marks": ("--marks",),
    "unigram": ("--algorithm", "unigram"),
}

SEVERAL_SEEDS = ("default", "marks")  # tokenizers that are compared with every seed, the others with the first

# options of ``polygraft train language`` by name
MIXTURES: dict[str, tuple[str, ...]] = {
    "proportional": ("--mixture", "proportional"),
    "temperature 3": ("--mixture", "temperature", "--temperature", "3"),
    "unimax 4": ("--mixture", "unimax", "--max-passes", "4"),
}

OPTIMIZERS: dict[str, tuple[float, ...]] = {"adamw": (1e-3, 3e-3, 6e-3, 1.2e-2), "muon": (3e-3, 6e-3, 1.2e-2, 2.4e-2)}
"""Peak rates that are tried."""

_BALANCE = 3  # shares of bytes^(1/3)
_MODEL = ("--size", "tiny", "--context", 256)
_MUON = ("--optimizer", "muon", "--lr", "6e-3")
_SCHEDULE = ("--batch-size", "32", "--micro-batch", "16", "--schedule", "wsd", "--warmup", "0.02", "--decay", "0.35")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is trained, and how."""

    name: str  # how tables call it
    tokenizer: str  # a key of `TOKENIZERS`
    training: tuple[str, ...]  # options of ``polygraft train language`` beside those of the model and the text
    validation: bool = False  # measured on what the corpus holds out, to choose by, and not on the test documents


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """A trained model's figures."""

    name: str
    seed: int
    bits: Mapping[str, float]  # bits per byte by language
    bytes_per_token: Mapping[str, float]  # by language

    @property
    def mean(self) -> float:
        """Bits per byte, each language counting the same."""
        return sum(self.bits.values()) / len(self.bits)


@dataclass(frozen=True, kw_only=True)
class MultilingualExperiment:
    """Where runs are made."""

    world: MultilingualMaterial  # all text
    even: MultilingualMaterial  # a like part of each language
    work: Path
    vocabulary: int
    tokens: int  # that a model learns from, where tokens bound it
    minutes: float  # that a model learns for, where the clock does
    seeds: Sequence[int]
    jobs: int  # runs at once, where tokens bound them; each has a thread then

    def tokenizer(self, name: str) -> Path:
        """Return the folder of a tokenizer of `TOKENIZERS`, trained on the even part where it is missing."""
        options = ("--vocab-size", self.vocabulary, "--balance", _BALANCE, *TOKENIZERS[name])
        folder = cache_path(self.work / "tokenizers", name, Corpus.open(self.even.corpus).digest, options)
        if not folder.exists():
            polygraft("tokenizer", "train", self.even.corpus, "--out", folder, *options)
        return folder

    def tokenizers(self) -> list[RunOutcome]:
        """Train a model with each tokenizer, all on as many tokens: equal compute."""
        runs = [
            (self._of_tokens(name, name, ("--mixture", "unimax")), seed, self.even)
            for name in TOKENIZERS
            for seed in (self.seeds if name in SEVERAL_SEEDS else self.seeds[:1])
        ]
        return self._all(runs)

    def mixtures(self) -> list[RunOutcome]:
        """Train a model on each mixture of all text, all on as many tokens."""
        settings = [self._of_tokens(name, "marks", words) for name, words in MIXTURES.items()]
        return self._all([(one, seed, self.world) for one in settings for seed in self.seeds])

    def optimizers(self) -> list[RunOutcome]:
        """Train a model with each optimizer for as long, at the rate that did best on other documents."""
        found = []
        for name, rates in OPTIMIZERS.items():
            tried = [self._of_minutes(name, rate) for rate in rates]
            scores = [self.run(replace(one, validation=True), self.seeds[0], self.even).mean for one in tried]
            best = tried[scores.index(min(scores))]
            found += [self.run(best, seed, self.even) for seed in self.seeds]
        return found

    def _of_tokens(self, name: str, tokenizer: str, words: tuple[str, ...]) -> Settings:
        training = (*_MUON, *_SCHEDULE, *words, "--tokens", str(self.tokens))
        return Settings(name=name, tokenizer=tokenizer, training=training)

    def _of_minutes(self, name: str, rate: float) -> Settings:
        training = ("--optimizer", name, "--lr", f"{rate:g}", *_SCHEDULE, "--minutes", f"{self.minutes:g}")
        return Settings(name=f"{name} {rate:g}", tokenizer="marks", training=training)

    def run(self, settings: Settings, seed: int, material: MultilingualMaterial, threads: int = 0) -> RunOutcome:
        """Train and measure, or read what an earlier call has kept; a training that was interrupted goes on.

        Args:
            settings: The settings of the run.
            seed: The seed of weights and order.
            material: The corpus and the test documents.
            threads: The threads of the training; 0: as many as there are cores.
        """
        tokenizer = self.tokenizer(settings.tokenizer)
        words = (*_MODEL, *settings.training, "--seed", seed, "--val-share", 0)
        texts = [material.corpus] if settings.validation else material.tests()
        read = (Corpus.open(material.corpus).digest, tokenizer.name, material.test_digest())
        folder = cache_path(self.work / "runs", f"{settings.name}-{seed}", words, settings.validation, *read)

        def make() -> dict[str, Any]:
            remark(f"{settings.name}, seed {seed}")
            source = ("--corpus", material.corpus, "--tokenizer", tokenizer)
            polygraft("train", "language", *source, *words, "--out", folder, threads=threads)
            measured = polygraft("evaluate", "language", folder, *texts, "--by-language", threads=threads, capture=True)
            rows = {row["language"]: row for row in measured.rows() if "bytes" in row}
            outcome = RunOutcome(
                name=settings.name,
                seed=seed,
                bits={code: row["bits_per_byte"] for code, row in rows.items()},
                bytes_per_token={code: row["bytes"] / row["tokens"] for code, row in rows.items()},
            )
            shutil.rmtree(folder)
            return asdict(outcome)

        return RunOutcome(**cached(folder.with_suffix(".json"), make))

    def _all(self, runs: Sequence[tuple[Settings, int, MultilingualMaterial]]) -> list[RunOutcome]:
        # tokenizers first: two runs would make the same one at once
        for settings, *_ in runs:
            self.tokenizer(settings.tokenizer)
        threads = 1 if self.jobs > 1 else 0
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(self.run, *each, threads) for each in runs]
            return [each.result() for each in waiting]
