"""What a captioner is given of its user when it is tested, and the captions that baselines copy from the same."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from multimodal.profile.profile import DIGITS, NOBODY, Context, ContextLimits, ContextMode, Profile
from starter_build.starter.captioners import CaptionSystem, pasts_for, seen_by

if TYPE_CHECKING:
    from torch import Tensor

    from multimodal.batches import CaptionSet
    from starter_build.datasets.post_sets import PersonalSet

History = Literal["own", "shuffled", "nobody", "popular"]

PAST_SEED = 7  # of the pasts that are drawn for the test, other than those of training
WHOLE = -1  # a past as long as there is one


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One way to be tested."""

    name: str
    split: str = "test2"
    past: int = WHOLE  # past posts of each user
    paper: bool = False  # whether the words of the very caption are counted, as in the published protocol
    history: History = "own"  # whose past is shown
    image: bool = True  # whether the right image is shown, or another one


MAIN = Condition(name="whole past")
VALIDATION = Condition(name="validation", split="validation")
CONDITIONS = (
    MAIN,
    Condition(name="30 past posts", past=30),
    Condition(name="paper context", paper=True),
    Condition(name="unseen users", split="test1"),
)
CURVE = (*(Condition(name=f"{size} past posts", past=size) for size in (0, 1, 3, 10, 30)), MAIN)
CONTROLS = (
    Condition(name="shuffled user", history="shuffled"),
    Condition(name="empty user", history="nobody"),
    Condition(name="popular words", history="popular"),
    Condition(name="shuffled image", image=False),
)


def shown_contexts(
    condition: Condition, system: CaptionSystem, bench: "PersonalSet", *, voters: int = 0
) -> list[Context] | None:
    """Return what is shown of the user for each post of the condition's split; None: the captioner knows no users."""
    from multimodal.users.contexts import ContextBuilder

    config = system.config
    if not config.knows_users:
        return None
    data = tested(condition, system, bench)
    if condition.history == "nobody" or not condition.past:
        return [NOBODY] * len(data.posts)
    if condition.history == "popular":
        return [_popular(bench, config.words)] * len(data.posts)
    own = pasts(condition, bench)
    if condition.history == "shuffled":
        own = shuffled(own)
    mode: ContextMode = "paper" if condition.paper else "leave-one-out"
    if condition.paper:
        own = _with_tests(own, data, bench)
    borrowed = bench.community if system.borrows else None
    limits = ContextLimits(words=config.words, posts=config.past_posts, voters=voters)
    builder = ContextBuilder(
        past=pasts_for(system, own), table=bench.table, limits=limits, mode=mode, community=borrowed
    )
    return builder.build(data)


def tested(condition: Condition, system: CaptionSystem, bench: "PersonalSet") -> "CaptionSet":
    """Return the posts that are captioned, with another image each where the condition says so."""
    data: CaptionSet = seen_by(system, bench.splits[condition.split])
    if condition.image:
        return data
    half = len(data.rows) // 2
    return replace(data, rows=(*data.rows[half:], *data.rows[:half]))


def pasts(condition: Condition, bench: "PersonalSet") -> dict[str, Profile]:
    """Return the past of each user who is tested."""
    users = sorted({post.user for post in bench.splits[condition.split].posts})
    return bench.pasts(users, None if condition.past == WHOLE else condition.past, seed=PAST_SEED)


def shuffled(own: dict[str, Profile]) -> dict[str, Profile]:
    """Give each user the past of one of another voice: that of the user half the list away."""
    users = sorted(own)
    half = len(users) // 2
    return {user: own[other] for user, other in zip(users, [*users[half:], *users[:half]], strict=True)}


def _popular(bench: "PersonalSet", count: int) -> Context:
    return Context(words=tuple((number, 1.0) for number in range(min(count, len(bench.table)))), known=True)


def _with_tests(own: dict[str, Profile], data: "CaptionSet", bench: "PersonalSet") -> dict[str, Profile]:
    # as the published protocol counts words: the tested posts of each user are in the past
    import numpy as np

    pooled = data.pooled.numpy()
    by_user: dict[str, list[int]] = {}
    for row, post in enumerate(data.posts):
        by_user.setdefault(post.user, []).append(row)
    found = {}
    for user, rows in by_user.items():
        past = own[user]
        found[user] = replace(
            past,
            texts=past.texts + tuple(data.texts[row] for row in rows),
            pooled=None if past.pooled is None else np.concatenate([past.pooled, pooled[rows]]),
            ids=past.ids + tuple(data.posts[row].id for row in rows),
            times=past.times + ("",) * len(rows),
            groups=past.groups + tuple(bench.concepts[data.posts[row].id] for row in rows),
        )
    return found


# Baselines

CANDIDATES = 100  # frequent captions among which the best single one is sought
_DISTRUST = 1.0  # of .25, .5, 1, 2 and 4, on validation posts


def baseline_captions(bench: "PersonalSet", split: str, pasts: dict[str, Profile]) -> dict[str, list[str]]:
    """Return the captions of each baseline for the posts of a split."""
    data, train = bench.splits[split], bench.splits["train"]
    single = best_single_caption(train, bench.splits["validation"])
    # many users show one image: rounded, the first of them is taken on every machine
    cosines = (data.pooled.double() @ train.pooled.double().T).numpy().round(DIGITS)
    return {
        f"most likely caption ({single!r})": [single] * len(data.posts),
        "nearest image, all": [train.texts[at] for at in cosines.argmax(axis=1)],
        "nearest image, own past": nearest_past(bench, data, pasts),
        "nearest image, own and borrowed": nearest_past(bench, data, pasts, shares=True),
    }


def nearest_past(
    known: "PersonalSet", data: "CaptionSet", pasts: dict[str, Profile], *, shares: bool = False
) -> list[str]:
    """Return for each post the caption of the user's nearest past image, never the post's own; "" without a past.

    Args:
        known: The training posts.
        data: The posts to caption.
        pasts: The pasts of their users.
        shares: Whether images of users who write alike are looked at too. How alike counts as did best on validation
            posts.
    """
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
