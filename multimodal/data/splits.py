"""Splits of posts that leak nothing: marks for training, validation and tests, and a simple cut in two.

What is kept from training: the options that training and evaluation share, so that they part posts alike.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from backbone.errors import PolygraftError, UsageError
from multimodal.data.posts import SPLITS, Post, Report

_SIDES = {"train": 0, "validation": 1, "test1": 2, "test2": 2}
"""An image is on one side only; where it is on several, it stays on the highest."""


def mark_splits(
    posts: Sequence[Post],
    *,
    users: float = 0.1,
    posts_share: float = 0.1,
    seed: int = 0,
    report: Report | None = None,
) -> list[Post]:
    """Say of each post what it is for, before anything is learned from any.

    Where no post is marked, each is drawn by a hash, of the seed and the user, and of the seed and the image (its
    file name and texts), so a draw does not depend on the folder, the order or the other posts:

    - ``test1``: all posts of users who are unseen in training;
    - ``test2``: unseen posts of the other users, and the posts that show an image of an unseen user too;
    - ``train``: the rest.

    Then users who have nothing to learn from are unseen, too: their ``test2`` posts are ``test1``. A single user, posts
    of nobody, and a single image are never held out as a whole.

    Where some posts are marked, they keep their marks, and the others are for training.

    An image is on one side only. Marks that were given may put it on several: its posts on the side of tests stay,
    or else those for validation, and the others are left out.

    Args:
        posts: All posts.
        users: The part of the users that is held out, each with this probability.
        posts_share: The part of the other users' images that is held out.
        seed: Another seed gives another draw.
        report: Called with a sentence about what is left out.

    Returns:
        The posts with their marks, in the order given.

    Raises:
        PolygraftError: a share is not in 0..1, a mark is unknown, or the draw leaves nothing for training.
    """
    for name, share in {"users": users, "posts_share": posts_share}.items():
        if not 0 <= share < 1:
            raise PolygraftError(f"{name} is {share}, allowed is 0 up to, not including, 1")
    unknown = sorted({post.split for post in posts} - {"", *SPLITS})
    if unknown:
        raise PolygraftError(f"a post is marked {unknown[0]!r}: a split is one of {', '.join(SPLITS)}, or empty")
    images = _by_image(posts)
    if any(post.split for post in posts):
        marks = [post.split or "train" for post in posts]
    else:
        marks = _draw_marks(posts, images, users, posts_share, seed)
        if posts and "train" not in marks:
            raise PolygraftError(
                f"all {len(posts)} posts are held out with users={users}, posts_share={posts_share} and seed={seed}: "
                "take smaller shares or another seed"
            )
    kept = _on_one_side(marks, images)
    if report and len(kept) < len(posts):
        report(f"{len(posts) - len(kept)} posts left out: their images are held out for validation or tests")
    return [replace(post, split=mark) for at, (post, mark) in enumerate(zip(posts, marks, strict=True)) if at in kept]


def _by_image(posts: Sequence[Post]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, post in enumerate(posts):
        found.setdefault(os.path.normpath(post.image), []).append(at)
    return found


def _draw_marks(
    posts: Sequence[Post], images: dict[str, list[int]], users: float, posts_share: float, seed: int
) -> list[str]:
    names = {post.user for post in posts} - {""}
    unseen = {user for user in names if len(names) > 1 and _draw(seed, "user", user) < users}
    marks = ["train"] * len(posts)
    for numbers in images.values() if len(images) > 1 else ():
        group = [posts[at] for at in numbers]
        held = any(post.user in unseen for post in group) or _draw(seed, "test", *_names(group)) < posts_share
        for at in numbers:
            marks[at] = "test1" if posts[at].user in unseen else "test2" if held else "train"
    # whose posts are all held out is unseen, too
    learned, tested = (
        {post.user for post, own in zip(posts, marks, strict=True) if own == mark} for mark in ("train", "test2")
    )
    unseen = tested - learned - {""}
    return ["test1" if post.user in unseen else mark for post, mark in zip(posts, marks, strict=True)]


def _on_one_side(marks: Sequence[str], images: dict[str, list[int]]) -> set[int]:
    kept: set[int] = set()
    for numbers in images.values():
        side = max(_SIDES[marks[at]] for at in numbers)
        kept.update(at for at in numbers if _SIDES[marks[at]] == side)
    return kept


def _names(group: Sequence[Post]) -> list[str]:
    # what depends neither on the folder nor on the order of the posts
    return sorted({f"{post.image.name}\0{post.text}" for post in group})


def _draw(seed: int, *parts: str) -> float:
    # in 0..1
    return int.from_bytes(_hash(seed, *parts)[:8], "big") / 2**64


def _hash(seed: int, *parts: str) -> bytes:
    # surrogates stand for bytes of file names that are not UTF-8
    return hashlib.sha256("\0".join([str(seed), *parts]).encode("utf-8", "surrogatepass")).digest()


def split_posts(
    posts: Sequence[Post], share: float, *, by: Literal["post", "user"] = "post", seed: int = 0
) -> tuple[list[Post], list[Post]]:
    """Split posts into training and validation, before anything is learned from them.

    ``by="post"`` keeps all texts of one image on one side; ``by="user"`` all posts of one user. The order of the
    posts and the folder they lie in do not matter.

    Args:
        posts: All posts.
        share: The part of the images or users that goes to validation; at least one does unless it is 0.
        by: What is never on both sides.
        seed: Another seed gives another split.

    Returns:
        training and validation posts, each in the order given.

    Raises:
        PolygraftError: there are too few images or users to have both sides.
    """
    groups: dict[str, list[Post]] = {}
    for post in posts:
        groups.setdefault(post.user if by == "user" else str(post.image), []).append(post)
    wanted = max(1, round(share * len(groups))) if share else 0
    if wanted >= len(groups):
        noun = "users" if by == "user" else "images"
        raise PolygraftError(f"{len(groups)} {noun} cannot be split by {by} with a share of {share} for validation")
    drawn = sorted(groups, key=lambda name: _rank(groups[name], by, seed))[:wanted]
    held = {id(post) for name in drawn for post in groups[name]}
    return [p for p in posts if id(p) not in held], [p for p in posts if id(p) in held]


def _rank(group: Sequence[Post], by: str, seed: int) -> bytes:
    return _hash(seed, *(sorted({post.user for post in group}) if by == "user" else _names(group)))


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """What is kept from training; posts with a split of their own keep it."""

    test_users: float = 0.0
    """Share of the users held out for tests, with all their posts (test1)."""
    test_posts: float = 0.0
    """Share of the other users' images held out for tests (test2)."""
    val_share: float = 0.1
    """Share of the images (or users) then held out for validation; 0: none, and the last weights are kept."""
    split_by: Literal["post", "user"] = "post"
    """Unit of the split: no image, or no user, is in both training and validation."""

    def __post_init__(self) -> None:
        for name in ("test_users", "test_posts", "val_share"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is 0 up to, not including, 1")

    def mark(self, posts: Sequence[Post], *, seed: int = 0, report: Report | None = None) -> list[Post]:
        """Say of each post what it is for; the same posts, options and seed give the same answer.

        Args:
            posts: All posts. Where any has a split, those without are for training.
            seed: Another seed gives another draw.
            report: See `multimodal.data.splits.mark_splits`.

        Raises:
            UsageError: test posts are to be drawn, but the posts have splits already.
            PolygraftError: there are too few posts to part them.
        """
        if any(post.split for post in posts) and (self.test_users or self.test_posts):
            raise UsageError("the posts have splits already: leave out test_users and test_posts")
        marked = mark_splits(posts, users=self.test_users, posts_share=self.test_posts, seed=seed, report=report)
        learned = [post for post in marked if post.split == "train"]
        if not self.val_share or not learned or any(post.split == "validation" for post in marked):
            return marked
        held = {post.id for post in split_posts(learned, self.val_share, by=self.split_by, seed=seed)[1]}
        return [replace(post, split="validation") if post.id in held else post for post in marked]
