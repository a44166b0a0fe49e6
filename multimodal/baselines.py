"""What a captioner has to beat: one caption for all pictures, and the caption of the most similar known picture."""

from collections import Counter

from torch import Tensor

from multimodal.batches import CaptionSet
from multimodal.metrics.caption import score

CANDIDATES = 100
"""Frequent captions among which the best single one is sought."""


def best_single_caption(training: CaptionSet, validation: CaptionSet) -> str:
    """Return the caption that scores best (CIDEr-D, then BLEU-1) when it is given to every validation picture.

    It sees no picture; a captioner that does no better has learnt the captions' style alone.
    """
    counts = Counter(training.texts)
    frequent = sorted(counts, key=lambda text: (-counts[text], text))[:CANDIDATES]
    references = {str(i): texts for i, texts in enumerate(validation.references(range(len(validation.features))))}

    def quality(text: str) -> tuple[float, float]:
        figures = score(dict.fromkeys(references, text), references)
        return figures["cider_d"] or 0.0, figures["bleu_1"] or 0.0

    return max(frequent, key=quality)


def nearest_captions(training: CaptionSet, pooled: Tensor) -> list[str]:
    """Return, for each row of ``pooled`` (N, dv), the caption of the training picture with the greatest cosine.

    Features are L2-normalised; of equally near pictures the first in the training set is taken, and of its captions
    the first.
    """
    first_text: dict[int, str] = {}
    for row, text in zip(training.rows, training.texts, strict=True):
        first_text.setdefault(row, text)
    rows = sorted(first_text)
    known = training.features.take(rows).pooled
    return [first_text[rows[int(best)]] for best in (pooled @ known.T).argmax(dim=1)]
