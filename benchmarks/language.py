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

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from backbone.io.settings import check_range
from benchmarks.common import BenchmarkOptions, print_table, summary
from benchmarks.multilingual.speed import Measurement
from scripts._app.cli import run_file

if TYPE_CHECKING:
    from benchmarks.multilingual.comparisons import MultilingualExperiment, RunOutcome

Part = Literal["tokenizers", "mixtures", "optimizers", "speed", "corpus"]

_EVEN_BYTES = 1_000_000  # of each language at most, so that tokenizers are compared on like shares
_SHOWN = {"mixtures": ("sw", "hi", "ja", "ko", "en", "ru")}  # the smallest four and two of the largest


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "parts jobs tokens stream_workers", 1)
        check_range(self, "minutes stream_gb", 1e-3)


def main(options: Options) -> int:
    """Make, train, compare and print."""
    from benchmarks.multilingual.comparisons import MultilingualExperiment
    from starter_build.datasets.world import world_material

    world = world_material(options.data, options.work / "world")
    experiment = MultilingualExperiment(
        world=world, even=world.thinned(options.work / "even", _EVEN_BYTES), work=options.work,
        vocabulary=options.vocab_size, tokens=options.tokens, minutes=options.minutes, seeds=options.seeds,
        jobs=options.jobs,
    )  # fmt: skip
    for part in options.parts:
        match part:
            case "speed":
                _measure_speed(experiment, options)
            case "corpus":
                _measure_corpus(experiment, options)
            case _:
                _print(part, getattr(experiment, part)(), options)
    return 0


def _print(part: Part, outcomes: "Sequence[RunOutcome]", options: Options) -> None:
    shown = _SHOWN.get(part, ("en", "ru", "ar", "hi", "bn", "zh"))
    rows = {}
    for name in dict.fromkeys(outcome.name for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.name == name]
        figures = summary([{"mean": one.mean} | {code: one.bits[code] for code in shown} for one in own])
        rows[name] = figures | {"bytes a token": (statistics.fmean(own[0].bytes_per_token.values()), None)}
    print_table(f"{part}: bits per byte of test documents", rows, as_json=options.json)


def _measure_speed(experiment: "MultilingualExperiment", options: Options) -> None:
    from backbone.hf.loading import load_tokenizer
    from benchmarks.multilingual.speed import Setup, measure_speed
    from crosslingual.corpus.corpus import Corpus
    from crosslingual.language_model.packed_tokens import pack

    tokenizer = experiment.tokenizer("marks")
    setup = Setup(tokenizer=tokenizer, tokens=experiment.work / f"speed-{tokenizer.name}.npy")
    if not setup.tokens.exists():
        documents = Corpus.open(experiment.even.corpus).documents("en", "train")
        pack((document.text for document in documents), load_tokenizer(str(setup.tokenizer)), setup.tokens)
    print_table("training", measure_speed(setup, options.speed), head="loop", digits=2, as_json=options.json)


def _measure_corpus(experiment: "MultilingualExperiment", options: Options) -> None:
    from benchmarks.multilingual.stream import measure_builds

    rows = measure_builds(experiment.world, experiment.work, options.stream_gb * 1e9, options.stream_workers)
    print_table("corpus", rows, head="GB of text | processes", digits=1, as_json=options.json)


if __name__ == "__main__":
    run_file(__file__)
