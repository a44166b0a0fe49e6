"""User contexts for a set of captions: the past posts and words of each author, the caption itself left out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backbone.errors import PolygraftError
from multimodal.batches import CaptionSet
from multimodal.data.posts import Post
from multimodal.profile.profile import NOBODY, Context, ContextLimits, ContextMode, Flags, Profile, latest
from multimodal.profile.text_features import WordTable
from multimodal.users.neighbors import Community

_SIZES = (1, 3, 10, 30, 100)
"""Past posts that a training post is left with, in turn with the whole past: so few must do as well."""

_BORROWED = 0.5
"""Share of training posts that others share to: the captioner must do without, and learn what images show."""


@dataclass(frozen=True, kw_only=True)
class ContextBuilder:
    """What a captioner may know of users, and what of it each caption is shown."""

    past: Mapping[str, Profile]  # of each user, as `pasts` makes them; one who is not there is nobody
    table: WordTable
    limits: ContextLimits
    mode: ContextMode = "leave-one-out"
    """``leave-one-out``: all but the caption itself and its near duplicates. ``history``: only earlier posts, of others
    too. ``paper``: the words of all posts, the very caption's too, as attend2u counts them; the captions that are shown
    are others even so."""
    community: Community | None = None  # who shares past captions; None: nobody

    def build(
        self,
        data: CaptionSet,
        *,
        authors: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        vary: int | None = None,
    ) -> list[Context]:
        """Return what is shown of its author for each caption.

        Args:
            data: The images, captions and posts.
            authors: Whom to show in the author's place, for each caption.
            groups: The group of each caption, see `Profile.groups`.
            vary: The seed of how many past posts are left to each caption: all, or few, and of whether others share;
                None: always all, and they do.

        Raises:
            PolygraftError: ``history`` is asked for, and a post has no time.
        """
        pooled = data.pooled.numpy()
        found = [NOBODY] * len(data.posts)
        for name, rows in _rows_by(authors or [post.user for post in data.posts]).items():
            past = self.past.get(name)
            if past is None or not len(past):
                continue
            neighbours = self.community.neighbours(past) if self.community and self.limits.borrows else None
            similarities = neighbours.similarity(pooled[rows]) if neighbours else [None] * len(rows)
            for row, similarity in zip(rows, similarities, strict=True):
                post, group = data.posts[row], groups[row] if groups else ""
                hidden, shares = _hidden(post, group, past, self.mode), True
                if vary is not None:
                    hidden |= _left_out(hidden, np.random.default_rng((vary, row)))
                    shares = np.random.default_rng((vary, row, 1)).random() < _BORROWED
                borrowed = []
                if neighbours and similarity is not None and shares:
                    # what else the author wrote of this image must not tell who writes alike
                    trust = neighbours.trust(~(hidden | past.same_image(pooled[row])))
                    before = post.time if self.mode == "history" else ""
                    borrowed = neighbours.borrowed(similarity, trust, self.limits.borrows, group=group, before=before)
                found[row] = past.context(
                    pooled[row], self.table, self.limits,
                    hidden=hidden, all_words=self.mode == "paper", borrowed=borrowed,
                )  # fmt: skip
        return found


def _hidden(post: Post, group: str, past: Profile, mode: ContextMode) -> Flags:
    hidden: Flags = np.array(past.ids, dtype=object) == post.id
    if group:
        hidden |= np.array(past.groups, dtype=object) == group
    if mode == "history":
        if not post.time or not all(past.times):
            raise PolygraftError(
                f"the history of {post.user!r} needs a time on every post: {post.id} or others lack it"
            )
        hidden |= np.array(past.times, dtype=object) >= post.time
    return hidden


def _left_out(hidden: Flags, random: np.random.Generator) -> Flags:
    """Return posts to hide besides, so that few are left, or as many as there are."""
    left: Flags = np.zeros_like(hidden)
    seen = np.flatnonzero(~hidden)
    size = (*_SIZES, len(seen))[random.integers(len(_SIZES) + 1)]
    if size < len(seen):
        left[random.permutation(seen)[size:]] = True
    return left


def pasts(data: CaptionSet, encoder: str, *, groups: Sequence[str] | None = None) -> dict[str, Profile]:
    """Return the past posts of each author, those of nobody left out.

    Args:
        data: The posts of any users.
        encoder: The digest of the image encoder that made their features.
        groups: The group of each post, see `Profile.groups`; by default none is a near duplicate.
    """
    whole = Profile(
        texts=tuple(post.text for post in data.posts),
        pooled=data.pooled.numpy().astype(np.float32),
        encoder=encoder,
        ids=tuple(post.id for post in data.posts),
        times=tuple(post.time for post in data.posts),
        groups=tuple(groups or [""] * len(data.posts)),
    )
    found = {}
    for user, rows in _rows_by(post.user for post in data.posts).items():
        if user:
            kept = latest([data.posts[row].time for row in rows])
            found[user] = replace(whole.take([rows[at] for at in kept]), user=user)
    return found


def learned_words(data: CaptionSet) -> WordTable:
    """Return the words of the authors of ``data``; posts without a user have no author."""
    rows_by_user = _rows_by(post.user for post in data.posts)
    return WordTable.fit({user: [data.posts[row].text for row in rows] for user, rows in rows_by_user.items() if user})


def _rows_by(users: Iterable[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, user in enumerate(users):
        found.setdefault(user, []).append(row)
    return found
