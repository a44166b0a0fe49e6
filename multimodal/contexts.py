"""From posts to what is shown of their authors: profiles of users, and the context of each post without itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backbone.errors import PolygraftError
from backbone.features import FeatureCache
from multimodal.batches import CaptionSet, gather
from multimodal.posts import Post
from multimodal.profile import NOBODY, Context, ContextLimits, ContextMode, Flags, Profile, latest
from multimodal.words import WordTable

_SIZES = (1, 3, 10, 30, 100)
"""Past posts that a training post is left with, in turn with the whole past: so few must do as well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UserPosts:
    """The past posts of one user, with what decides which of them a caption may know."""

    profile: Profile
    ids: tuple[str, ...]
    times: tuple[str, ...]
    groups: tuple[str, ...]
    """Posts of one group are near duplicates: who writes one is not shown the others. "" is in no group."""


def collect(
    posts: Sequence[Post], pooled: np.ndarray, encoder: str, *, groups: Sequence[str] | None = None
) -> dict[str, UserPosts]:
    """Gather the past posts of each user.

    Args:
        posts: of any users; posts without a user are nobody's past.
        pooled: (N, dv) features of their pictures, L2-normalised.
        encoder: digest of the image encoder.
        groups: of each post; by default none is a near duplicate.
    """
    by_user: dict[str, list[int]] = {}
    for row, post in enumerate(posts):
        if post.user:
            by_user.setdefault(post.user, []).append(row)
    found = {}
    for user, rows in by_user.items():
        kept = [rows[at] for at in latest([posts[row].time for row in rows])]
        found[user] = UserPosts(
            profile=Profile(
                user=user,
                texts=tuple(posts[row].text for row in kept),
                pooled=pooled[kept].astype(np.float32),
                encoder=encoder,
            ),
            ids=tuple(posts[row].id for row in kept),
            times=tuple(posts[row].time for row in kept),
            groups=tuple(groups[row] if groups else "" for row in kept),
        )
    return found


def make_profile(posts: Sequence[Post], cache: FeatureCache, *, report: Callable[[str], None]) -> Profile:
    """Make the profile of one user from their posts; pictures that cannot be read are told and left out."""
    data = gather(posts, cache, report=report)
    pooled = data.pooled.numpy()
    kept = latest([post.time for post in data.posts])
    return Profile(
        user=posts[0].user,
        texts=tuple(data.texts[at] for at in kept),
        pooled=pooled[kept],
        encoder=cache.encoder.digest,
    )


def contexts(
    data: CaptionSet,
    past: dict[str, UserPosts],
    table: WordTable,
    limits: ContextLimits,
    *,
    mode: ContextMode = "leave-one-out",
    groups: Sequence[str] | None = None,
    vary: int | None = None,
) -> list[Context]:
    """Return what is shown of its author for each caption of ``data``.

    Args:
        data: pictures, captions and the posts they come from.
        past: of each user; a user who is not there is nobody.
        table: the words that are known.
        limits: how much is shown.
        mode: ``leave-one-out``: all but the caption itself and its near duplicates. ``history``: only earlier posts.
            ``paper``: the words of all posts, the very caption's too, as attend2u counts them; the captions that are
            shown are others even so.
        groups: of each caption, see `UserPosts`.
        vary: seed of how many past posts are left to each caption: all, or few; None: always all.

    Raises:
        PolygraftError: ``history`` is asked for, and a post has no time.
    """
    pooled = data.pooled.numpy()
    found = []
    for row, post in enumerate(data.posts):
        user = past.get(post.user)
        if user is None or not len(user.profile):
            found.append(NOBODY)
            continue
        hidden = _hidden(post, groups[row] if groups else "", user, mode)
        words = np.zeros_like(hidden) if mode == "paper" else None
        if vary is not None:
            hidden |= _left_out(hidden, np.random.default_rng((vary, row)))
        found.append(user.profile.context(pooled[row], table, limits, hidden=hidden, hidden_words=words))
    return found


def _hidden(post: Post, group: str, user: UserPosts, mode: ContextMode) -> Flags:
    """Return which past posts must not be seen."""
    hidden = np.array([id_ == post.id for id_ in user.ids])
    if group:
        hidden |= np.array([other == group for other in user.groups])
    if mode == "history":
        if not post.time or not all(user.times):
            raise PolygraftError(
                f"the history of {post.user!r} needs a time on every post: {post.id} or others lack it"
            )
        hidden |= np.array([time >= post.time for time in user.times])
    return hidden


def _left_out(hidden: Flags, random: np.random.Generator) -> Flags:
    """Return posts to hide besides, so that few are left, or as many as there are."""
    left: Flags = np.zeros_like(hidden)
    seen = np.flatnonzero(~hidden)
    size = (*_SIZES, len(seen))[random.integers(len(_SIZES) + 1)]
    if size < len(seen):
        left[random.permutation(seen)[size:]] = True
    return left
