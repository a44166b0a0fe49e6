"""Captions that are copied, not written: the most likely one, and those of the nearest known images."""

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multimodal.batches import CaptionSet
    from multimodal.profile.profile import Profile
    from starter_build.datasets.post_sets import Benchmark, PersonalSet

_DISTRUST = 1.0  # of .25, .5, 1, 2 and 4


def baseline_captions(bench: "Benchmark", split: str, pasts: "dict[str, Profile]") -> dict[str, list[str]]:
    """Return the captions of each baseline for the posts of a split.

    Args:
        bench: the posts.
        split: whose posts are captioned.
        pasts: of the users who are tested.
    """
    from multimodal.evaluation import best_single_caption
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
