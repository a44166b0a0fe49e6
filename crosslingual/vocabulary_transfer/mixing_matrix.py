"""Mixing: new embedding rows as weighted sums of old ones, with where each row's weights come from.

Made once, it applies to every model that has the source's tokenizer. Shapes: S source ids, T target ids, d width.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import coo_array, csr_array

from backbone.errors import PolygraftError
from backbone.io.files import atomic_folder, read_json, write_json
from crosslingual.arrays import Array
from crosslingual.options import Drawn as Drawn

Origin = Literal[
    "none", "special", "identical", "byte", "transtoken", "dict", "wechsel", "ofa", "clp", "omp", "focus", "borrowed",
    "fvt", Drawn,
]  # fmt: skip
"""Where a row comes from: a copy, a method, what trans-tokenisation borrows for tokens it never saw, a draw."""
ORIGINS: tuple[Origin, ...] = get_args(Origin)
_FORMAT = 1
_TINY = 1e-12
_COLUMNS = 128  # of a matrix that are in float64 at once


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """A sparse matrix of weights, T x S, and the origin of each row."""

    matrix: csr_array  # (T, S) float64; rows of drawn origin are empty
    origins: Array  # (T,) uint8, numbers in `ORIGINS`
    settings: Mapping[str, Any] = field(default_factory=dict)  # how it was made, as JSON; travels with it
    stretched: bool = False
    """Whether each row is stretched to the mean length of its sources, by their weights: a mean is shorter."""

    @classmethod
    def of(cls, rows: Array, sources: Array, weights: Array, shape: tuple[int, int], origin: Origin) -> "Mixing":
        """Return the mixing with these weights, (n,) each; all rows that occur have one origin."""
        matrix = csr_array(coo_array((np.asarray(weights, np.float64), (rows, sources)), shape=shape))
        origins = np.zeros(shape[0], dtype=np.uint8)
        origins[rows] = ORIGINS.index(origin)
        return cls(matrix=matrix, origins=origins)

    @classmethod
    def copied(cls, sources: Mapping[int, int], shape: tuple[int, int], origin: Origin) -> "Mixing":
        """Return the mixing that copies rows, given as target id to source id."""
        rows = np.array(list(sources), dtype=np.int64)
        return cls.of(rows, np.array(list(sources.values()), dtype=np.int64), np.ones(len(rows)), shape, origin)

    @classmethod
    def drawn(cls, kind: Drawn, shape: tuple[int, int]) -> "Mixing":
        """Return the mixing in which no row has a source of its own."""
        origins = np.full(shape[0], ORIGINS.index(kind), dtype=np.uint8)
        return cls(matrix=csr_array(shape, dtype=np.float64), origins=origins)

    @property
    def known(self) -> Array:
        """Which rows have an origin, (T,) bool."""
        has_origin: Array = self.origins != 0
        return has_origin

    def filled(self, other: "Mixing") -> "Mixing":
        """Return this mixing with the rows of ``other`` where it has none."""
        if self.matrix.shape != other.matrix.shape:
            raise PolygraftError(f"mixings of {self.matrix.shape} and {other.matrix.shape} tokens cannot be joined")
        missing = ~self.known
        picked = csr_array((missing.astype(np.float64), (np.arange(len(missing)), np.arange(len(missing)))))
        return Mixing(
            matrix=csr_array(self.matrix + picked @ other.matrix),
            origins=np.where(missing, other.origins, self.origins).astype(np.uint8),
            settings={**other.settings, **self.settings},
            stretched=self.stretched,
        )

    def origin(self, row: int) -> Origin:
        """Return the origin of a row."""
        return ORIGINS[int(self.origins[row])]

    def counts(self) -> dict[Origin, int]:
        """Return how many rows have each origin, in the order of `ORIGINS`."""
        found = Counter(self.origins.tolist())
        return {origin: found[number] for number, origin in enumerate(ORIGINS) if found[number]}

    def neighbours(self, row: int) -> list[tuple[int, float]]:
        """Return the sources of a row and their weights, the heaviest first."""
        start, stop = self.matrix.indptr[row : row + 2]
        pairs = zip(self.matrix.indices[start:stop].tolist(), self.matrix.data[start:stop].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def apply(self, source: Array, *, seed: int = 1234) -> Array:
        """Return new rows: (rows of the source model, d) -> (T, d), in the same dtype.

        The source has a row for each source id, and more where the model pads its vocabulary. Sums are made in float64.
        Drawn rows depend on the seed, on their number and on all source rows, padding included, not on which other rows
        are drawn.

        Raises:
            PolygraftError: The model has fewer rows than its tokenizer ids, or a row has no origin.
        """
        size = self.matrix.shape[1]
        if len(source) < size:
            raise PolygraftError(
                f"the model has {len(source)} embedding rows, but its tokenizer has {size} ids: resize its embeddings"
            )
        if not self.known.all():
            raise PolygraftError(f"{(~self.known).sum()} rows have no origin: fill them with a drawn mixing first")
        result = np.empty((len(self.origins), source.shape[1]), dtype=source.dtype)
        for start in range(0, source.shape[1], _COLUMNS):
            columns = source[:size, start : start + _COLUMNS].astype(np.float64)
            result[:, start : start + _COLUMNS] = self.matrix @ columns
        if self.stretched:
            result *= self._stretches(source[:size], result)[:, None]
        for kind in get_args(Drawn):
            rows = np.flatnonzero(self.origins == ORIGINS.index(kind))
            if len(rows):
                result[rows] = _draw(kind, source, len(self.origins), seed)[rows]
        return result

    def _stretches(self, source: Array, mixed: Array) -> Array:
        weights = abs(self.matrix)
        wanted = weights @ np.linalg.norm(source, axis=1) / np.maximum(np.asarray(weights.sum(axis=1)).ravel(), _TINY)
        lengths = np.linalg.norm(mixed, axis=1)
        factors: Array = np.where(lengths > 0, wanted / np.where(lengths > 0, lengths, 1), 1).astype(mixed.dtype)
        return factors

    def apply_bias(self, source: Array) -> Array:
        """Return a new output bias, (S or more,) -> (T,): mixed with the same weights; drawn rows get the mean."""
        size = self.matrix.shape[1]
        mixed = self.matrix @ source[:size].astype(np.float64)
        drawn = np.asarray(self.matrix.sum(axis=1)).ravel() == 0
        mixed[drawn] = source[:size].mean(dtype=np.float64)
        bias: Array = mixed.astype(source.dtype)
        return bias

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``mixing.safetensors`` and ``mixing.json``, both or neither.

        Raises:
            PolygraftError: The folder exists and is not empty, or cannot be written.
        """
        tensors = {
            "starts": self.matrix.indptr.astype(np.int64),
            "sources": self.matrix.indices.astype(np.int32),
            "weights": self.matrix.data.astype(np.float64),
            "origins": self.origins,
        }
        header = {"format": _FORMAT, "kind": "mixing", "source_tokens": self.matrix.shape[1]}
        header |= {"origins": list(ORIGINS), "stretched": self.stretched}
        try:
            with atomic_folder(folder) as partial:
                save_file(tensors, partial / "mixing.safetensors")
                write_json(partial / "mixing.json", header | {"settings": dict(self.settings)})
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            raise PolygraftError(f"the mixing {folder} could not be saved: {reason}") from error

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "Mixing":
        """Read what `save_pretrained` wrote.

        Raises:
            PolygraftError: There is none, or it is damaged.
        """
        folder = Path(folder)
        header = read_json(folder / "mixing.json")
        if header.get("kind") != "mixing" or header.get("format") != _FORMAT:
            raise PolygraftError(f"{folder} holds no mixing of format {_FORMAT}: make it again")
        try:
            tensors = load_file(folder / "mixing.safetensors")
            names = {name: number for number, name in enumerate(ORIGINS)}
            numbers = np.array([names[name] for name in header["origins"]], dtype=np.uint8)
            origins = numbers[tensors["origins"]]
            shape = (len(origins), int(header["source_tokens"]))
            matrix = csr_array((tensors["weights"], tensors["sources"], tensors["starts"]), shape=shape)
            matrix.check_format()
        except (OSError, SafetensorError, ValueError, KeyError, IndexError, TypeError) as error:
            raise PolygraftError(f"{folder} is damaged ({error}): make it again") from error
        stretched = bool(header.get("stretched", False))
        return cls(matrix=matrix, origins=origins, settings=header.get("settings", {}), stretched=stretched)


def join(mixings: Sequence[Mixing]) -> Mixing:
    """Return the first mixing, its unknown rows taken from the second, and so on."""
    joined = mixings[0]
    for mixing in mixings[1:]:
        joined = joined.filled(mixing)
    return joined


def _draw(kind: Drawn, source: Array, count: int, seed: int) -> Array:
    """Return (count, d) rows made of all source rows; the first and second kind as numpy's legacy generator draws."""
    if kind == "mean":
        return np.broadcast_to(source.mean(axis=0, dtype=np.float64), (count, source.shape[1]))
    # WECHSEL draws the whole matrix with this generator, in the source's dtype as to mean and deviation
    state = np.random.RandomState(seed)
    if kind == "random":
        drawn: Array = state.normal(source.mean(0), source.std(0), (count, source.shape[1]))
        return drawn
    mean = source.mean(axis=0, dtype=np.float64)
    centred = source - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(source))
    spread = vectors * np.sqrt(np.maximum(values, 0))
    drawn = mean + state.normal(size=(count, source.shape[1])) @ spread.T
    return drawn
