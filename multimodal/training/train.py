"""Trains a captioner on images and captions, and writes its metrics and model card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backbone.checkpoint import ModelCard, load_strict
from backbone.training.config import TrainConfig
from backbone.training.loop import FitResult, fit
from multimodal.batches import CaptionBatches, CaptionSet
from multimodal.captioner import Captioner
from multimodal.model.mapper import build_mapper
from multimodal.profile.profile import Context
from multimodal.profile.tensors import UserTensors
from multimodal.training.objective import CaptionObjective
from multimodal.training.validation import CaptionValidation

_SOURCES = {
    "mlp": "an MLP, ClipCap, Mokady et al. 2021",
    "transformer": "a transformer, ClipCap, Mokady et al. 2021",
    "user": "user-aware, the design of Wang et al. 2023",
}


@dataclass(frozen=True, kw_only=True)
class TrainedCaptioner:
    """A trained captioner and how it came about."""

    captioner: Captioner
    result: FitResult
    collapsed: bool  # whether it says the same about nearly all validation images
    captions: int  # how many it learned from
    images: int
    validation: int  # images held out


def train_captioner(
    captioner: Captioner,
    data: CaptionSet,
    config: TrainConfig,
    *,
    validation: CaptionSet | None = None,
    folder: Path | None = None,
    users: Sequence[Context] | None = None,
    validation_users: Sequence[Context] | None = None,
) -> TrainedCaptioner:
    """Train the mapper of ``captioner``.

    Args:
        captioner: The captioner, a fresh one or one to train on.
        data: The images and captions to learn from.
        config: How it is trained; ``eval_every`` and ``patience`` need ``validation``.
        validation: The held-out images: they choose the weights that are kept and stop a collapsed training.
        folder: Keeps the log and the state to resume from; calling again with it continues.
        users: What is shown of the author of each caption of ``data``, where the mapper knows users.
        validation_users: Likewise of ``validation``.

    Raises:
        CollapseError: the captioner says the same about nearly all validation images.
        PolygraftError: see `backbone.training.loop.fit`.
    """
    evaluate = CaptionValidation(captioner, validation, users=validation_users) if validation else None
    shown = UserTensors(users, captioner.backbone, captioner.config.past_tokens) if users is not None else None
    batches = CaptionBatches(data, captioner.backbone, captioner.config.max_tokens, shown)
    result = fit(CaptionObjective(captioner), batches, config, folder=folder, evaluate=evaluate)
    # a fresh mapper: under FSDP2 the one that was trained stays in shards, while the result is whole on every process
    mapper = build_mapper(captioner.config)
    load_strict(mapper, {name.removeprefix("mapper."): tensor for name, tensor in result.tensors.items()})
    return TrainedCaptioner(
        captioner=Captioner(captioner.encoder, captioner.backbone, mapper.eval(), captioner.config, captioner.table),
        result=result,
        collapsed=evaluate is not None and evaluate.guard.is_low(result.metrics["distinct"]),
        captions=len(data.rows),
        images=len(set(data.rows)),
        validation=len(validation.features) if validation else 0,
    )


def describe(trained: TrainedCaptioner, *, title: str, source: str) -> ModelCard:
    """Return the card of a trained captioner.

    Args:
        trained: What `train_captioner` gave.
        title: The heading of the card.
        source: Where the posts came from.
    """
    config, result = trained.captioner.config, trained.result
    limits = "It knows the kind of image and the kind of caption it was trained on, and no others."
    if trained.collapsed:
        limits += " It has collapsed: it says the same about nearly all images."
    return ModelCard(
        title=title,
        summary=(
            f"A captioner: a mapper ({_SOURCES[config.mapper]}) turns the features of an image "
            f"into {config.prefix_length} prefix vectors for a frozen language model."
        ),
        data=f"{trained.captions} captions of {trained.images} images from `{source}`.",
        use='`polygraft caption --model FOLDER a.jpg`, or `Captioner.from_pretrained(FOLDER).caption(["a.jpg"])`.',
        limits=limits,
        metrics=_metrics(trained) + f"\n\nTrained in {result.steps} steps, {result.seconds:.0f} seconds.",
    )


def _metrics(trained: TrainedCaptioner) -> str:
    if not trained.validation:
        return "Not measured: nothing was held out."
    rows = [f"| {name} | {value:.4f} |" for name, value in trained.result.metrics.items() if name != "score"]
    intro = f"On {trained.validation} held-out images (texts are compared on 256 of them at most), greedy decoding:"
    return "\n".join([intro, "", "| figure | value |", "|---|---|", *rows])
