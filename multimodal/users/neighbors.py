"""Past captions of other users who write alike, borrowed where a user's own past says little of an image.

Similar users are found as in collaborative filtering by neighbours (Resnick et al., 1994, "GroupLens"): what a
user wrote of their images is compared with what each other user wrote of the most similar ones. A few posts tell it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from backbone.errors import PolygraftError
from multimodal.profile.profile import DIGITS, SAME_IMAGE, Flags, PastCaption, Profile, Vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


LENDERS = 300  # users at most who share, those with the most posts
POSTS_EACH = 300  # past posts at most that each of them shares, spread evenly over the past
_SHARPNESS = 10.0  # how fast a comparison counts for less where the images are less alike
_ENOUGH = 0.9  # agreement that is needed to be trusted as the user's own past is
_CHUNK = 256
_FEATURES = 1 << 16
_SPARE = 8  # as many captions as are wanted are looked at, so that repeated ones can be left out

Rows = np.ndarray[Any, np.dtype[np.int64]]
Reals = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Community:
    """The past posts of A users, M posts in all, author by author, of P images."""

    users: tuple[str, ...]
    starts: Rows  # (A + 1,) where the posts of each user begin
    texts: tuple[str, ...]  # (M,)
    groups: tuple[str, ...]  # (M,) see `Profile.groups`
    times: tuple[str, ...]  # (M,) when each was posted, "" where that is not known
    images: Vectors  # (P, dv) features, L2-normalised
    shown: Rows  # (M,) which of the images each post shows
    encoder: str  # digest of the image encoder that made ``images``
    distrust: float = 3.0
    """What the caption of a user not alike at all loses in similarity; one of the user most alike loses nothing."""

    @classmethod
    def of(cls, pasts: Mapping[str, Profile]) -> "Community":
        """Gather the posts that are borrowed; users whose images are not known share none.

        Raises:
            PolygraftError: the images were seen by different image encoders.
        """
        able = {user: past for user, past in pasts.items() if past.pooled is not None and len(past)}
        if len({past.encoder for past in able.values()}) > 1:
            raise PolygraftError(
                "the users of a community were seen by different image encoders: make their pasts again"
            )
        users = sorted(sorted(able, key=lambda user: (-len(able[user]), user))[:LENDERS])
        members = [able[user].take(_evenly(len(able[user]), POSTS_EACH)) for user in users]
        pooled = [member.pooled for member in members if member.pooled is not None]
        rows = np.concatenate(pooled) if pooled else np.zeros((0, 1), dtype=np.float32)
        images, shown = np.unique(rows, axis=0, return_inverse=True)
        return cls(
            users=tuple(users),
            starts=np.cumsum([0, *map(len, members)]),
            texts=tuple(text for member in members for text in member.texts),
            groups=tuple(group for member in members for group in member.groups),
            times=tuple(time for member in members for time in member.times),
            images=images.astype(np.float32),
            shown=shown.reshape(-1).astype(np.int64),
            encoder=members[0].encoder if members else "",
        )

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def authors(self) -> Rows:
        """(M,) the number of each post's author."""
        return np.repeat(np.arange(len(self.users)), np.diff(self.starts))

    @cached_property
    def arrays(self) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], csr_matrix]":
        """(M,) groups and (M,) times, to be compared all at once, and (M, F) how texts are spelled, see `spelled`."""
        return np.array(self.groups, dtype=object), np.array(self.times, dtype=object), spelled(self.texts)

    @cached_property
    def _exact_images(self) -> Reals:
        return self.images.astype(np.float64)

    def similarity(self, queries: Vectors) -> Reals:
        """Return the cosine of each of B images (B, dv) with each of the community's, (B, P), rounded."""
        if not len(self):
            return np.zeros((len(queries), 0))
        found: Reals = (queries.astype(np.float64) @ self._exact_images.T).round(DIGITS)
        return found

    def neighbours(self, profile: Profile) -> "Neighbours":
        """Compare a user with everybody else.

        Raises:
            PolygraftError: the profile was made with another image encoder.
        """
        if profile.pooled is not None and len(self) and profile.encoder != self.encoder:
            raise PolygraftError(
                f"the profile of {profile.user!r} was made with another image encoder than the others' posts"
            )
        return Neighbours(self, profile)


class Neighbours:
    """A community as one user sees it: how far each other user is trusted to write what they would.

    Args:
        community: The others; posts of the user's own name among them are not borrowed.
        profile: The past posts of the user. Without images nothing can be compared, and nothing is borrowed.
    """

    def __init__(self, community: Community, profile: Profile) -> None:
        self._community = community
        self._own = np.array([user == profile.user for user in community.users], dtype=bool)
        self._agreement, self._weight = _compared(community, profile)

    def trust(self, visible: Flags | None = None) -> Reals:
        """Return how far each other user is trusted, (A,) in 0..1: the most alike wholly, if alike enough.

        Args:
            visible: The posts of the profile to go by, (N,); all by default.
        """
        rows = slice(None) if visible is None else visible
        total = self._weight[rows].sum(axis=0)
        agreed = np.divide(
            (self._agreement[rows] * self._weight[rows]).sum(axis=0), total, out=np.zeros_like(total), where=total > 0
        )
        agreed[self._own] = 0.0
        found: Reals = (agreed / max(float(agreed.max(initial=0.0)), _ENOUGH)).round(DIGITS)
        return found

    def similarity(self, queries: Vectors) -> Reals:
        """See `Community.similarity`."""
        return self._community.similarity(queries)

    def borrowed(
        self, similarity: Reals, trust: Reals, limit: int, *, group: str = "", before: str = ""
    ) -> list[PastCaption]:
        """Return the past captions that are nearest and most trusted, those worth most first.

        Args:
            similarity: The cosines of one image, (P,), see `similarity`. Posts of the very same image are not borrowed.
            trust: The trust in each user, (A,), see `trust`; where it is 0 for all nothing is borrowed.
            limit: The largest number of captions, each text once.
            group: A group whose posts are near duplicates, and are not borrowed; "": none.
            before: A time; posts of then or later are not borrowed, nor are those without a time; "": all are.
        """
        community = self._community
        if not limit or not trust.any():
            return []
        cosines = similarity[community.shown]
        barred = self._own[community.authors] | (cosines >= SAME_IMAGE)
        groups, times, _ = community.arrays
        if group:
            barred |= groups == group
        if before:
            barred |= (times >= before) | (times == "")
        scores = cosines + community.distrust * (trust[community.authors] - 1.0)
        scores[barred] = -np.inf
        # only the best few are sorted
        wanted = min(len(scores), limit * _SPARE)
        least = np.partition(scores, -wanted)[-wanted]
        near = np.flatnonzero((scores >= least) & ~barred)
        best: dict[str, PastCaption] = {}
        for at in near[np.argsort(-scores[near], kind="stable")].tolist():
            text = community.texts[at]
            best.setdefault(text, PastCaption(text, float(cosines[at]), float(scores[at])))
        return list(best.values())[:limit]


def _evenly(count: int, most: int) -> list[int]:
    found: list[int] = np.linspace(0, count - 1, min(count, most)).astype(int).tolist()
    return found


def _compared(community: Community, profile: Profile) -> tuple[Reals, Reals]:
    """Return how alike each past text and that of each user's nearest image are, (N, A), and what that weighs."""
    shape = (len(profile), len(community.users))
    agreement, weight = np.zeros(shape), np.zeros(shape)
    if profile.pooled is None or not all(shape):
        return agreement, weight
    own, others = spelled(profile.texts), community.arrays[2]
    for start in range(0, len(profile), _CHUNK):
        rows = slice(start, start + _CHUNK)
        cosines = community.similarity(profile.pooled[rows])[:, community.shown]
        for user, (first, last) in enumerate(zip(community.starts[:-1], community.starts[1:], strict=True)):
            nearest = cosines[:, first:last].argmax(axis=1)
            alike = own[rows].multiply(others[first + nearest]).sum(axis=1)
            agreement[rows, user] = np.asarray(alike).ravel()
            weight[rows, user] = np.exp(_SHARPNESS * (cosines[np.arange(len(nearest)), first + nearest] - 1.0))
    return agreement, weight


def spelled(texts: Sequence[str]) -> "csr_matrix":
    """Return texts as counts of their runs of 1 to 4 characters, (N, F), rows of length 1.

    Case and signs count: a shortcode is not like a title, though they say the same.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    vectors = HashingVectorizer(
        analyzer="char_wb", ngram_range=(1, 4), lowercase=False, alternate_sign=False, n_features=_FEATURES
    )
    return vectors.transform(texts)
