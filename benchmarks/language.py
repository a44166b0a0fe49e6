"""python -m benchmarks.language --parts tokenizers mixtures

Compare ways to train one language model on many languages, and the training loop with others.

Seventeen languages in nine scripts: Bibles in the public domain, the help of LibreOffice, the Quran, essays.
Documents kept for tests are seen by no tokenizer and no model; bits per byte are of these, each language counting the
same. tokenizers: models with mGPT's five strategies, with vowel signs kept with their letters, and with
sentencepiece's unigram, all on as many tokens of as much text of each language. mixtures: proportional, by
temperature and UniMax, on all text. optimizers: AdamW and Muon in equal time, each at its own best of four rates.
speed: tokens a second of our loop, a plain one and the Trainer of transformers. corpus: megabytes a second and memory
of corpus build. Fetches some 140 MB of packages the first time. Interrupted, it goes on when the command is given
again: what was made and trained is kept in the work folder.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from backbone.errors import UsageError
from benchmarks.common import cell, summary
from benchmarks.multilingual.speed import Measurement
from scripts._app.cli import Json, emit, run_file

if TYPE_CHECKING:
    from benchmarks.multilingual.comparisons import MultilingualExperiment
    from benchmarks.multilingual.runs import RunOutcome

Part = Literal["tokenizers", "mixtures", "optimizers", "speed", "corpus"]

_EVEN_BYTES = 1_000_000
_SHOWN = {"mixtures": ("sw", "hi", "ja", "ko", "en", "ru")}  # the smallest four and two of the largest


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, and where to keep it."""

    parts: tuple[Part, ...] = get_args(Part)
    """What to compare."""
    vocab_size: int = 8192
    """Tokens of each tokenizer."""
    tokens: int = 1_000_000
    """That each model learns from, of tokenizers and mixtures."""
    minutes: float = 1.5
    """That each model learns for, of optimizers."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of weights and order; most tokenizers take the first."""
    jobs: int = 2
    """Trainings at once of tokenizers and mixtures, each with one thread; 1: one, with all."""
    stream_gb: float = 2.0
    """Of text that a corpus is built of; the disk holds it meanwhile, and the corpus."""
    stream_workers: tuple[int, ...] = (1, 2)
    """Processes that build it, one number after the other."""
    speed: Measurement = field(default_factory=Measurement)
    work: Path = Path("~/.cache/polygraft/benchmark/language")
    """Folder of text, tokenizers and runs."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    json: Json = False

    def __post_init__(self) -> None:
        if not (self.parts and self.seeds and self.stream_workers):
            raise UsageError("parts, seeds and stream_workers need one each at least")
        if min(self.jobs, self.tokens, self.minutes, self.stream_gb, *self.stream_workers) <= 0:
            raise UsageError("jobs, tokens, minutes, stream_gb and stream_workers must be above 0")


def main(options: Options) -> int:
    """Make, train, compare and print."""
    laboratory = _laboratory(options)
    for part in options.parts:
        match part:
            case "tokenizers":
                _print(part, laboratory.tokenizers(), options)
            case "mixtures":
                _print(part, laboratory.mixtures(), options)
            case "optimizers":
                _print(part, laboratory.optimizers(), options)
            case "speed":
                _measure_speed(laboratory, options)
            case "corpus":
                _measure_corpus(laboratory, options)
    return 0


def _laboratory(options: Options) -> "MultilingualExperiment":
    from benchmarks.multilingual.comparisons import MultilingualExperiment
    from starter_build.datasets.world import world_material

    work = options.work.expanduser()
    world = world_material(options.data.expanduser(), work / "world")
    return MultilingualExperiment(
        world=world, even=world.thinned(work / "even", _EVEN_BYTES), work=work, vocabulary=options.vocab_size,
        tokens=options.tokens, minutes=options.minutes, seeds=options.seeds, jobs=options.jobs,
    )  # fmt: skip


def _print(part: Part, outcomes: "Sequence[RunOutcome]", options: Options) -> None:
    """Print a line for each way: bits per byte on average and of some languages, bytes of a token."""
    shown = ("mean", *_SHOWN.get(part, ("en", "ru", "ar", "hi", "bn", "zh")))
    if not options.json:
        emit(f"\n{part}: bits per byte of test documents")
        emit(f"| {' | '.join(['', *shown, 'bytes a token'])} |")
        emit("|---" * (len(shown) + 2) + "|")
    for name in dict.fromkeys(outcome.name for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.name == name]
        figures = summary(own)
        size = statistics.fmean(own[0].bytes_per_token.values())
        if options.json:
            emit(json.dumps({"part": part, "name": name, "figures": figures, "bytes_per_token": size}))
        else:
            emit(f"| {' | '.join([name, *(cell(*figures[one]) for one in shown), f'{size:.2f}'])} |")


def _measure_speed(laboratory: "MultilingualExperiment", options: Options) -> None:
    from benchmarks.multilingual.speed import Setup, measure_speed, table
    from crosslingual.corpus.corpus import Corpus
    from crosslingual.language_model.packed_tokens import pack
    from crosslingual.tokenization.train import load_tokenizer

    setup = Setup(tokenizer=laboratory.tokenizer("marks"), tokens=laboratory.work / "speed.npy")
    if not setup.tokens.exists():
        documents = Corpus.open(laboratory.even.corpus).documents("en", "train")
        pack((document.text for document in documents), load_tokenizer(setup.tokenizer), setup.tokens)
    speeds = measure_speed(setup, options.speed)
    for line in [json.dumps(asdict(speed)) for speed in speeds] if options.json else ["", *table(speeds)]:
        emit(line)


def _measure_corpus(laboratory: "MultilingualExperiment", options: Options) -> None:
    from benchmarks.multilingual.stream import measure_builds

    builds = measure_builds(laboratory.world, laboratory.work, options.stream_gb * 1e9, options.stream_workers)
    if not options.json:
        emit("\n| text | processes | MB a second | MiB of the largest process |\n|---|---|---|---|")
    for one in builds:
        speed = round(one.megabytes_per_second, 1)
        if options.json:
            emit(json.dumps({"part": "corpus", **asdict(one), "megabytes_per_second": speed}))
        else:
            emit(f"| {one.bytes / 1e9:.2f} GB | {one.workers} | {speed} | {one.mebibytes:.0f} |")


if __name__ == "__main__":
    run_file(__file__)
