"""The past posts of users, gathered from posts of many."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from multimodal.data.posts import Post
from multimodal.profile.profile import Profile, latest


@dataclass(frozen=True, kw_only=True, eq=False)
class UserPosts:
    """The past posts of one user, with what decides which of them a caption may know."""

    profile: Profile
    ids: tuple[str, ...]
    times: tuple[str, ...]
    groups: tuple[str, ...]
    """Posts of one group are near duplicates: who writes one is not shown the others. "" is in no group."""

    @cached_property
    def id_array(self) -> np.ndarray[Any, Any]:
        """The ids, to be compared all at once."""
        return np.array(self.ids, dtype=object)

    @cached_property
    def group_array(self) -> np.ndarray[Any, Any]:
        """The groups, likewise."""
        return np.array(self.groups, dtype=object)


def collect(
    posts: Sequence[Post], pooled: np.ndarray, encoder: str, *, groups: Sequence[str] | None = None
) -> dict[str, UserPosts]:
    """Gather the past posts of each user.

    Args:
        posts: of any users; posts without a user are nobody's past.
        pooled: (N, dv) features of their images, L2-normalised.
        encoder: digest of the image encoder.
        groups: of each post; by default none is a near duplicate.
    """
    found = {}
    for user, rows in rows_by_user(posts).items():
        if not user:
            continue
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


def rows_by_user(posts: Sequence[Post]) -> dict[str, list[int]]:
    """Return the rows of each user's posts, in their order; those of nobody under ""."""
    found: dict[str, list[int]] = {}
    for row, post in enumerate(posts):
        found.setdefault(post.user, []).append(row)
    return found
