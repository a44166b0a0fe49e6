"""The starter's vocabulary in French: embedding rows and a tokenizer, on the English model's body as it is."""

from pathlib import Path

from backbone.checkpoint.model_card import ModelCard, write_card
from backbone.io.files import atomic_folder, write_json
from scripts._app.cli import remark

_METHOD = "auto"
_STEPS, _BATCH, _CONTEXT, _LR = 600, 16, 128, 4e-3


def build_french(data: Path, work: Path, out: Path, *, seed: int = 0) -> Path:
    """Transfer the starter's language model to French and train its embeddings on; the body is not touched.

    Args:
        data: where fetched packages are kept.
        work: where tokenizer, word vectors and the unfinished run are kept.
        out: the folder to write.
        seed: of what is drawn and of the order of data.
    """
    from backbone.gpt2 import Backbone
    from backbone.hf.vocabulary_checkpoint import save_vocabulary
    from backbone.training.config import TrainConfig
    from crosslingual.language_model.bits_per_byte import score_text
    from crosslingual.language_model.train import Tuning, train_language_model
    from starter_build.datasets.transfer_texts import TransferMaterial
    from starter_build.starter.transfer_starts import begin

    material = TransferMaterial(code="fr", data=data, work=work / "transfer")
    begun = begin(_METHOD, material, seed)
    model, tokenizer = begun.backbone.model, material.tokenizer

    def bits() -> float:
        return round(score_text(model, tokenizer, material.test, context=_CONTEXT).bits_per_byte, 3)

    before = bits()
    remark(f"training the embeddings, {before} bits per byte before")
    config = TrainConfig(steps=_STEPS, batch_size=_BATCH, lr=_LR, warmup=0.05, seed=seed, save_every=100)
    rows, place = material.rows(_CONTEXT), work / f"french-{seed}"
    result = train_language_model(model, tokenizer, rows, config, Tuning(train="embeddings"), folder=place)
    model.half().float()  # what the half-precision file will hold
    figures = {"before": before, "after": bits(), "steps": result.steps, "seconds": round(result.seconds), "seed": seed}
    with atomic_folder(out) as folder:
        save_vocabulary(folder, Backbone(model, tokenizer, name="starter-fr"), Backbone.from_pretrained("starter"))
        write_json(folder / "training.json", {**figures, "origins": begun.facts["origins"]})
        write_card(folder, _card(figures))
    return out


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
