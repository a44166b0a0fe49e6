"""Captions that are copied, not written: the most likely one, and those of the nearest known images."""

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from multimodal.batches import CaptionSet
    from multimodal.profile.profile import Profile
    from starter_build.datasets.post_sets import Benchmark, PersonalSet

CANDIDATES = 100
"""Frequent captions among which the best single one is sought."""

_DISTRUST = 1.0  # of .25, .5, 1, 2 and 4


def baseline_captions(bench: "Benchmark", split: str, pasts: "dict[str, Profile]") -> dict[str, list[str]]:
    """Return the captions of each baseline for the posts of a split.

    Args:
        bench: the posts.
        split: whose posts are captioned.
        pasts: of the users who are tested.
    """
    from multimodal.profile.profile import DIGITS

    data, train = bench.data.splits[split], bench.data.splits["train"]
    single = best_single_caption(train, bench.data.splits["validation"])
    # many users show one image: rounded, the first of them is taken on every machine
    cosines = (data.pooled.double() @ train.pooled.double().T).numpy().round(DIGITS)
    return {
        f"most likely caption ({single!r})": [single] * len(data.posts),
        "nearest image, all": [train.texts[at] for at in cosines.argmax(axis=1)],
        "nearest image, own past": nearest_past(bench.data, data, pasts),
        "nearest image, own and borrowed": nearest_past(bench.data, data, pasts, shares=True),
    }


def nearest_past(
    known: "PersonalSet", data: "CaptionSet", pasts: "dict[str, Profile]", *, shares: bool = False
) -> list[str]:
    """Return for each post the caption of the user's nearest past image, never the post's own; "" without a past.

    Args:
        known: the training posts.
        data: the posts.
        pasts: of their users.
        shares: whether images of users who write alike are looked at too. How alike counts as did best on validation
            posts.
    """
    from multimodal.profile.profile import ContextLimits
    from multimodal.users.contexts import ContextBuilder

    community = replace(known.community, distrust=_DISTRUST) if shares else None
    limits = ContextLimits(words=0, posts=1)
    shown = ContextBuilder(past=pasts, table=known.table, limits=limits, community=community).build(data)
    return [context.posts[0][0] if context.posts else "" for context in shown]


def best_single_caption(training: "CaptionSet", validation: "CaptionSet") -> str:
    """Return the caption that scores best (CIDEr-D, then BLEU-1) when it is given to every validation image.

    It sees no image; a captioner that does no better has learnt the captions' style alone.
    """
    from multimodal.metrics.caption import score

    counts = Counter(training.texts)
    frequent = sorted(counts, key=lambda text: (-counts[text], text))[:CANDIDATES]
    references = {str(i): texts for i, texts in enumerate(validation.references(range(len(validation.features))))}

    def quality(text: str) -> tuple[float, float]:
        figures = score(dict.fromkeys(references, text), references)
        return figures["cider_d"] or 0.0, figures["bleu_1"] or 0.0

    return max(frequent, key=quality)


def nearest_captions(training: "CaptionSet", pooled: "Tensor") -> list[str]:
    """Return, for each row of ``pooled`` (N, dv), the caption of the training image with the greatest cosine.

    Features are L2-normalised; of equally near images the first in the training set is taken, and of its captions
    the first.
    """
    first_text: dict[int, str] = {}
    for row, text in zip(training.rows, training.texts, strict=True):
        first_text.setdefault(row, text)
    rows = sorted(first_text)
    known = training.features.take(rows).pooled
    return [first_text[rows[int(best)]] for best in (pooled @ known.T).argmax(dim=1)]
