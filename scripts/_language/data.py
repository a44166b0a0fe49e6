"""Options of `train language`, and its training and evaluation text: files, or a corpus of many languages."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.settings import check_range
from backbone.training.config import TrainConfig
from crosslingual.options import AttentionOptions, MixtureOptions, Tuning, shape
from scripts._app.cli import Device, Json, remark, stage
from scripts._app.run_folder import Training
from scripts._app.text_files import hold_out, read_documents

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone
    from backbone.training.distributed import World
    from backbone.training.sampler import Batches
    from crosslingual.corpus.corpus import Corpus

Measure = Callable[[Any], dict[str, float]]
_HELD_BYTES = 100_000  # of each language of a corpus: enough to choose weights by, and measured in seconds


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to learn from, which model, and where to keep it."""

    texts: tyro.conf.Positional[tuple[Path, ...]]
    """Files of text; `-`: standard input."""
    out: Path
    """Folder: the run while it lasts, the model once it is done."""
    corpus: str = ""
    """Folder of a corpus of many languages, instead of files: see corpus build."""
    start: Annotated[str, tyro.conf.arg(name="from")] = ""
    """Model to train on: a folder, a name on a hub, starter or starter-multilingual. Without it, training starts from
    scratch."""
    tokenizer: str = ""
    """Tokenizer of a model from scratch: a folder, a tokenizer.json, or a name on a hub."""
    size: str = "mini"
    """Size of a model from scratch: a name, or layers,width,heads such as 4,256,4."""
    context: int = 256
    """Tokens in a row of training; of a model from nothing, its positions."""
    tokens: int = 0
    """Tokens to learn from at most, beside --steps, --epochs and --minutes; 0: no bound."""
    validation: tuple[Path, ...] = ()
    """Files of text to hold out; without them --val-share of the documents."""
    val_share: float = 0.01
    """Share of the documents held out for validation; 0: none, and the last weights are kept. A corpus has its own."""
    mixture: MixtureOptions = field(default_factory=MixtureOptions)
    weights: dict[str, float] = field(default_factory=dict)
    """For --mixture weights: languages, each followed by its weight."""
    attention: AttentionOptions = field(default_factory=AttentionOptions)
    tuning: Tuning = field(default_factory=Tuning)
    training: Training = field(
        default_factory=lambda: Training(batch_size=32, micro_batch=8, lr=1e-3, eval_every=200, save_every=100)
    )
    dry_run: bool = False
    """Print the data, the number of steps and the memory that the training would need, and stop."""
    devices: int = 1
    """Of a dry run: the processes, each with a device of its own."""
    overwrite: bool = False
    """Train again where a training is finished, or start anew where one with other settings is not."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if bool(self.texts) == bool(self.corpus):
            raise UsageError(
                "give either files of text (- for standard input) or --corpus, a folder that corpus build has made"
            )
        if bool(self.start) == bool(self.tokenizer):
            raise UsageError(
                "give either --from, a model to train on, or --tokenizer, for one that begins from nothing"
            )
        if not self.start and (self.tuning.train != "all" or self.tuning.embeddings_first):
            raise UsageError("a model that begins from nothing is trained whole: leave --train all")
        if bool(self.weights) != (self.mixture.mixture == "weights"):
            raise UsageError(
                "--weights and --mixture weights go together, such as --mixture weights --weights en 2 sw 1"
            )
        if self.mixture != MixtureOptions() and not self.corpus:
            raise UsageError("--mixture is for --corpus: files of text are read as they are")
        if self.corpus and self.validation:
            raise UsageError("--validation is for files of text: a corpus holds out a part of its own")
        self._check_numbers()
        shape(self.size)

    def _check_numbers(self) -> None:
        if not 0 <= self.val_share < 1:
            raise UsageError(f"val_share is {self.val_share}, allowed is 0 up to, but not, 1")
        check_range(self, "context", 2)
        check_range(self, "tokens", 0)
        if self.devices < 1 or (self.devices > 1 and not self.dry_run):
            raise UsageError(f"devices is {self.devices}, and only --dry-run asks for more than one: use torchrun")
        if self.devices > self.training.batch_size:
            raise UsageError(
                f"batch_size {self.training.batch_size} is smaller than the {self.devices} devices: give each a row"
            )

    def bounded(self, context: int) -> TrainConfig:
        """Return how to train, with the bound that holds: the least of those given, or one pass."""
        steps = (self.training.steps, math.ceil(self.tokens / (self.training.batch_size * context)))
        return replace(self.training, steps=min(filter(None, steps), default=0)).bounded(passes=1.0)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Documents of files."""

    options: Options
    training: Sequence[str]
    held: Sequence[str]

    @classmethod
    def read(cls, options: Options) -> "Texts":
        """Read the documents to learn from and those held out; a text on both sides is held out."""
        found = read_documents(options.texts)
        if options.validation:
            held = read_documents(options.validation)
            known = set(held)
            training = [text for text in found if text not in known]
            if len(training) < len(found):
                remark(f"{len(found) - len(training)} documents left out of training: they are held out, too")
        else:
            training, held = hold_out(found, options.val_share, options.training.seed)
        if options.val_share and not held:
            remark("one document alone, so nothing is held out: give others with --validation")
        if not training:
            raise PolygraftError("no text is left to learn from: all of it is held out")
        return cls(options=options, training=training, held=held)

    def settings(self) -> dict[str, Any]:
        """Return what makes it the same data."""
        return {"data": _digest(self.training), "held-out data": _digest(self.held)}

    def held_out(self) -> dict[str, Sequence[str]]:
        """Return the documents to measure with, by language."""
        return {"": self.held} if self.held else {}

    def sample(self) -> dict[str, tuple[Sequence[str], int]]:
        """Return some documents, and the bytes there are in all, by language."""
        size = sum(len(text.encode("utf-8", "replace")) for text in self.training)
        return {"text": (list(_within(self.training, _HELD_BYTES)), size)}

    def rows(self, backbone: "Backbone", world: "World") -> "tuple[Batches, TrainConfig]":
        """Return the rows to learn from, whose tokens the first process writes into the run, and how long."""
        from crosslingual.language_model.packed_tokens import PackedTokens, pack

        path = self.options.out / "tokens.npy"
        if world.first and not path.is_file():
            stage("tokenizing the text")
            pack(self.training, backbone.tokenizer, path)
        world.barrier()
        context = min(self.options.context, backbone.context)
        return PackedTokens.open(path, context), self.options.bounded(context)


@dataclass(frozen=True, kw_only=True)
class CorpusTexts:
    """Documents of a corpus, language by language."""

    options: Options
    corpus: "Corpus"

    def settings(self) -> dict[str, Any]:
        """Return what makes it the same data."""
        training = self.options.training
        # the mixture is made for the length of the run, so a longer run reads other rows
        bounds = {"steps": training.steps, "epochs": training.epochs, "tokens": self.options.tokens}
        mixture = {"weights": self.options.weights, **asdict(self.options.mixture)}
        return {"data": self.corpus.digest, **bounds, **mixture}

    def held_out(self) -> dict[str, Sequence[str]]:
        """Return the documents to measure with, by language: the first of what the corpus holds out."""
        found = {name: list(_within(self._texts(name, "heldout"), _HELD_BYTES)) for name in self.corpus.languages}
        return {name: texts for name, texts in found.items() if texts} if self.options.val_share else {}

    def sample(self) -> dict[str, tuple[Sequence[str], int]]:
        """Return some documents, and the bytes there are in all, by language; those without text are left out."""
        sizes = {name: record.size("train").bytes for name, record in self.corpus.records.items()}
        return {
            name: (list(_within(self._texts(name, "train"), _HELD_BYTES)), size) for name, size in sizes.items() if size
        }

    def _texts(self, language: str, split: Any) -> Iterable[str]:
        return (document.text for document in self.corpus.documents(language, split))

    def rows(self, backbone: "Backbone", world: "World") -> "tuple[Batches, TrainConfig]":
        """Return the rows of the mixture, whose tokens the first process writes into the run, and how long."""
        from crosslingual.language_model.loader import count_tokens, mix_languages
        from crosslingual.language_model.token_shards import TokenShards

        folder = self.options.out / "tokens"
        if world.first:
            TokenShards.write(self.corpus, backbone.tokenizer, folder)
        world.barrier()
        shards = TokenShards.open(folder)
        context = min(self.options.context, backbone.context)
        config = self.options.bounded(context)
        budget = budget_of(config, sum(count_tokens(shards).values()), context)
        sizes = {name: float(record.size("train").bytes) for name, record in self.corpus.records.items()}
        rows = mix_languages(
            shards, context, budget, self.options.mixture, sizes=sizes, weights=self.options.weights, seed=config.seed
        )
        return rows, within_plan(config, len(rows) * context, budget, context)


def new_model(options: Options) -> tuple[Any, Callable[[], Any]]:
    """Return the tokenizer of a model from scratch, and what makes the model."""
    from backbone.hf.loading import load_tokenizer
    from crosslingual.tokenization.train import untrained_gpt2

    tokenizer = load_tokenizer(options.tokenizer)
    layers, width, heads = shape(options.size)
    return tokenizer, partial(
        untrained_gpt2, tokenizer, context=options.context, width=width, layers=layers, heads=heads
    )


def open_data(options: Options) -> Texts | CorpusTexts:
    """Return what the options say to learn from."""
    if not options.corpus:
        return Texts.read(options)
    from crosslingual.corpus.corpus import Corpus

    return CorpusTexts(options=options, corpus=Corpus.open(Path(options.corpus)))


def budget_of(config: TrainConfig, tokens: float, context: int) -> float:
    """Return the tokens that a run on a corpus of ``tokens`` reads; one pass where only the clock bounds it."""
    bounds: list[float] = [config.steps * config.batch_size * context] if config.steps else []
    bounds += [config.epochs * tokens] if config.epochs else []
    return min(bounds, default=tokens)


def within_plan(config: TrainConfig, planned: float, budget: float, context: int) -> TrainConfig:
    """Return the config that ends with the stream, where all languages are read as often as they may be before it.

    A run that only the clock bounds reads the stream again.
    """
    if not (config.steps or config.epochs):
        return config
    steps = round(min(planned, budget) / (config.batch_size * context)) or 1
    # rows are whole, so a stream of the budget's length may be some rows longer or shorter
    if planned < 0.99 * budget:
        remark(f"the text is read as often as it may be after {steps} steps: allow more with --max-passes")
    elif config.steps:
        steps = min(config.steps, round(budget / (config.batch_size * context)) or 1)
    return replace(config, steps=steps, epochs=0.0)


def measure_with(held: dict[str, Sequence[str]], backbone: "Backbone", context: int) -> Measure | None:
    """Return what measures a model on held-out documents, each language by itself and their mean.

    None where nothing is held out.
    """
    if not held:
        return None
    from crosslingual.language_model.bits_per_byte import score_text

    def measure(model: Any) -> dict[str, float]:
        bits = {
            name: score_text(model, backbone.tokenizer, texts, context=context).bits_per_byte
            for name, texts in held.items()
        }
        mean = sum(bits.values()) / len(bits)
        named = {f"bits_per_byte.{name}": value for name, value in bits.items() if name}
        return {"score": -mean, "bits_per_byte": mean, **named}

    return measure


def _within(texts: Iterable[str], limit: int) -> Iterable[str]:
    """Pass texts on until they have ``limit`` bytes."""
    done = 0
    for text in texts:
        yield text
        done += len(text.encode("utf-8", "replace"))
        if done >= limit:
            return


def _digest(documents: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(documents).encode("utf-8", "replace")).hexdigest()[:16]
