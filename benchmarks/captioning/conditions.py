"""What a captioner is given of its user when it is tested: the conditions and controls of the benchmark."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from multimodal.profile.profile import NOBODY, Context, ContextLimits, ContextMode, Profile
from starter_build.starter.captioners import CaptionSystem, pasts_for, seen_by

if TYPE_CHECKING:
    from multimodal.batches import CaptionSet
    from starter_build.datasets.post_sets import Benchmark

History = Literal["own", "shuffled", "nobody", "popular"]

PAST_SEED = 7
"""Of the pasts that are drawn for the test, other than those of training."""
WHOLE = -1
"""A past as long as there is one."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One way to be tested."""

    name: str
    split: str = "test2"
    past: int = WHOLE
    """Past posts of each user."""
    paper: bool = False
    """Whether the words of the very caption are counted, as in the published protocol."""
    history: History = "own"
    """Whose past is shown."""
    image: bool = True
    """Whether the right image is shown, or another one."""


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
    condition: Condition, system: CaptionSystem, bench: "Benchmark", *, voters: int = 0
) -> list[Context] | None:
    """Return what is shown of the user for each post of the condition's split; None: the captioner knows no users.

    Args:
        condition: who is tested with what.
        system: how images are seen, and how much is read.
        bench: the posts.
        voters: see `ContextLimits`.
    """
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
    borrowed = bench.data.community if system.borrows else None
    limits = ContextLimits(words=config.words, posts=config.past_posts, voters=voters)
    builder = ContextBuilder(
        past=pasts_for(system, own), table=bench.data.table, limits=limits, mode=mode, community=borrowed
    )
    return builder.build(data)


def tested(condition: Condition, system: CaptionSystem, bench: "Benchmark") -> "CaptionSet":
    """Return the posts that are captioned, with another image each where the condition says so."""
    data: CaptionSet = seen_by(system, bench.data.splits[condition.split])
    if condition.image:
        return data
    half = len(data.rows) // 2
    return replace(data, rows=(*data.rows[half:], *data.rows[:half]))


def pasts(condition: Condition, bench: "Benchmark") -> dict[str, Profile]:
    """Return the past of each user who is tested."""
    users = sorted({post.user for post in bench.data.splits[condition.split].posts})
    return bench.pasts(users, None if condition.past == WHOLE else condition.past, seed=PAST_SEED)


def shuffled(own: dict[str, Profile]) -> dict[str, Profile]:
    """Give each user the past of one of another voice: that of the user half the list away."""
    users = sorted(own)
    half = len(users) // 2
    return {user: own[other] for user, other in zip(users, [*users[half:], *users[:half]], strict=True)}


def _popular(bench: "Benchmark", count: int) -> Context:
    """Return a context of the words that most is written with, and nothing of any user."""
    return Context(words=tuple((number, 1.0) for number in range(min(count, len(bench.data.table)))), known=True)


def _with_tests(own: dict[str, Profile], data: "CaptionSet", bench: "Benchmark") -> dict[str, Profile]:
    """Add the tested posts of each user to the past, as the published protocol counts words."""
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
            groups=past.groups + tuple(bench.data.concepts[data.posts[row].id] for row in rows),
        )
    return found
