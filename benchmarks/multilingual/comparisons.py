"""What the benchmark compares: tokenizers, mixtures, optimisers; each with all else the same."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.multilingual.runs import RunOutcome, Settings, run
from starter_build.datasets.multilingual_texts import MultilingualMaterial
from starter_build.processes import polygraft

TOKENIZERS: dict[str, tuple[str, ...]] = {
    "default": (),
    "case": ("--strategy", "case"),
    "arithmetic": ("--strategy", "arithmetic"),
    "combined": ("--strategy", "combined"),
    "char": ("--strategy", "char"),
    "marks": ("--marks",),
    "unigram": ("--algorithm", "unigram"),
}
"""mGPT's five strategies, and two more ways to cut text; options of ``polygraft tokenizer train`` by name."""

SEVERAL_SEEDS = ("default", "marks")
"""Tokenizers that are compared with every seed, the others with the first."""

MIXTURES: dict[str, tuple[str, ...]] = {
    "proportional": ("--mixture", "proportional"),
    "temperature 3": ("--mixture", "temperature", "--temperature", "3"),
    "unimax 4": ("--mixture", "unimax", "--max-passes", "4"),
}
"""Options of ``polygraft train language`` by name."""

OPTIMIZERS: dict[str, tuple[float, ...]] = {"adamw": (1e-3, 3e-3, 6e-3, 1.2e-2), "muon": (3e-3, 6e-3, 1.2e-2, 2.4e-2)}
"""Peak rates that are tried."""

_BALANCE = 3
_MUON = ("--optimizer", "muon", "--lr", "6e-3")
_SCHEDULE = ("--batch-size", "32", "--micro-batch", "16", "--schedule", "wsd", "--warmup", "0.02", "--decay", "0.35")


@dataclass(frozen=True, kw_only=True)
class MultilingualExperiment:
    """Where runs are made."""

    world: MultilingualMaterial
    """All text."""
    even: MultilingualMaterial
    """A like part of each language."""
    work: Path
    vocabulary: int
    tokens: int
    """That a model learns from, where tokens bound it."""
    minutes: float
    """That a model learns for, where the clock does."""
    seeds: Sequence[int]
    jobs: int
    """Runs at once, where tokens bound them; each has a thread then."""

    def tokenizer(self, name: str) -> Path:
        """Return the folder of a tokenizer of `TOKENIZERS`, trained on the even part where it is missing."""
        folder = self.work / "tokenizers" / f"{name}-{self.vocabulary}"
        if not folder.exists():
            polygraft(
                "tokenizer", "train", self.even.corpus, "--out", folder, "--vocab-size", self.vocabulary,
                "--balance", _BALANCE, *TOKENIZERS[name],
            )  # fmt: skip
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
        return self._all(
            [
                (self._of_tokens(name, "marks", words), seed, self.world)
                for name, words in MIXTURES.items()
                for seed in self.seeds
            ]
        )

    def optimizers(self) -> list[RunOutcome]:
        """Train a model with each optimiser for as long, at the rate that did best on other documents."""
        found = []
        for name, rates in OPTIMIZERS.items():
            tried = {rate: self._of_minutes(name, rate) for rate in rates}
            scores = {
                rate: self._run(replace(settings, validation=True), self.seeds[0], self.even).mean
                for rate, settings in tried.items()
            }
            best = tried[min(scores, key=lambda rate: scores[rate])]
            found += [self._run(best, seed, self.even) for seed in self.seeds]
        return found

    def _of_tokens(self, name: str, tokenizer: str, words: tuple[str, ...]) -> Settings:
        training = (*_MUON, *_SCHEDULE, *words, "--tokens", str(self.tokens))
        return Settings(name=name, tokenizer=self.tokenizer(tokenizer), training=training)

    def _of_minutes(self, name: str, rate: float) -> Settings:
        training = ("--optimizer", name, "--lr", f"{rate:g}", *_SCHEDULE, "--minutes", f"{self.minutes:g}")
        return Settings(name=f"{name} {rate:g}", tokenizer=self.tokenizer("marks"), training=training)

    def _run(self, settings: Settings, seed: int, material: MultilingualMaterial, threads: int = 0) -> RunOutcome:
        return run(settings, seed, material, self.work / "runs", threads=threads)

    def _all(self, runs: Sequence[tuple[Settings, int, MultilingualMaterial]]) -> list[RunOutcome]:
        threads = 1 if self.jobs > 1 else 0
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = [pool.submit(self._run, *each, threads) for each in runs]
            return [each.result() for each in waiting]
