"""Ways to begin in another language, and the starter's vocabulary in French on the English model's body."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from backbone.checkpoint import ModelCard, write_card
from backbone.io.files import atomic_folder, write_json
from crosslingual.options import AlignmentOptions, TransferOptions
from scripts._app.cli import remark
from starter_build.starter import Build

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone
    from starter_build.datasets.transfer_texts import TransferMaterial

SCRATCH = "from scratch"

_VECTORS = ("source_vectors", "target_vectors", "dictionary")
_CLEAN = {
    "clean_dictionary": True,
    "alignment": AlignmentOptions(normalise=True, centre=True, drop_worst=0.1),
    "fallback": "multivariate",
}


def _start(init: Any, *needs: str, **options: Any) -> tuple[TransferOptions, tuple[str, ...]]:
    return TransferOptions(init=init, **options), needs


# each method with its options and the fields of `Evidence` that it is given
STARTS = {
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


class Begun(NamedTuple):
    """A model to train on, and what it cost to make."""

    backbone: "Backbone"
    seconds: float
    origins: dict[str, int]  # rows by where they come from


def begin(name: str, material: "TransferMaterial", seed: int) -> Begun:
    """Make the model that a method begins with.

    Args:
        name: A key of `STARTS`, or `SCRATCH`.
        material: The text, vectors and dictionary of the language.
        seed: The seed of rows and weights that are drawn.
    """
    from backbone.gpt2 import Backbone
    from crosslingual.vocabulary_transfer.transfer import Evidence, transfer

    english = Backbone.from_pretrained("starter", device="cpu", dtype="float32")
    if name == SCRATCH:
        return Begun(_blank(english, material, seed), 0.0, {})
    options, needs = STARTS[name]
    evidence = Evidence(**{field: getattr(material, field) for field in needs})
    options = replace(options, seed=options.seed + seed)
    backbone, report = transfer(english, material.tokenizer, options=options, evidence=evidence)
    return Begun(backbone, report.seconds, {str(origin): count for origin, count in report.origins.items()})


def _blank(english: "Backbone", material: "TransferMaterial", seed: int) -> "Backbone":
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone
    from crosslingual.tokenization.train import untrained_gpt2

    seed_everything(seed)
    config = english.model.config
    model = untrained_gpt2(
        material.tokenizer, context=config.n_positions, width=config.n_embd, layers=config.n_layer, heads=config.n_head
    )
    return Backbone(model, material.tokenizer, name=SCRATCH)


_STEPS, _BATCH, _CONTEXT, _LR = 600, 16, 128, 4e-3  # half an hour on one busy core


def build_french(build: Build) -> Path:
    """Transfer the starter's language model to French and train its embeddings on; the body is not touched."""
    from backbone.gpt2 import Backbone
    from backbone.hf.stored_models import save_vocabulary
    from backbone.training.config import TrainConfig
    from crosslingual.language_model.bits_per_byte import score_text
    from crosslingual.language_model.train import Tuning, train_language_model
    from starter_build.datasets.transfer_texts import TransferMaterial

    material = TransferMaterial(code="fr", data=build.data, work=build.work / "transfer")
    seed = build.seed
    begun = begin("auto", material, seed)
    model, tokenizer = begun.backbone.model, material.tokenizer

    def bits() -> float:
        return round(score_text(model, tokenizer, material.test, context=_CONTEXT).bits_per_byte, 3)

    before = bits()
    remark(f"training the embeddings, {before} bits per byte before")
    config = TrainConfig(steps=_STEPS, batch_size=_BATCH, lr=_LR, warmup=0.05, seed=seed, save_every=100)
    rows, place = material.rows(_CONTEXT), build.work / f"french-{seed}"
    result = train_language_model(model, tokenizer, rows, config, Tuning(train="embeddings"), folder=place)
    model.half().float()  # what the half-precision file will hold
    figures = {"before": before, "after": bits(), "steps": result.steps, "seconds": round(result.seconds), "seed": seed}
    with atomic_folder(build.out) as folder:
        save_vocabulary(folder, Backbone(model, tokenizer, name="starter-fr"), Backbone.from_pretrained("starter"))
        write_json(folder / "training.json", {**figures, "origins": begun.origins})
        write_card(folder, _card(figures))
    return build.out


def _card(figures: dict[str, float]) -> ModelCard:
    return ModelCard(
        title="polygraft starter: French",
        summary="A French tokenizer and its embedding rows for the starter's English GPT-2, whose body is used as it "
        "is. Load it as `starter-fr`: what was trained on the starter fits it.",
        data="Three French Bibles in the public domain (Segond, Ostervald, Darby) and LibreOffice's help (MPL-2.0); "
        "rows begun from English ones by word vectors trained on this text, FreeDict's English-French dictionary and "
        "verses. Chapters and pages that the English model has not seen either were held out.",
        use="Trying what a transferred model does, offline.",
        limits="A small model with a body that has only read English: phrases of the Bible and of help pages.",
        metrics=f"Held-out documents: {figures['after']:.3f} bits per byte ({figures['before']:.3f} before "
        f"{figures['steps']} steps of training the embeddings).",
        command="python -m starter_build --only french",
        licence="apache-2.0",
    )
