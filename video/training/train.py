"""Trains a narrator on clips, and writes its metrics and model card."""

from dataclasses import dataclass, replace
from pathlib import Path

from backbone.checkpoint import ModelCard, load_strict
from backbone.training.config import TrainConfig
from backbone.training.loop import FitResult, fit
from video.config import NarratorConfig
from video.data.clip_features import ClipSet
from video.model.projection import Projection
from video.narrator import Narrator
from video.training.objective import NarrationBatches, NarrationObjective
from video.training.validation import LEAST, NarrationValidation, draw_line

_BODIES = {
    "frozen": "a frozen language model",
    "low-rank": "a frozen language model with changes of a low rank",
    "full": "a language model that was tuned whole",
    "none": "no language model",
}
_LIMITS = {
    "retrieve": "It finds no narration that the vocabulary does not hold, and something for every video.",
    "generate": "What it writes need not be true.",
}


@dataclass(frozen=True, kw_only=True)
class TrainedNarrator:
    """A trained narrator and how it came about."""

    narrator: Narrator
    result: FitResult
    clips: int  # how many it learned from
    videos: int
    texts: int  # how many different narrations they have
    validation: int  # clips held out


def train_narrator(
    narrator: Narrator,
    data: ClipSet,
    config: TrainConfig,
    *,
    validation: ClipSet | None = None,
    folder: Path | None = None,
) -> TrainedNarrator:
    """Train the projection of ``narrator``, and what it changes in the language model; all else stays frozen.

    Args:
        narrator: Fresh, or one to train on.
        data: Clips to learn from.
        config: How; ``eval_every`` and ``patience`` need ``validation``. Texts of a batch that compete with one another
            (``loss`` batch) are those of one micro-batch of one process.
        validation: Clips of other videos: they choose the weights that are kept.
        folder: Keeps the log and the state to resume from; calling again with it continues.

    Raises:
        PolygraftError: See `backbone.training.loop.fit`.
    """
    batches = NarrationBatches(data, narrator)
    evaluate = NarrationValidation(narrator, validation) if validation else None
    result = fit(NarrationObjective(narrator, batches.vectors()), batches, config, folder=folder, evaluate=evaluate)
    # a fresh one: under FSDP2 the one that was trained stays in shards, while the result is whole on every process
    projection = Projection(narrator.config, narrator.backbone)
    learned = {name.removeprefix("projection."): tensor for name, tensor in result.tensors.items()}
    load_strict(projection, projection.state_dict() | learned)
    trained = Narrator(narrator.encoder, narrator.backbone, projection.eval(), narrator.config)
    return TrainedNarrator(
        narrator=_calibrated(trained, batches.texts, validation),
        result=result,
        clips=len(data),
        videos=data.videos,
        texts=len(batches.texts),
        validation=len(validation) if validation else 0,
    )


def _calibrated(narrator: Narrator, texts: tuple[str, ...], held: ClipSet | None) -> Narrator:
    """Return the narrator with a line between known and new moments, where there are clips to draw it by."""
    if held is None or len(held) < LEAST or narrator.config.answer != "retrieve":
        return narrator
    line = draw_line(narrator, held, texts)
    config = replace(narrator.config, novelty=(*line.weights, line.bias, line.threshold))
    return Narrator(narrator.encoder, narrator.backbone, narrator.projection, config)


def describe(trained: TrainedNarrator, *, title: str, source: str) -> ModelCard:
    """Return the card of a trained narrator.

    Args:
        trained: What `train_narrator` gave.
        title: Heading of the card.
        source: Where the clips came from.
    """
    config, result = trained.narrator.config, trained.result
    held = f"; {trained.validation} clips of other videos were held out" if trained.validation else ""
    return ModelCard(
        title=title,
        summary=_summary(config),
        data=(
            f"{trained.clips} clips of {trained.videos} videos with {trained.texts} narrations, from `{source}`{held}."
        ),
        use="`polygraft narrate VIDEO --model FOLDER --vocabulary DIR`, or `Narrator.from_pretrained(FOLDER)`.",
        limits=(
            f"It knows the kind of video and of narration it was trained on, and no others. {_LIMITS[config.answer]}"
        ),
        metrics=_metrics(trained) + f"\n\nTrained in {result.steps} steps, {result.seconds:.0f} seconds.",
    )


def _summary(config: NarratorConfig) -> str:
    through = f"pass {_BODIES[config.body]}"
    if config.answer == "generate":
        return f"A narrator that writes: frames and a question {through}, which writes the narration word by word."
    return (
        f"A narrator (VLog, Lin and Shou 2025): frames and a question {through} and become one vector, which retrieves "
        "the narration from a vocabulary."
    )


def _metrics(trained: TrainedNarrator) -> str:
    if not trained.validation:
        return "Not measured: nothing was held out."
    rows = [f"| {name} | {value:.4f} |" for name, value in trained.result.metrics.items() if name != "score"]
    intro = f"On {trained.validation} held-out clips, among the distinct narrations of these:"
    return "\n".join([intro, "", "| figure | value |", "|---|---|", *rows])
