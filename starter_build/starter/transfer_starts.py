"""The ways to begin in a language: each method of transfer with what it is given, and a model from nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from crosslingual.options import AlignmentOptions, TransferOptions

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone
    from crosslingual.vocabulary_transfer.transfer import Evidence
    from starter_build.datasets.transfer_texts import TransferMaterial

SCRATCH = "from scratch"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A method and what it is given of a language."""

    options: TransferOptions
    needs: tuple[str, ...] = ()
    """Fields of `Evidence`."""


_VECTORS = ("source_vectors", "target_vectors", "dictionary")
_CLEAN = {
    "clean_dictionary": True,
    "alignment": AlignmentOptions(normalise=True, centre=True, drop_worst=0.1),
    "fallback": "multivariate",
}


def _start(init: Any, *needs: str, **options: Any) -> Start:
    return Start(options=TransferOptions(init=init, **options), needs=needs)


STARTS: dict[str, Start] = {
    "random": _start("random"),
    "mean": _start("mean"),
    "multivariate": _start("multivariate"),
    "fvt": _start("fvt", fallback="multivariate"),
    "focus": _start("focus", "token_vectors"),
    "wechsel": _start("wechsel", *_VECTORS),
    "wechsel, cleaned": _start("wechsel", *_VECTORS, **_CLEAN),
    "dict": _start("dict", "dictionary", fallback="multivariate"),
    "transtoken": _start("transtoken", "parallel", fallback="multivariate"),
    "auto": _start("auto", *_VECTORS, "parallel", "token_vectors", **_CLEAN),
}


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A model to train on, and what it cost to make."""

    backbone: "Backbone"
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)
    """Rows by origin, matches, precision of the alignment."""


def begin(name: str, material: "TransferMaterial", seed: int) -> Begun:
    """Make the model that a method begins with.

    Args:
        name: of `STARTS`, or `SCRATCH`.
        material: the language.
        seed: of rows and weights that are drawn.
    """
    from backbone.gpt2 import Backbone
    from crosslingual.vocabulary_transfer.transfer import transfer

    english = Backbone.from_pretrained("starter", device="cpu", dtype="float32")
    if name == SCRATCH:
        return Begun(backbone=_blank(english, material, seed), seconds=0.0)
    start = STARTS[name]
    options = replace(start.options, seed=start.options.seed + seed)
    backbone, report = transfer(english, material.tokenizer, options=options, evidence=_evidence(start, material))
    score = report.alignment
    facts = {"origins": dict(report.origins), "matches": report.matches, "precision": score and score.precision}
    return Begun(backbone=backbone, seconds=report.seconds, facts=facts)


def _evidence(start: Start, material: "TransferMaterial") -> "Evidence":
    from crosslingual.vocabulary_transfer.transfer import Evidence

    makers: dict[str, Callable[[], Any]] = {
        "source_vectors": lambda: material.english_vectors,
        "target_vectors": lambda: material.vectors,
        "dictionary": lambda: material.dictionary,
        "token_vectors": lambda: material.token_vectors,
        "parallel": lambda: material.parallel,
    }
    return Evidence(**{name: makers[name]() for name in start.needs})


def _blank(english: "Backbone", material: "TransferMaterial", seed: int) -> "Backbone":
    """Return an untrained model of the same shape."""
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone
    from crosslingual.tokenization.train import blank_gpt2

    seed_everything(seed)
    config = english.model.config
    model = blank_gpt2(
        material.tokenizer, context=config.n_positions, width=config.n_embd, layers=config.n_layer, heads=config.n_head
    )
    return Backbone(model, material.tokenizer, name=SCRATCH)
