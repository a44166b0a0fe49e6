"""What is known of the authors of a set of captions: their pasts, their words, and what of it each caption is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from multimodal.batches import CaptionSet
from multimodal.profile.profile import Context, ContextLimits, ContextMode
from multimodal.profile.tfidf import WordTable
from multimodal.users.contexts import contexts
from multimodal.users.history import UserPosts, collect
from multimodal.users.neighbors import Community


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a captioner may know of users."""

    past: dict[str, UserPosts]
    """Of each user; one who is not there is nobody."""
    table: WordTable
    limits: ContextLimits
    mode: ContextMode = "leave-one-out"
    community: Community | None = None
    """Who lends past captions; None: nobody."""

    def shown(
        self, data: CaptionSet, *, authors: Sequence[str] | None = None, vary: int | None = None
    ) -> list[Context]:
        """Return what is shown of its author for each caption.

        Args:
            data: pictures, captions and posts.
            authors: whom to show in the author's place, for each caption.
            vary: see `multimodal.users.contexts.contexts`.
        """
        if authors is not None:
            posts = (replace(post, user=user) for post, user in zip(data.posts, authors, strict=True))
            data = replace(data, posts=tuple(posts))
        return contexts(data, self.past, self.table, self.limits, mode=self.mode, vary=vary, community=self.community)


def pasts(data: CaptionSet, encoder: str) -> dict[str, UserPosts]:
    """Return the posts of each author of ``data``, whose pictures the encoder of this digest has seen."""
    return collect(data.posts, data.pooled.numpy(), encoder)


def learned_words(data: CaptionSet) -> WordTable:
    """Return the words of the authors of ``data``; posts without a user are nobody's."""
    texts: dict[str, list[str]] = {}
    for post in data.posts:
        if post.user:
            texts.setdefault(post.user, []).append(post.text)
    return WordTable.fit(texts)
