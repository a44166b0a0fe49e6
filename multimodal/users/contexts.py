"""User contexts for a set of captions: the past posts and words of each author, the caption itself left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backbone.errors import PolygraftError
from backbone.feature_cache import FeatureCache
from multimodal.batches import CaptionSet, gather
from multimodal.data.posts import Post
from multimodal.profile.profile import NOBODY, Context, ContextLimits, ContextMode, Flags, PastCaption, Profile, latest
from multimodal.profile.tfidf import WordTable
from multimodal.users.history import UserPosts, collect, rows_by_user
from multimodal.users.neighbors import Community

_SIZES = (1, 3, 10, 30, 100)
"""Past posts that a training post is left with, in turn with the whole past: so few must do as well."""

_BORROWED = 0.5
"""Share of training posts that others share to: the captioner must do without, and learn what images show."""


def make_profile(posts: Sequence[Post], cache: FeatureCache, *, report: Callable[[str], None]) -> Profile:
    """Make the profile of one user from their posts; images that cannot be read are reported and left out."""
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
    community: Community | None = None,
) -> list[Context]:
    """Return what is shown of its author for each caption of ``data``.

    Args:
        data: images, captions and the posts they come from.
        past: of each user; a user who is not there is nobody.
        table: the words that are known.
        limits: how much is shown.
        mode: ``leave-one-out``: all but the caption itself and its near duplicates. ``history``: only earlier posts,
            of others too.
            ``paper``: the words of all posts, the very caption's too, as attend2u counts them; the captions that are
            shown are others even so.
        groups: of each caption, see `UserPosts`.
        vary: seed of how many past posts are left to each caption: all, or few, and of whether others share; None:
            always all, and they do.
        community: who shares past captions; None: nobody.

    Raises:
        PolygraftError: ``history`` is asked for, and a post has no time.
    """
    pooled = data.pooled.numpy()
    found = [NOBODY] * len(data.posts)
    for name, rows in rows_by_user(data.posts).items():
        user = past.get(name)
        if user is None or not len(user.profile):
            continue
        neighbours = community.neighbours(user.profile) if community is not None and limits.borrows else None
        similarity = neighbours.similarity(pooled[rows]) if neighbours else None
        for at, row in enumerate(rows):
            group = groups[row] if groups else ""
            hidden = _hidden(data.posts[row], group, user, mode)
            words = np.zeros_like(hidden) if mode == "paper" else None
            if vary is not None:
                hidden |= _left_out(hidden, np.random.default_rng((vary, row)))
            borrowed: list[PastCaption] = []
            shares = vary is None or np.random.default_rng((vary, row, 1)).random() < _BORROWED
            if shares and neighbours and similarity is not None:
                # what else the author wrote of this image must not tell who writes alike
                trust = neighbours.trust(~(hidden | user.profile.same_image(pooled[row])))
                before = data.posts[row].time if mode == "history" else ""
                borrowed = neighbours.borrowed(similarity[at], trust, limits.borrows, group=group, before=before)
            found[row] = user.profile.context(
                pooled[row], table, limits, hidden=hidden, hidden_words=words, borrowed=borrowed
            )
    return found


def _hidden(post: Post, group: str, user: UserPosts, mode: ContextMode) -> Flags:
    """Return which past posts must not be seen."""
    hidden: Flags = user.id_array == post.id
    if group:
        hidden = hidden | (user.group_array == group)
    if mode == "history":
        if not post.time or not all(user.times):
            raise PolygraftError(
                f"the history of {post.user!r} needs a time on every post: {post.id} or others lack it"
            )
        hidden = hidden | np.array([time >= post.time for time in user.times])
    return hidden


def _left_out(hidden: Flags, random: np.random.Generator) -> Flags:
    """Return posts to hide besides, so that few are left, or as many as there are."""
    left: Flags = np.zeros_like(hidden)
    seen = np.flatnonzero(~hidden)
    size = (*_SIZES, len(seen))[random.integers(len(_SIZES) + 1)]
    if size < len(seen):
        left[random.permutation(seen)[size:]] = True
    return left


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a captioner may know of users."""

    past: dict[str, UserPosts]
    """Of each user; one who is not there is nobody."""
    table: WordTable
    limits: ContextLimits
    mode: ContextMode = "leave-one-out"
    community: Community | None = None
    """Who shares past captions; None: nobody."""

    def shown(
        self, data: CaptionSet, *, authors: Sequence[str] | None = None, vary: int | None = None
    ) -> list[Context]:
        """Return what is shown of its author for each caption.

        Args:
            data: images, captions and posts.
            authors: whom to show in the author's place, for each caption.
            vary: see `multimodal.users.contexts.contexts`.
        """
        if authors is not None:
            posts = (replace(post, user=user) for post, user in zip(data.posts, authors, strict=True))
            data = replace(data, posts=tuple(posts))
        return contexts(data, self.past, self.table, self.limits, mode=self.mode, vary=vary, community=self.community)


def pasts(data: CaptionSet, encoder: str) -> dict[str, UserPosts]:
    """Return the posts of each author of ``data``, whose images the encoder of this digest has seen."""
    return collect(data.posts, data.pooled.numpy(), encoder)


def learned_words(data: CaptionSet) -> WordTable:
    """Return the words of the authors of ``data``; posts without a user have no author."""
    texts: dict[str, list[str]] = {}
    for post in data.posts:
        if post.user:
            texts.setdefault(post.user, []).append(post.text)
    return WordTable.fit(texts)
