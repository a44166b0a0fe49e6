"""Caption metrics as coco-caption computes them, in plain Python: BLEU, ROUGE-L, CIDEr-D; METEOR if there is Java."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from backbone.errors import PolygraftError
from multimodal.metrics import ptb
from multimodal.metrics.bleu_cider import CiderD, bleu
from multimodal.metrics.meteor import meteor as meteor_of

_NAMED = 3  # how many of many are named in a message


def score(
    hypotheses: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    *,
    meteor: bool = False,
    report: Callable[[str], None] | None = None,
) -> dict[str, float | None]:
    """The metrics of a set of captions, free text on both sides, on the scale of pycocoevalcap and equal to it.

    Args:
        hypotheses: The caption of each image, by id.
        references: The right captions of each image, by id; at least one each.
        meteor: Whether to start Java for METEOR (seconds, and up to 2 GB of memory).
        report: Called with one sentence if METEOR was asked for and cannot be had.

    Returns:
        ``bleu_1`` to ``bleu_4``, ``rouge_l`` and ``meteor`` in 0..1, ``cider_d`` in 0..10. ``meteor`` is None where it
        was not asked for or cannot be had. ``cider_d`` depends on the set of images (see `CiderD`).

    Raises:
        PolygraftError: there is no caption, an id has only one of hypothesis and references, or no reference.
    """
    texts, truths = _tokenized(hypotheses, references)
    figures: dict[str, float | None] = {
        f"bleu_{order}": value for order, value in enumerate(bleu(texts, truths), start=1)
    }
    figures["rouge_l"] = statistics.fmean(map(rouge_l, texts, truths))
    figures["cider_d"] = statistics.fmean(CiderD(truths).each(texts))
    figures["meteor"] = None
    if meteor:
        try:
            figures["meteor"] = meteor_of(texts, truths)
        except PolygraftError as error:
            (report or (lambda _: None))(str(error))
    return figures


def score_each(hypotheses: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """``rouge_l`` and ``cider_d`` of every image, by id; the mean of each is what `score` gives.

    The weights in CIDEr-D come from all the references, as in `score`.

    Raises:
        PolygraftError: as `score`.
    """
    texts, truths = _tokenized(hypotheses, references)
    rows = zip(references, map(rouge_l, texts, truths), CiderD(truths).each(texts), strict=True)
    return {id_: {"rouge_l": rouge, "cider_d": cider} for id_, rouge, cider in rows}


def rouge_l(hypothesis: str, references: Sequence[str]) -> float:
    """ROUGE-L of one tokenized caption (Lin 2004) with beta 1.2, in 0..1.

    As in coco-caption the best precision and the best recall may come from different references, and an empty caption
    is one empty word: two of them agree.
    """
    words = hypothesis.split(" ")
    precision = recall = 0.0
    for truth in (text.split(" ") for text in references):
        common = longest_common_subsequence(truth, words)
        precision, recall = max(precision, common / len(words)), max(recall, common / len(truth))
    beta_squared = 1.2**2
    if not precision or not recall:
        return 0.0
    return (1 + beta_squared) * precision * recall / (recall + beta_squared * precision)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length. Each bit of `row` is a step of the usual table, all of them taken at once (Hyyro 2004, figure 3)."""
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    mask = (1 << len(first)) - 1
    row = mask
    for word in second:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & mask
    return len(first) - row.bit_count()


def _tokenized(
    hypotheses: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Return tokenized hypotheses and, for each, its tokenized references, in the order of the references."""
    _refuse([id_ for id_ in hypotheses if id_ not in references], "have no reference")
    _refuse([id_ for id_ in references if id_ not in hypotheses], "have no hypothesis")
    _refuse([id_ for id_, texts in references.items() if not texts], "have an empty list of references")
    if not references:
        raise PolygraftError("there is no caption to score: give at least one hypothesis with its references")
    words = iter(ptb.tokenize([text for texts in references.values() for text in texts]))
    truths = [[next(words) for _ in texts] for texts in references.values()]
    return ptb.tokenize([hypotheses[id_] for id_ in references]), truths


def _refuse(ids: Sequence[str], fault: str) -> None:
    if ids:
        named = ", ".join(repr(id_) for id_ in ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
        raise PolygraftError(f"{len(ids)} ids {fault} ({named}): both sides must have the same ids, and texts for each")
