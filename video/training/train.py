"""Training of a narrator: batches and objective, validation, calibration of novelty, metrics and model card."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.checkpoint import ModelCard, load_strict
from backbone.training.config import TrainConfig
from backbone.training.distributed import MeasuredCopy
from backbone.training.loop import FitResult, fit
from video.config import NarratorConfig
from video.data.clip_features import ClipSet
from video.metrics import ranks, recall
from video.model.projection import NarrationBatch, Projection
from video.narrator import Narrator
from video.vocabulary.novelty import NEIGHBOURS, CalibratedMargin
from video.vocabulary.vectors import Hits, search

LEAST = 8  # held-out clips below which no novelty detector is calibrated
_TIE = 1e-4  # where recall is equal (nothing for anybody at first), the loss decides which weights are kept
_MOST_LOSS = 100.0
_AT_ONCE = 64  # clips that are measured together
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


class NarrationBatches:
    """Clips by number, for `backbone.training.loop.fit`. Batches are as long as their longest clip and narration.

    Args:
        data: Clips with their frames.
        narrator: How it reads frames, questions and narrations.

    Attributes:
        texts: The distinct narrations, in the order of their first clips.
        digest: Names what is shown, asked and answered.
    """

    def __init__(self, data: ClipSet, narrator: Narrator) -> None:
        self._data = data
        self._narrator = narrator
        self.texts = tuple(dict.fromkeys(data.texts))
        numbers = {text: number for number, text in enumerate(self.texts)}
        self._rows = torch.tensor([numbers[text] for text in data.texts], dtype=torch.int64)
        written = narrator.config.answer == "generate"
        tokens = narrator.backbone.encode(self.texts if written else [], max_tokens=narrator.config.max_tokens)
        # 32 bits hold any id; a row a text, where there are any
        self._ids, self._lengths = tokens.ids.to(torch.int32), tokens.mask.sum(dim=1)
        digest = hashlib.sha256(f"{data.digest} {narrator.config.max_frames} {narrator.config.max_question}".encode())
        digest.update(self._ids.contiguous().numpy().data)
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._data)

    def parts(self) -> Iterator[NarrationBatch]:
        """Yield all clips in their order, some at a time."""
        for start in range(0, len(self), _AT_ONCE):
            yield self.collate(range(start, min(start + _AT_ONCE, len(self))))

    def vectors(self) -> Tensor:
        """Return the vectors of ``texts``, (N, D) float16 on the CPU; none where narrations are written."""
        return self._narrator.text_encoder.half(self.texts if self._narrator.config.answer == "retrieve" else [])

    def collate(self, indices: Sequence[int]) -> NarrationBatch:
        """Return the batch of these clips, on the CPU."""
        rows = self._rows[list(indices)]
        clips = self._narrator.batch(
            [self._data.frames(index) for index in indices], [self._data.clips[index].asked for index in indices]
        )
        if not len(self._ids):
            none = torch.zeros(len(rows), 0)
            return NarrationBatch(clips=clips, rows=rows, ids=none.long(), mask=none.bool())
        lengths = self._lengths[rows]
        width = int(lengths.max())
        return NarrationBatch(
            clips=clips, rows=rows, ids=self._ids[rows, :width].long(), mask=torch.arange(width) < lengths[:, None]
        )


class NarrationObjective(nn.Module):
    """The projection with its loss; frozen models are no submodules.

    Args:
        narrator: Its projection is trained in place.
        vocabulary: (N, D) vectors of the distinct texts of the training; (0, 0) where narrations are written.
    """

    def __init__(self, narrator: Narrator, vocabulary: Tensor) -> None:
        super().__init__()
        self.projection = narrator.projection
        self._narrator = narrator
        self._vocabulary = vocabulary.to(narrator.backbone.device)
        self._scale: Tensor | None = None

    def forward(self, batch: NarrationBatch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch and its weight, see `video.narrator.Narrator.loss`."""
        if self._narrator.config.answer == "retrieve":
            self._scale = self.projection.scale.detach()  # only here is it whole under FSDP2
        return self._narrator.loss(batch, self._vocabulary)

    def health(self) -> dict[str, float]:
        """Return the temperature of the last batch, where there is one: one that falls without end overfits."""
        return {} if self._scale is None else {"temperature": float(1 / self._scale)}


class NarrationValidation:
    """Measures a narrator in training: the ``evaluate`` of `backbone.training.loop.fit`.

    The figures are ``loss`` and ``score``, by which the best weights are kept. Where narrations are retrieved, the
    loss is that of classifying a clip's narration among all texts of the held-out clips (nats a clip, equal texts
    counting as one), ``recall_1`` and ``recall_5`` are among these, and the score is the first, with the loss deciding
    between equals. Where they are written, the loss is nats a token, and the score its negative.

    Args:
        narrator: Whose projection is trained.
        data: Held-out clips.
    """

    def __init__(self, narrator: Narrator, data: ClipSet) -> None:
        self._copy = MeasuredCopy(narrator.projection, narrator.backbone.device)
        self._narrator = Narrator(narrator.encoder, narrator.backbone, self._copy.part, narrator.config)
        self._batches = NarrationBatches(data, narrator)
        self._vectors = self._batches.vectors()
        self._retrieves = narrator.config.answer == "retrieve"
        self._figures = ("loss", "recall_1", "recall_5") if self._retrieves else ("loss",)

    def __call__(self) -> dict[str, float]:
        """Return the figures of the weights as they are; every process must call."""
        figures = self._copy.measure(self._retrieved if self._retrieves else self._written, self._figures)
        loss = min(figures["loss"], _MOST_LOSS)
        return figures | {"score": figures["recall_1"] - _TIE * loss if self._retrieves else -figures["loss"]}

    def _retrieved(self) -> dict[str, float]:
        batches = list(self._batches.parts())
        queries = torch.cat([self._narrator.query(batch.clips) for batch in batches]).cpu()
        rows = torch.cat([batch.rows for batch in batches])
        logits = queries @ self._vectors.float().T * self._narrator.projection.scale.cpu()
        found = ranks(queries, self._vectors, rows[:, None].tolist())
        loss = float(F.cross_entropy(logits, rows))
        return {"loss": loss, "recall_1": recall(found, 1), "recall_5": recall(found, 5)}

    def _written(self) -> dict[str, float]:
        total, tokens = 0.0, 0.0
        for batch in self._batches.parts():
            loss, weight = self._narrator.loss(batch, self._vectors)
            total, tokens = total + float(loss), tokens + float(weight)
        return {"loss": total / max(1.0, tokens)}


def draw_line(narrator: Narrator, held: ClipSet, texts: tuple[str, ...]) -> CalibratedMargin:
    """Calibrate the novelty detector: each held-out clip is searched with its narrations there, and without them.

    Args:
        narrator: Trained; it retrieves.
        held: Clips that it has not learned from.
        texts: What else the vocabulary holds; those of the clips are added.

    Raises:
        PolygraftError: There are no clips, or not enough texts.
    """
    with torch.no_grad():
        queries = [narrator.query(batch.clips).cpu() for batch in NarrationBatches(held, narrator).parts()]
    vocabulary = tuple(dict.fromkeys([*texts, *held.texts]))
    own = torch.tensor([vocabulary.index(text) for text in held.texts])
    hits = search(narrator.text_encoder.half(vocabulary), torch.cat(queries), NEIGHBOURS + 1)
    return CalibratedMargin.fit(hits.scores[:, :NEIGHBOURS], _without(hits, own)[:, :NEIGHBOURS])


def _without(hits: Hits, own: torch.Tensor) -> torch.Tensor:
    """Return the scores of all hits but each query's own row; where that is none of them, of all but the last."""
    kept = hits.rows != own[:, None]
    kept[kept.all(dim=1), -1] = False
    return hits.scores[kept].reshape(len(own), -1)


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
