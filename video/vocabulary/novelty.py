"""Novelty detection: whether a vocabulary has words for what a query shows.

VLog calls a clip new where its best cosine is below 0.4 (Section 3.4). That number belongs to one model and one
vocabulary; here the line is drawn by held-out examples of both kinds, and AUROC measures how well any line can do.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backbone.errors import PolygraftError, UsageError

NEIGHBOURS = 5  # best narrations from which novelty is read, by default
_STEPS = 50
_RIDGE = 1e-2  # keeps weights finite where a line separates the examples without fault


def features(scores: Tensor) -> Tensor:
    """Return what novelty is read from: the best score, and its margin over the mean of the runners-up.

    Args:
        scores: (Q, k) cosines of the k best narrations, best first; k is at least 2.

    Returns:
        (Q, 2) float64.
    """
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise UsageError(
            f"novelty is read from at least 2 scores a query, but got {tuple(scores.shape)}: search with k=2"
        )
    scores = scores.double()
    return torch.stack([scores[:, 0], scores[:, 0] - scores[:, 1:].mean(dim=1)], dim=1)


@dataclass(frozen=True, kw_only=True)
class FixedThreshold:
    """The published rule: new where the best cosine is below a number."""

    threshold: float = 0.4

    def novelty(self, scores: Tensor) -> Tensor:
        """Return how new each query is, higher is newer: (Q,) float64 for scores (Q, k), best first."""
        return -scores[:, 0].double()

    def is_novel(self, scores: Tensor) -> Tensor:
        """Return (Q,) bool."""
        return self.novelty(scores) > -self.threshold


@dataclass(frozen=True, kw_only=True)
class CalibratedMargin:
    """Logistic regression on best score and margin, with a threshold on its probability of being new."""

    weights: tuple[float, float]  # of best score and margin, see `features`
    bias: float
    threshold: float = 0.5

    @classmethod
    def fit(cls, known: Tensor, novel: Tensor) -> "CalibratedMargin":
        """Learn from held-out queries; the threshold is where both kinds, equally frequent, are equally likely.

        Args:
            known: (K, k) scores, best first, of queries whose narration is in the vocabulary.
            novel: (M, k) of queries whose narration was kept out of it.

        Raises:
            PolygraftError: One of the kinds is missing.
        """
        if not len(known) or not len(novel):
            raise PolygraftError("novelty needs held-out queries of both kinds, known and new, to be calibrated")
        rows = torch.cat([features(known), features(novel)])
        labels = torch.cat([torch.zeros(len(known)), torch.ones(len(novel))]).double()
        mean, spread = rows.mean(dim=0), rows.std(dim=0, correction=0).clamp(min=1e-6)
        # each kind counts one half, however many there are of it
        share = torch.where(labels > 0, 0.5 / len(novel), 0.5 / len(known))
        solution = _logistic((rows - mean) / spread, labels, share)
        scaled = solution[:2] / spread
        first, second = scaled.tolist()
        return cls(weights=(first, second), bias=float(solution[2] - scaled @ mean))

    def novelty(self, scores: Tensor) -> Tensor:
        """Return the probability of being new: (Q,) float64 for scores (Q, k), best first."""
        return (features(scores) @ torch.tensor(self.weights, dtype=torch.float64) + self.bias).sigmoid()

    def is_novel(self, scores: Tensor) -> Tensor:
        """Return (Q,) bool."""
        return self.novelty(scores) > self.threshold


Novelty = FixedThreshold | CalibratedMargin


def _logistic(rows: Tensor, labels: Tensor, share: Tensor) -> Tensor:
    """Minimise the weighted logistic loss with a small ridge by Newton's method; return weights and bias."""
    design = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], dim=1)
    ridge = torch.diag(torch.tensor([_RIDGE, _RIDGE, 1e-6], dtype=rows.dtype))
    solution = torch.zeros(3, dtype=rows.dtype)
    for _ in range(_STEPS):
        guess = (design @ solution).sigmoid()
        gradient = design.T @ (share * (guess - labels)) + ridge @ solution
        curvature = (design * (share * guess * (1 - guess))[:, None]).T @ design + ridge
        step = torch.linalg.solve(curvature, gradient)
        solution = solution - step
        if float(step.abs().max()) < 1e-10:
            break
    return solution


def auroc(known: Tensor, novel: Tensor) -> float:
    """Return the area under the ROC curve: how often a new query is called newer than a known one; a tie is half.

    Args:
        known: (K,) novelty of queries whose narration is in the vocabulary.
        novel: (M,) novelty of the others.

    Raises:
        PolygraftError: One of the kinds is missing.
    """
    if not len(known) or not len(novel):
        raise PolygraftError("AUROC needs queries of both kinds, known and new")
    ordered, asked = known.double().sort().values, novel.double().contiguous()
    below = torch.searchsorted(ordered, asked, side="left").double()
    equal = torch.searchsorted(ordered, asked, side="right").double() - below
    return float((below + equal / 2).mean() / len(known))
