"""The two records of a user that travel: `Profile`, the past posts, and `Context`, what is shown of them for one image.

A profile is made of past posts alone: a new user costs no training. `multimodal.profile.tensors` makes tensors of
contexts; `multimodal.users` reads profiles and chooses what a caption in training or evaluation may see of them.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from backbone.errors import PolygraftError
from backbone.io.files import atomic_file, read_json, write_json
from multimodal.profile.text_features import Style, WordTable

FORMAT = 1
MAX_POSTS = 5_000  # past posts that are kept of a user: the latest, or the last in their list
STYLE_POSTS = 32  # past posts whose style is measured, spread evenly over the past
DIGITS = 4  # places to which similarity is rounded, so that the order of sums does not change what is shown
SAME_IMAGE = 0.999  # cosine from which two feature rows are one image: nobody is shown their own caption of it

ContextMode = Literal["leave-one-out", "history", "paper"]

Vectors = np.ndarray[Any, np.dtype[np.float32]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


class PastCaption(NamedTuple):
    """A past caption, the user's own or borrowed by another one."""

    text: str
    similarity: float  # of its image to another one, from -1 to 1
    worth: float = 0.0  # the similarity, less what it loses by distrust of who wrote it


@dataclass(frozen=True, kw_only=True)
class ContextLimits:
    """How much of a profile is shown for an image."""

    words: int = 60  # TF-IDF words
    posts: int = 3  # past captions, those of the most similar images
    voters: int = 0
    """Past captions by which one of several is chosen, so many of the user's own and so many borrowed ones."""

    @property
    def borrows(self) -> int:
        """Past captions at most that others share."""
        return max(self.posts, self.voters)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is shown of a user for one image."""

    words: tuple[tuple[int, float], ...] = ()  # numbers of words in the table, with weights in 0..1, the greatest first
    posts: tuple[tuple[str, float], ...] = ()
    """Past captions and the cosine of their images with this one, the greatest first. Those of other users, see
    `multimodal.users.neighbors`, stand among them with less than that."""
    style: tuple[float, ...] = (0.0,) * Style.SIZE  # `Style.as_vector` of the past captions
    known: bool = False  # whether there is any past post

    # The mapper reads what stands above. What follows is not recognised by repr, which names the data that it learns
    # from.

    voters: tuple[PastCaption, ...] = field(default=(), repr=False)
    """Past captions that vote in reranking: the user's own, the most similar first, then borrowed ones."""
    user: str = field(default="", repr=False)  # who it is: it tells users apart in training


NOBODY = Context()  # nothing is known of the user


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """Past posts of a user."""

    user: str = ""
    texts: tuple[str, ...] = ()  # the captions, oldest first
    pooled: Vectors | None = None
    """(N, dv) features of their images, L2-normalised; None: only texts are known, and the latest are shown."""
    encoder: str = ""  # digest of the image encoder that made ``pooled``

    # Of each post, where profiles are made for training or evaluation; they decide what a caption may see, and are not
    # saved.

    ids: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Posts of one group are near duplicates: who writes one is not shown the others. "" is in no group."""

    def __post_init__(self) -> None:
        if self.pooled is not None and (self.pooled.ndim != 2 or len(self.pooled) != len(self.texts)):
            raise PolygraftError(f"the profile of {self.user!r} has {len(self.texts)} texts, and features of others")

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def _exact_pooled(self) -> np.ndarray[Any, np.dtype[np.float64]] | None:
        return None if self.pooled is None else self.pooled.astype(np.float64)

    def _similarity(self, query: Vectors) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the cosine of each past image with this one.

        It is rounded, so that the order of sums (threads, another machine) does not change what is shown: a run that is
        resumed must see the same data.
        """
        if self._exact_pooled is None:
            return np.zeros(len(self.texts))
        cosines: np.ndarray[Any, np.dtype[np.float64]] = self._exact_pooled @ query.astype(np.float64)
        return cosines.round(DIGITS)

    def same_image(self, query: Vectors) -> Flags:
        """Return which past posts show this very image, (N,)."""
        found: Flags = self._similarity(query) >= SAME_IMAGE
        return found

    def take(self, rows: Sequence[int]) -> "Profile":
        """Return the profile with these posts alone, in this order."""
        kept: dict[str, Any] = {
            name: tuple(values[row] for row in rows)
            for name in ("texts", "ids", "times", "groups")
            if (values := getattr(self, name))
        }
        return replace(self, pooled=None if self.pooled is None else self.pooled[list(rows)], **kept)

    def context(
        self,
        query: Vectors,
        table: WordTable,
        limits: ContextLimits,
        *,
        hidden: Flags | None = None,
        all_words: bool = False,
        borrowed: Sequence[PastCaption] = (),
    ) -> Context:
        """Choose what is shown for an image; a past post of the very same image is never shown.

        Args:
            query: The features of the image, (dv,), L2-normalised.
            table: The words that the captioner knows.
            limits: How much is shown.
            hidden: The posts that must not be seen, (N,): the one to be captioned, its near duplicates, later ones.
            all_words: Whether the words of hidden posts are seen. The published protocol counts the words of every
                post, and so of the very caption that is to be written.
            borrowed: The past captions of other users, the most worth first; they are shown where they are worth more
                than the user's own.
        """
        similarity = self._similarity(query)
        unseen = similarity >= SAME_IMAGE
        kept = np.flatnonzero(~(unseen if hidden is None else unseen | hidden))
        worded = range(len(self)) if all_words else kept
        if not len(worded):
            return NOBODY
        # the latest of equally similar ones first
        nearest = kept[np.lexsort((-kept, -similarity[kept]))][: limits.borrows]
        cosines = similarity[nearest].tolist()
        own = [PastCaption(self.texts[at], cosine, worth=cosine) for at, cosine in zip(nearest, cosines, strict=True)]
        sampled = np.linspace(0, len(kept) - 1, min(len(kept), STYLE_POSTS)).astype(int)
        return Context(
            words=tuple(table.top([self.texts[at] for at in worded], limits.words)) if limits.words else (),
            posts=tuple((one.text, one.worth) for one in _worthiest(own[: limits.posts], borrowed, limits.posts)),
            voters=(*own[: limits.voters], *borrowed[: limits.voters]),
            style=tuple(Style.of([self.texts[at] for at in kept[sampled]]).as_vector()),
            known=True,
            user=self.user,
        )

    # The disk

    def save(self, file: Path) -> None:
        """Write the profile as JSON; features are kept in half precision, as base-64 text."""
        content: dict[str, Any] = {"format": FORMAT, "user": self.user, "texts": list(self.texts)}
        if self.pooled is not None:
            rows = base64.b64encode(self.pooled.astype("<f2").tobytes()).decode("ascii")
            content["features"] = {"encoder": self.encoder, "width": self.pooled.shape[1], "rows": rows}
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as partial:
            write_json(partial, content)

    @classmethod
    def load(cls, file: Path) -> "Profile":
        """Read what `save` wrote.

        Raises:
            PolygraftError: it is missing, damaged, or of another format.
        """
        content = read_json(file)
        if content.get("format") != FORMAT:
            raise PolygraftError(f"{file} is no profile of format {FORMAT}: make it again from the posts")
        texts, features = content.get("texts"), content.get("features")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise PolygraftError(f"{file} is a damaged profile: its texts are no list of texts")
        pooled, encoder = None, ""
        if features is not None:
            pooled, encoder = _read_rows(features, len(texts), file), str(features["encoder"])
        return cls(user=str(content.get("user", "")), texts=tuple(texts), pooled=pooled, encoder=encoder)


def _worthiest(own: list[PastCaption], borrowed: Sequence[PastCaption], limit: int) -> list[PastCaption]:
    # the user's own first of equals; what the user wrote is not borrowed again
    if not borrowed:
        return own
    written = {one.text for one in own}
    return sorted([*own, *(one for one in borrowed if one.text not in written)], key=lambda one: -one.worth)[:limit]


def _read_rows(features: Any, count: int, file: Path) -> Vectors:
    try:
        raw = base64.b64decode(features["rows"], validate=True)
        rows = np.frombuffer(raw, dtype="<f2").reshape(count, features["width"]).astype(np.float32)
        _ = features["encoder"]
    except (ValueError, KeyError, TypeError):
        raise PolygraftError(f"{file} is a damaged profile: its features do not fit its texts") from None
    if not np.isfinite(rows).all():
        raise PolygraftError(f"{file} is a damaged profile: its features hold NaN or infinity")
    return normalised(rows)


def normalised(rows: Vectors) -> Vectors:
    """Return rows of length 1."""
    scaled: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled.astype(np.float32)


def latest(order: Sequence[str], limit: int = MAX_POSTS) -> list[int]:
    """Return the positions of the latest posts, oldest first, by their times; posts without time keep their order."""
    positions = sorted(range(len(order)), key=lambda at: (order[at], at))
    return positions[-limit:]
