"""Retrieval of an image's caption among the captions of held-out images, and the ridge it is compared with."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DEPTHS = (1, 5, 10)


def retrieval(images: Tensor, texts: Tensor, captions: Sequence[str]) -> dict[str, float]:
    """Rank the distinct captions for each image.

    Args:
        images: (N, d) float32, L2-normalised.
        texts: (N, d) float32, L2-normalised: the caption of each image.
        captions: N captions, in the form in which equal ones are equal strings.

    Returns:
        ``recall_1``, ``recall_5``, ``recall_10`` and ``mrr`` (mean reciprocal rank); ``chance_1`` and so on, what
        guessing gives; ``images`` and ``captions``, the counts. Of captions that tie, the true one comes last.
    """
    numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    first = [captions.index(caption) for caption in numbers]
    gold = torch.tensor([numbers[caption] for caption in captions])
    scores = images @ texts[first].T
    own = scores.gather(1, gold[:, None])
    rank = (scores >= own).sum(1)  # the true caption counts itself
    found = {f"recall_{k}": float((rank <= k).float().mean()) for k in DEPTHS}
    chance = {f"chance_{k}": min(1.0, k / len(numbers)) for k in DEPTHS}
    counts = {"images": float(len(captions)), "captions": float(len(numbers))}
    return found | {"mrr": float((1 / rank).mean())} | chance | counts


def retrieval_by_set(
    images: Tensor, texts: Tensor, captions: Sequence[str], sets: Sequence[str]
) -> dict[str, dict[str, float]]:
    """`retrieval` within each set of images, and over all of them together."""
    table = {}
    for name in sorted(set(sets)):
        rows = [row for row, own in enumerate(sets) if own == name]
        table[name] = retrieval(images[rows], texts[rows], [captions[row] for row in rows])
    return table | {"all": retrieval(images, texts, captions)}


def ridge(features: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Return weights (f, d) and offset (d,) that map ``features`` (N, f) to ``targets`` (N, d) by ridge regression."""
    center, middle = features.mean(0), targets.mean(0)
    shifted = features - center
    gram = shifted.T @ shifted + strength * torch.eye(features.shape[1])
    weights = torch.linalg.solve(gram, shifted.T @ (targets - middle))
    return weights, middle - center @ weights


def apply_ridge(features: Tensor, fitted: tuple[Tensor, Tensor]) -> Tensor:
    """Map features (N, f) to L2-normalised rows (N, d)."""
    return F.normalize(features @ fitted[0] + fitted[1], dim=-1)
