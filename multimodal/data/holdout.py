"""What is kept from training: the options that training and evaluation share, so that they part posts alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from backbone.errors import UsageError
from multimodal.data.posts import Post, Report
from multimodal.data.splits import mark_splits, split_posts


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """What is kept from training; posts with a split of their own keep it."""

    test_users: float = 0.0
    """Share of the users held out for tests, with all their posts (test1)."""
    test_posts: float = 0.0
    """Share of the other users' pictures held out for tests (test2)."""
    val_share: float = 0.1
    """Share of the pictures (or users) that is then held out for validation; 0: none, and nothing chooses or guards."""
    split_by: Literal["post", "user"] = "post"
    """Whether a picture or a user is never both in training and in validation."""

    def __post_init__(self) -> None:
        for name in ("test_users", "test_posts", "val_share"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is 0 up to, not including, 1")

    def mark(self, posts: Sequence[Post], *, seed: int = 0, report: Report | None = None) -> list[Post]:
        """Say of each post what it is for; the same posts, options and seed give the same answer.

        Args:
            posts: all posts. Where any has a split, those without are for training.
            seed: another seed, another draw.
            report: see `multimodal.data.splits.mark_splits`.

        Raises:
            UsageError: test posts are to be drawn, but the posts have splits already.
            PolygraftError: there are too few posts to part them.
        """
        if any(post.split for post in posts) and (self.test_users or self.test_posts):
            raise UsageError("the posts have splits already: leave out test_users and test_posts")
        marked = mark_splits(
            posts, users=self.test_users, posts_share=self.test_posts, validation=0.0, seed=seed, report=report
        )
        learned = [post for post in marked if post.split == "train"]
        if not self.val_share or not learned or any(post.split == "validation" for post in marked):
            return marked
        held = {post.id for post in split_posts(learned, self.val_share, by=self.split_by, seed=seed)[1]}
        return [replace(post, split="validation") if post.id in held else post for post in marked]
