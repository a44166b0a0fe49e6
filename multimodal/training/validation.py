"""Validation of a captioner during training, and the guard that stops a training with one caption for all."""

import math
from collections.abc import Sequence

from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.training.distributed import MeasuredCopy
from multimodal.batches import CaptionBatches, CaptionSet
from multimodal.captioner import Captioner
from multimodal.metrics.caption import score
from multimodal.profile.profile import Context
from multimodal.profile.tensors import UserTensors


class CollapseError(PolygraftError):
    """The captioner in training gives nearly all images the same caption."""


def distinct_share(texts: Sequence[str]) -> float:
    """Return the share of different texts among ``texts``, case and spacing aside; 0 where there are none."""
    return len({" ".join(text.casefold().split()) for text in texts}) / max(1, len(texts))


class CollapseGuard:
    """Watches the captions of the same few held-out images during a training.

    One caption for all is the commonest way in which prefix captioners fail, and their loss does not show it.

    Args:
        truths: The true caption of each image watched. Data with few captions cannot be asked for many.
        least: The smallest share of distinct captions, as a part of the share among ``truths``.
        grace: The low shares in a row that are let pass: a healthy training too begins with a few captions for all.
    """

    def __init__(self, truths: Sequence[str], *, least: float = 0.25, grace: int = 4) -> None:
        self._images = len(truths)
        self._least = least * distinct_share(truths)
        self._grace = grace
        self._low = 0

    def is_low(self, share: float) -> bool:
        """Return whether a share of distinct captions is that of a collapsed captioner."""
        return share < self._least

    def check(self, share: float) -> None:
        """Take note of the share of distinct captions, as `distinct_share` gives it.

        Raises:
            CollapseError: it has been low too often without a break.
        """
        self._low = self._low + 1 if self.is_low(share) else 0
        if self._low > self._grace:
            raise CollapseError(
                "training stopped because the captioner has collapsed: it has "
                f"{round(share * self._images)} different captions for {self._images} validation images; try a "
                "lower --lr, a longer --warmup or the other --mapper"
            )


GUARDED = 64  # images that the collapse guard looks at (fewer where there are fewer)

FIGURES = ("loss", "distinct", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d")

# Where CIDEr-D is equal (nothing for anybody at first), the loss decides which weights are kept.
_TIE = 1e-3


class CaptionValidation:
    """Measures a captioner in training: the ``evaluate`` of `backbone.training.loop.fit`.

    The figures are ``loss`` (nats a token), ``distinct`` (share of different captions among 64 images), the metrics
    of greedy captions, and ``score``, by which the best weights are kept: CIDEr-D, and where that is equal the loss.

    Args:
        captioner: The captioner whose mapper is trained.
        data: The held-out images and their captions.
        users: What is shown of the author of each caption. Then each caption is a sample, with one truth; else each
            image is, with all its captions as truths.
        grace: See `CollapseGuard`.
        images: How many images are captioned at most, spread evenly over ``data``; the loss takes all.
        batch_size: The number of images at a time.
    """

    def __init__(
        self,
        captioner: Captioner,
        data: CaptionSet,
        *,
        users: Sequence[Context] | None = None,
        grace: int = 4,
        images: int = 256,
        batch_size: int = 64,
    ) -> None:
        self._copy = MeasuredCopy(captioner.mapper, captioner.backbone.device)
        own = self._copy.part
        self._captioner = Captioner(captioner.encoder, captioner.backbone, own, captioner.config, captioner.table)
        tensors = UserTensors(users, captioner.backbone, captioner.config.past_tokens) if users is not None else None
        self._batches = CaptionBatches(data, captioner.backbone, captioner.config.max_tokens, tensors)
        self._batch_size = batch_size
        samples = len(data.features) if users is None else len(data.rows)
        shown = range(0, samples, math.ceil(samples / images))
        self._users = None if users is None else [users[row] for row in shown]
        self._features = data.features.take(shown if users is None else [data.rows[row] for row in shown])
        self._references = data.references(shown) if users is None else [[data.texts[row]] for row in shown]
        self.guard = CollapseGuard([texts[0] for texts in self._references[:GUARDED]], grace=grace)

    def __call__(self) -> dict[str, float]:
        """Return the figures of the weights as they are; every process must call.

        Raises:
            CollapseError: see `CollapseGuard`.
        """
        figures = self._copy.measure(self._measure, FIGURES)
        self.guard.check(figures["distinct"])
        return figures | {"score": figures["cider_d"] - _TIE * figures["loss"]}

    def _measure(self) -> dict[str, float]:
        rows = self._captioner.caption(self._features, Decoding(), users=self._users, batch_size=self._batch_size)
        texts = {str(number): row[0] for number, row in enumerate(rows)}
        scores = score(texts, {str(number): truths for number, truths in enumerate(self._references)})
        shown = [row[0] for row in rows[:GUARDED]]
        return {"loss": self._loss(), "distinct": distinct_share(shown)} | {
            name: scores[name] or 0.0 for name in FIGURES if name in scores
        }

    def _loss(self) -> float:
        total, tokens = 0.0, 0.0
        for start in range(0, len(self._batches), self._batch_size):
            stop = min(start + self._batch_size, len(self._batches))
            loss, weight = self._captioner.loss(self._batches.collate(range(start, stop)))
            total, tokens = total + float(loss), tokens + float(weight)
        return total / max(1.0, tokens)
