"""Options of `train language`: what to learn from, which model, how long."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from backbone.errors import UsageError
from backbone.training.config import TrainConfig
from crosslingual.language_model.mixture import MixtureOptions
from crosslingual.language_model.options import AttentionOptions, Tuning, shape
from scripts._app.cli import Device, Json
from scripts._app.run_folder import Training


@dataclass(frozen=True, kw_only=True)
class LanguageTraining(Training):
    """How the model is trained."""

    PASSES: ClassVar[float] = 1.0
    """Bound where none is given."""


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
    training: LanguageTraining = field(
        default_factory=lambda: LanguageTraining(batch_size=32, micro_batch=8, lr=1e-3, eval_every=200, save_every=100)
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
        self._check_corpus()
        self._check_numbers()
        shape(self.size)

    def _check_corpus(self) -> None:
        if not self.corpus:
            if self.mixture != MixtureOptions():
                raise UsageError("--mixture is for --corpus: files of text are read as they are")
        elif self.validation:
            raise UsageError("--validation is for files of text: a corpus holds out a part of its own")

    def _check_numbers(self) -> None:
        if not 0 <= self.val_share < 1:
            raise UsageError(f"val_share is {self.val_share}, allowed is 0 up to, but not, 1")
        if self.context < 2:
            raise UsageError(f"context is {self.context}, allowed is at least 2")
        if self.tokens < 0:
            raise UsageError(f"tokens is {self.tokens}, allowed is 0 or more")
        if self.devices < 1 or (self.devices > 1 and not self.dry_run):
            raise UsageError(f"devices is {self.devices}, and only --dry-run asks for more than one: use torchrun")
        if self.devices > self.training.batch_size:
            raise UsageError(
                f"batch_size {self.training.batch_size} is smaller than the {self.devices} devices: give each a row"
            )

    def bounded(self, context: int) -> TrainConfig:
        """Return how to train, with the bound that holds: the least of those given, or one pass.

        Args:
            context: tokens of a row.
        """
        asked = [steps for steps in (self.training.steps, self._steps_of(self.tokens, context)) if steps]
        return replace(self.training, steps=min(asked, default=0)).bounded()

    def _steps_of(self, tokens: float, context: int) -> int:
        return math.ceil(tokens / (self.training.batch_size * context))
