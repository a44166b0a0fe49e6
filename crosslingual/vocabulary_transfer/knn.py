"""The most similar source tokens of each target token, exactly and reproducibly, and weights made of similarities.

Shapes: m source vectors, n target vectors, a numbers in a vector, k neighbours.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backbone.topk import top_k
from crosslingual.arrays import Array

_BLOCK = 512  # target rows compared at once
_DOUBT = 1e-5  # more than float32 can be wrong about a cosine


@dataclass(frozen=True, kw_only=True)
class NearestRows:
    """For each target the most similar sources, best first."""

    ids: Array  # (n, k) int64
    similarities: Array  # (n, k) float64 cosines


def nearest(
    target: Array, source: Array, count: int, *, target_starts: Array, source_starts: Array, allowed: Array
) -> NearestRows:
    """Return the nearest sources by cosine, as float64 orders them.

    Sources that are equally near stand in a fixed order: those that begin a word exactly if the target does, then
    the lower number. Found in float32 or bfloat16, a block at a time; candidates are scored again in float64. A zero
    vector has similarity 0 with everything.

    Args:
        target: (n, a) float32.
        source: (m, a) float32.
        count: k; no more than there are sources allowed.
        target_starts: (n,) bool, whether each begins a word.
        source_starts: (m,) bool.
        allowed: (m,) bool, which sources there are.
    """
    numbers = np.flatnonzero(allowed)
    count = min(count, len(numbers))
    groups = _Groups.of(source[numbers])
    members = [_members(groups, numbers, source_starts, starts, count) for starts in (False, True)]
    targets = _Groups.of(target)
    finder = _Finder(groups.vectors, count)
    ids = np.empty((len(target), count), dtype=np.int64)
    similarities = np.empty((len(target), count))
    for start in range(0, len(targets.vectors), _BLOCK):
        candidates, scores = finder.find(targets.vectors[start : start + _BLOCK])
        rows = np.flatnonzero((targets.of_row >= start) & (targets.of_row < start + _BLOCK))
        for begins in (False, True):
            some = rows[target_starts[rows] == begins]
            place = targets.of_row[some] - start
            agree = source_starts == begins
            ids[some], similarities[some] = _expand(candidates[place], scores[place], members[begins], agree, count)
            # all sources are equally near to a zero vector: the fixed order is that of all, not of some groups
            zero = some[~target[some].any(axis=1)]
            ids[zero] = numbers[np.lexsort((numbers, ~agree[numbers]))][:count]
    return NearestRows(ids=ids, similarities=similarities)


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Rows of which some are equal: a token with and without its leading space has one vector."""

    vectors: Array  # (g, a) each distinct row once
    of_row: Array  # which of them each row is

    @classmethod
    def of(cls, vectors: Array) -> "_Groups":
        vectors = np.ascontiguousarray(vectors, dtype=np.float32) + np.float32(0)  # -0 becomes 0
        seen: dict[bytes, int] = {}
        of_row = np.empty(len(vectors), dtype=np.int64)
        first: list[int] = []
        for number, row in enumerate(vectors):
            key = hashlib.blake2b(row.data, digest_size=16).digest()
            group = seen.setdefault(key, len(seen))
            if group == len(first):
                first.append(number)
            of_row[number] = group
        return cls(vectors=vectors[first], of_row=of_row)


def _members(groups: _Groups, numbers: Array, source_starts: Array, begins: bool, count: int) -> Array:
    """Return the first members of each group, those with the right flag first, (g, at most count) padded with -1."""
    order = np.lexsort((numbers, source_starts[numbers] != begins, groups.of_row))
    sorted_groups = groups.of_row[order]
    place = np.arange(len(order)) - np.searchsorted(sorted_groups, sorted_groups)
    kept = place < count
    table = np.full((len(groups.vectors), int(place[kept].max(initial=0)) + 1), -1, dtype=np.int64)
    table[sorted_groups[kept], place[kept]] = numbers[order[kept]]
    return table


def _expand(candidates: Array, scores: Array, members: Array, agree: Array, count: int) -> tuple[Array, Array]:
    """Put the members of candidate groups in their place and keep the first ``count``."""
    ids = members[candidates].reshape(len(candidates), candidates.shape[1] * members.shape[1])
    similarities = np.repeat(scores, members.shape[1], axis=1)
    similarities[ids < 0] = -np.inf
    order = np.lexsort((ids, ~agree[ids], -similarities))[:, :count]
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)


class _Finder:
    """Finds the groups nearest to targets: roughly first, then the best of these in float64."""

    def __init__(self, vectors: Array, count: int) -> None:
        self.count = min(count, len(vectors))
        lengths = _lengths(vectors)
        dtype = _quickest()
        # numbers of unit vectors are rounded by 2^-9 of them at most in bfloat16, and so are their product and a bound
        self.error = 2 * _DOUBT + (2**-7 if dtype == torch.bfloat16 else 0)
        self.vectors, self.lengths = torch.from_numpy(vectors), torch.from_numpy(_or_one(lengths))
        self.unit = torch.from_numpy(_unit(vectors, lengths)).to(dtype).T.contiguous()
        # one for all blocks: fresh memory costs a third of the product
        self.rough = torch.empty(_BLOCK, len(vectors), dtype=dtype)

    def find(self, targets: Array) -> tuple[Array, Array]:
        """Return (groups, cosines) of the nearest, both (n, count), best first."""
        lengths = _lengths(targets)
        rough = self.rough[: len(targets)]
        torch.matmul(torch.from_numpy(_unit(targets, lengths)).to(self.unit), self.unit, out=rough)
        wide, wide_lengths = torch.from_numpy(targets).double(), torch.from_numpy(_or_one(lengths))

        def exact(target: Tensor, group: Tensor) -> Tensor:
            products = (self.vectors[group].double() * wide[target]).sum(dim=1)
            return products / (wide_lengths[target] * self.lengths[group])

        scores, groups = top_k([(rough, exact)], len(targets), self.count, error=self.error)
        return groups.numpy(), scores.numpy()


def _quickest() -> torch.dtype:
    """Return the dtype of rough products: bfloat16 where the processor multiplies it, at three times the speed."""
    able: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # new in torch 2.11
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def _lengths(vectors: Array) -> Array:
    """Return Euclidean norms, summed in float64 without a copy of the vectors, (n,)."""
    lengths: Array = np.sqrt(np.einsum("na,na->n", vectors, vectors, dtype=np.float64, casting="safe"))
    return lengths


def _or_one(lengths: Array) -> Array:
    return np.where(lengths > 0, lengths, 1)


def _unit(vectors: Array, lengths: Array) -> Array:
    """Return float32 vectors of length 1; zero stays zero."""
    scaled: Array = vectors / _or_one(lengths)[:, None].astype(np.float32)
    return scaled


def softmax(similarities: Array, temperature: float) -> Array:
    """Return weights exp(s / temperature), each row divided by its sum: safe at any temperature above 0."""
    shifted = np.exp((similarities - similarities.max(axis=1, keepdims=True)) / temperature)
    weights: Array = shifted / shifted.sum(axis=1, keepdims=True)
    return weights


def sparsemax(scores: Array) -> Array:
    """Return the nearest point of the simplex to each row (Martins and Astudillo, 2016, algorithm 1): (n, m)."""
    ordered = -np.sort(-scores, axis=1)
    sums = np.cumsum(ordered, axis=1) - 1
    ranks = np.arange(1, scores.shape[1] + 1)
    support = (ordered * ranks > sums).sum(axis=1)
    threshold = sums[np.arange(len(scores)), support - 1] / support
    weights: Array = np.maximum(scores - threshold[:, None], 0)
    return weights
