"""Validation of a narrator during training, and calibration of its novelty detector on held-out clips."""

import torch

from backbone.training.eval_metrics import MeasuredCopy
from video.data.clip_features import ClipSet
from video.metrics import ranks, recall
from video.narrator import Narrator
from video.training.objective import NarrationBatches
from video.vocabulary.novelty import NEIGHBOURS, CalibratedMargin
from video.vocabulary.vectors import Hits, search

# Where recall is equal (nothing for anybody at first), the loss decides which weights are kept.
_TIE = 1e-4

_MOST_LOSS = 100.0


class NarrationValidation:
    """Measures a narrator in training: the ``evaluate`` of `backbone.training.loop.fit`.

    The figures are ``loss`` and ``score``, by which the best weights are kept. Where narrations are retrieved, the
    loss is that of classifying a clip's narration among all texts of the held-out clips (nats a clip, equal texts
    counting as one), ``recall_1`` and ``recall_5`` are among these, and the score is the first, with the loss deciding
    between equals. Where they are written, the loss is nats a token, and the score its negative.

    Args:
        narrator: Whose projection is trained.
        data: Held-out clips.
        batch_size: Clips at a time.
    """

    def __init__(self, narrator: Narrator, data: ClipSet, *, batch_size: int = 64) -> None:
        self._copy = MeasuredCopy(narrator.projection, narrator.backbone.device)
        self._narrator = Narrator(narrator.encoder, narrator.backbone, self._copy.part, narrator.config)
        self._batches = NarrationBatches(data, narrator)
        self._vectors = self._batches.vectors()
        self._batch_size = batch_size
        self._retrieves = narrator.config.answer == "retrieve"
        self._figures = ("loss", "recall_1", "recall_5") if self._retrieves else ("loss",)

    def __call__(self) -> dict[str, float]:
        """Return the figures of the weights as they are; every process must call."""
        figures = self._copy.measure(self._measure, self._figures)
        loss = min(figures["loss"], _MOST_LOSS)
        return figures | {"score": figures["recall_1"] - _TIE * loss if self._retrieves else -figures["loss"]}

    def _measure(self) -> dict[str, float]:
        """Return the figures but for ``score``."""
        return self._retrieved() if self._retrieves else {"loss": self._written()}

    def _retrieved(self) -> dict[str, float]:
        batches = [self._batches.collate(rows) for rows in self._chunks()]
        queries = torch.cat([self._narrator.query(batch.clips) for batch in batches]).cpu()
        rows = torch.cat([batch.rows for batch in batches])
        logits = queries @ self._vectors.float().T * self._narrator.projection.scale.cpu()
        found = ranks(queries, self._vectors, rows[:, None].tolist())
        loss = float(torch.nn.functional.cross_entropy(logits, rows))
        return {"loss": loss, "recall_1": recall(found, 1), "recall_5": recall(found, 5)}

    def _written(self) -> float:
        """Return the mean loss of a token over all clips."""
        total, tokens = 0.0, 0.0
        for rows in self._chunks():
            loss, weight = self._narrator.loss(self._batches.collate(rows), self._vectors)
            total, tokens = total + float(loss), tokens + float(weight)
        return total / max(1.0, tokens)

    def _chunks(self) -> list[range]:
        count = len(self._batches)
        return [range(at, min(at + self._batch_size, count)) for at in range(0, count, self._batch_size)]


LEAST = 8  # held-out clips below which no line is drawn


def draw_line(narrator: Narrator, held: ClipSet, texts: tuple[str, ...], *, batch_size: int = 64) -> CalibratedMargin:
    """Calibrate the novelty detector: each held-out clip is searched with its narrations there, and without them.

    Args:
        narrator: Trained; it retrieves.
        held: Clips that it has not learned from.
        texts: What else the vocabulary holds; those of the clips are added.
        batch_size: Clips at a time.

    Raises:
        PolygraftError: There are no clips, or not enough texts.
    """
    queries = []
    with torch.no_grad():
        for start in range(0, len(held), batch_size):
            rows = range(start, min(start + batch_size, len(held)))
            asked = [held.clips[row].asked for row in rows]
            queries.append(narrator.query(narrator.batch([held.frames(row) for row in rows], asked)).cpu())
    vocabulary = tuple(dict.fromkeys([*texts, *held.texts]))
    own = torch.tensor([vocabulary.index(text) for text in held.texts])
    hits = search(narrator.text_encoder.half(vocabulary), torch.cat(queries), NEIGHBOURS + 1)
    return CalibratedMargin.fit(hits.scores[:, :NEIGHBOURS], _without(hits, own)[:, :NEIGHBOURS])


def _without(hits: Hits, own: torch.Tensor) -> torch.Tensor:
    """Return the scores of all hits but each query's own row; where that is none of them, of all but the last."""
    kept = hits.rows != own[:, None]
    kept[kept.all(dim=1), -1] = False
    return hits.scores[kept].reshape(len(own), -1)
