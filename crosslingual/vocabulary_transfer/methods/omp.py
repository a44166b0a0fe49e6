"""Rows written as sparse sums of shared tokens by orthogonal matching pursuit in a helper model's embedding.

Shapes: B targets, n atoms, a numbers in a vector, k atoms in a sum.
"""

import numpy as np
import torch
from torch import Tensor

from backbone.training.logger import watched
from crosslingual.arrays import Array
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.methods.focus import Anchors
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from crosslingual.vocabulary_transfer.overlap import copies

_BLOCK = 256  # targets at once
_SPENT = 1e-6  # an atom with a smaller share of its length outside the span of the others adds nothing


def omp(source: Vocabulary, target: Vocabulary, donor: Array, *, atoms: int = 64) -> Mixing:
    """Return rows by orthogonal matching pursuit (Goddard and Fernandes Neto, 2025, section 3).

    In the helper's embedding a token is a sum of a few shared tokens; the same sum of the source's rows is its row.
    ``donor`` is that embedding, (T, a). A sum has no more ``atoms`` than there are shared tokens, nor than its width.
    """
    anchors = Anchors.of(copies(source, target), target, donor)
    parts = []
    if len(anchors.here):
        points = torch.from_numpy(donor[anchors.here].astype(np.float32))
        blocks = [anchors.new[start : start + _BLOCK] for start in range(0, len(anchors.new), _BLOCK)]
        for rows in watched(blocks, "omp"):
            chosen, weights = pursue(torch.from_numpy(donor[rows].astype(np.float32)), points, atoms)
            used = (weights != 0).numpy()
            owners = np.broadcast_to(rows[:, None], used.shape)
            parts.append((owners[used], chosen.numpy()[used], weights.numpy()[used]))
    return anchors.filled(parts, "omp")


def pursue(targets: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Write each target as a sum of ``count`` points (Pati et al., 1993), chosen one by one.

    Each time the point with the largest inner product with what is left is taken, its length included as in the
    authors' code, and the target is projected anew on all that are taken, by Gram and Schmidt.

    Args:
        targets: (B, a) float32.
        points: (n, a) float32.
        count: k; at most n and a.

    Returns:
        (points, weights), both (B, k): int64 and float64; weights of points that add nothing are 0.
    """
    count = min(count, *points.shape)
    wanted = targets.double()
    size = len(targets)
    basis = torch.zeros(size, targets.shape[1], count, dtype=torch.float64)
    triangle = torch.eye(count, dtype=torch.float64).repeat(size, 1, 1)
    chosen = torch.zeros(size, count, dtype=torch.int64)
    left = wanted.clone()
    products = torch.empty(size, len(points))
    for step in range(count):
        torch.matmul(left.float(), points.T, out=products)
        products.abs_().scatter_(1, chosen[:, :step], -torch.inf)
        chosen[:, step] = products.argmax(dim=1)
        point = points[chosen[:, step]].double()
        inside = (point[:, None] @ basis[..., :step])[:, 0]
        outside = point - (basis[..., :step] @ inside[..., None])[..., 0]
        length = outside.norm(dim=1)
        fresh = length > _SPENT * point.norm(dim=1)
        triangle[:, :step, step] = inside
        triangle[:, step, step] = torch.where(fresh, length, 1)
        basis[..., step] = torch.where(fresh, 1 / torch.where(fresh, length, 1), 0)[:, None] * outside
        left -= basis[..., step] * (basis[..., step] * left).sum(dim=1, keepdim=True)
    projected = basis.transpose(1, 2) @ wanted[..., None]
    return chosen, torch.linalg.solve_triangular(triangle, projected, upper=True)[..., 0]
