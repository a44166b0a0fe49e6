"""Images and their captions as training sees them: image features beside padded token ids."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backbone.errors import PolygraftError
from backbone.feature_cache import CachedFeatures, FeatureCache
from backbone.gpt2 import Backbone
from multimodal.data.posts import Post
from multimodal.profile.tensors import UserBatch, UserTensors


@dataclass(frozen=True, kw_only=True)
class CaptionBatch:
    """B images with one caption each."""

    pooled: Tensor  # (B, dv) float32, L2-normalised
    ids: Tensor  # (B, T) int64, end of text included, padded on the right
    mask: Tensor  # (B, T) bool, true where a token is real
    grid: Tensor | None = None  # (B, n, dg) float32, where the mapper reads it
    user: UserBatch | None = None  # what is shown of the authors, where the mapper knows users

    def by_row(self, tokens: Tensor) -> Tensor:
        """Add up a value of each real token, (N,) row by row, by captions, (B,)."""
        rows = self.mask.nonzero()[:, 0].to(tokens.device)
        return tokens.new_zeros(len(self.mask)).index_add(0, rows, tokens)

    def to(self, device: torch.device) -> "CaptionBatch":
        """Return the batch on ``device``."""
        parts = [part.to(device, non_blocking=True) for part in (self.pooled, self.ids, self.mask)]
        return CaptionBatch(
            pooled=parts[0],
            ids=parts[1],
            mask=parts[2],
            grid=None if self.grid is None else self.grid.to(device, non_blocking=True),
            user=None if self.user is None else self.user.to(device),
        )


@dataclass(frozen=True, kw_only=True)
class CaptionSet:
    """Images and captions: ``texts[i]`` belongs to image ``rows[i]`` of ``features``."""

    features: CachedFeatures  # each image once; every one has a caption
    rows: tuple[int, ...]
    texts: tuple[str, ...]
    posts: tuple[Post, ...] = ()  # the post of each caption

    @property
    def pooled(self) -> Tensor:
        """Pooled features of the image of each caption, (N, dv); grids, which are large, are not read."""
        return replace(self.features, grid_table=None).take(self.rows).pooled

    def references(self, images: Iterable[int]) -> list[list[str]]:
        """Return all captions of each of ``images``."""
        found: list[list[str]] = [[] for _ in range(len(self.features))]
        for row, text in zip(self.rows, self.texts, strict=True):
            found[row].append(text)
        return [found[image] for image in images]

    def without(self, other: "CaptionSet") -> "CaptionSet":
        """Return this set without the images that ``other`` holds too, under whatever name; both from one cache."""
        theirs = set(other.features.rows.tolist())
        return self.take([i for i, row in enumerate(self.rows) if int(self.features.rows[row]) not in theirs])

    def take(self, kept: Sequence[int]) -> "CaptionSet":
        """Return the set with these captions alone, in this order; images that lose theirs stay in ``features``."""
        return replace(
            self,
            rows=tuple(self.rows[i] for i in kept),
            texts=tuple(self.texts[i] for i in kept),
            posts=tuple(self.posts[i] for i in kept) if self.posts else (),
        )


def gather(posts: Sequence[Post], cache: FeatureCache, *, report: Callable[[str], None]) -> CaptionSet:
    """Encode the images of ``posts``, each once.

    Args:
        posts: The images and texts.
        cache: The cache that holds features, or makes them.
        report: Called with one sentence about each image that cannot be read; its posts are left out.

    Raises:
        PolygraftError: no image can be read.
    """
    images = list(dict.fromkeys(post.image for post in posts))
    features = cache.features(images)
    for sentence in features.unreadable.values():
        report(sentence)
    if not features.paths:
        raise PolygraftError(f"none of the {len(images)} images can be read: there is nothing to learn from")
    numbers = {path: number for number, path in enumerate(features.paths)}
    kept = [post for post in posts if post.image in numbers]
    return CaptionSet(
        features=features,
        rows=tuple(numbers[post.image] for post in kept),
        texts=tuple(post.text for post in kept),
        posts=tuple(kept),
    )


class CaptionBatches:
    """The samples of a training: one caption and its image each. Batches are cut to their longest caption.

    Args:
        data: The images and captions.
        backbone: The language model that the captions are tokenised for.
        max_tokens: Where a caption is cut, the end of text included.
        users: What is shown of the author of each caption; None: the mapper knows no users.
    """

    def __init__(self, data: CaptionSet, backbone: Backbone, max_tokens: int, users: UserTensors | None = None) -> None:
        self._users = users
        tokens = backbone.encode(data.texts, max_tokens=max_tokens)
        self._features = data.features
        self._rows = data.rows
        # 32 bits hold any id, so that hundreds of thousands of posts stay in memory
        self._ids = tokens.ids.to("cpu", torch.int32)
        self._lengths = tokens.mask.sum(dim=1).cpu()
        self.digest = self._compute_digest()

    def __len__(self) -> int:
        return len(self._rows)

    def collate(self, indices: Sequence[int]) -> CaptionBatch:
        """Return the batch of these captions, on the CPU."""
        chosen = torch.tensor(list(indices), dtype=torch.int64)
        lengths = self._lengths[chosen]
        width = int(lengths.max())
        features = self._features.take([self._rows[index] for index in indices])
        return CaptionBatch(
            pooled=features.pooled,
            grid=features.grid,
            ids=self._ids[chosen, :width].long(),
            mask=torch.arange(width) < lengths[:, None],
            user=None if self._users is None else self._users.batch(indices),
        )

    def _compute_digest(self) -> str:
        # of contents, not of features: those of another machine may differ in a last bit
        digest = hashlib.sha256(f"{self._features.digest}:{self._rows}".encode())
        for tensor in (self._ids, self._lengths):
            digest.update(tensor.contiguous().numpy().data)
        if self._users is not None:
            digest.update(self._users.digest.encode())
        return digest.hexdigest()
