"""A cache on disk of what an image encoder says of images, so that each image is encoded once.

Each batch is written once, whole, to a NumPy file of its own (a shard) and never changed: a killed process loses the
batch at work. A row of a shard is a key, such as the SHA-256 of an image file, and its features in half precision.
"""

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from backbone.clip import Features, ImageEncoder
from backbone.errors import PolygraftError
from backbone.io.files import atomic_file, cache_lock, cache_writes, sync
from backbone.io.images import open_image, read_image_file
from backbone.training.logger import watched

Array = NDArray[Any]


class MappedRows:
    """One feature of the rows of all shards, read from the disk when it is indexed."""

    def __init__(self, shards: Sequence[Array], name: str, dtype: np.dtype[Any]) -> None:
        self._parts = [shard[name] for shard in shards]
        self._starts: Array = np.cumsum([0, *map(len, shards)])
        self._row = dtype[name]
        self.shape = (int(self._starts[-1]), *self._row.shape)

    def __getitem__(self, numbers: Array) -> Array:
        found: Array = np.empty((len(numbers), *self._row.shape), self._row.base)
        parts = np.searchsorted(self._starts, numbers, side="right") - 1
        for at, (part, row) in enumerate(zip(parts, numbers - self._starts[parts], strict=True)):
            found[at] = self._parts[part][row]
        return found


Rows = MappedRows | Array


@dataclass(frozen=True, kw_only=True, eq=False)
class CachedFeatures:
    """The features of a list of images, read from disk where they are asked for."""

    paths: tuple[Path, ...]  # the images that could be read, in the order they were given, repeated ones too
    unreadable: dict[Path, str]  # the others, with one sentence each
    encoded: int  # how many images this call had to encode
    digest: str  # SHA-256 over the contents of ``paths`` and the encoder: names the data for a training run
    rows: Array  # (N,) int64, the row of each of ``paths`` in the tables: one image has one in all answers of a cache
    pooled_table: Rows
    grid_table: Rows | None

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: Sequence[int] | None = None) -> Features:
        """Return the features of ``paths`` at ``indices`` (all of them by default), float32 on the CPU."""
        rows = self.rows if indices is None else self.rows[list(indices)]
        # rounding to half precision moves the norm by up to 5e-4
        pooled = F.normalize(torch.from_numpy(self.pooled_table[rows]).float(), dim=-1)
        grid = None if self.grid_table is None else torch.from_numpy(self.grid_table[rows]).float()
        return Features(pooled=pooled, grid=grid)


class FeatureCache:
    """Features of image files, by content: a copy or a renamed file is known, a changed one is encoded anew.

    Args:
        folder: The folder of the cache; several encoders may share it.
        encoder: The image encoder, for images that are not known.
        grid: Whether grid features are kept too (many times larger).

    Raises:
        PolygraftError: The folder cannot be made.
    """

    def __init__(self, folder: Path | str, encoder: ImageEncoder, *, grid: bool = False) -> None:
        self.encoder = encoder
        self.grid = grid
        self.folder = Path(folder) / (encoder.digest[:16] + ("-grid" if grid else ""))
        fields = [("key", "V32"), ("pooled", "<f2", (encoder.width,))]
        self._dtype = np.dtype([*fields, ("grid", "<f2", encoder.grid_shape)] if grid else fields)
        self._known: dict[bytes, int] = {}  # the number of each key's row
        self._shards: list[Array] = []  # mapped from the disk
        self._count = 0
        self._open_shards: set[Path] = set()
        with cache_writes(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def features(self, paths: Sequence[Path | str], *, batch_size: int = 32) -> CachedFeatures:
        """Return the features of image files, encoding those that are not cached.

        Unreadable images are left out and reported in the result. An interrupted call has cached every batch it
        finished. Another process that uses the same cache is waited for.

        Args:
            paths: The image files, as `backbone.io.images.list_images` gives them.
            batch_size: The number of images per pass through the encoder.

        Raises:
            PolygraftError: The cache cannot be written (no space, no permission).
        """
        given = [Path(path) for path in paths]
        with self._locked():
            before = len(self._known)
            keys, unreadable = self._encode_missing(dict.fromkeys(given), batch_size)
            found = tuple(path for path in given if path in keys)
            content = b"".join(keys[path] for path in found)
            return CachedFeatures(
                paths=found,
                unreadable=unreadable,
                encoded=len(self._known) - before,
                digest=hashlib.sha256(self.encoder.digest.encode() + content).hexdigest(),
                rows=np.array([self._known[keys[path]] for path in found], dtype=np.int64),
                pooled_table=MappedRows(self._shards, "pooled", self._dtype),
                grid_table=MappedRows(self._shards, "grid", self._dtype) if self.grid else None,
            )

    def _encode_missing(self, paths: Collection[Path], batch_size: int) -> tuple[dict[Path, bytes], dict[Path, str]]:
        """Encode what is not known; return the key of each readable path and why others are not."""
        keys: dict[Path, bytes] = {}
        unreadable: dict[Path, str] = {}
        waiting: dict[bytes, Tensor] = {}
        for path, loading in watched(self._load_ahead(paths, 4 * batch_size), "encoding", len(paths)):
            try:
                keys[path], pixels = loading.result()
            except PolygraftError as error:
                unreadable[path] = str(error)
                continue
            if pixels is not None and keys[path] not in self._known:  # a copy may have been encoded meanwhile
                waiting[keys[path]] = pixels
            if len(waiting) == batch_size:
                self._encode(waiting)
        if waiting:
            self._encode(waiting)
        return keys, unreadable

    def _load_ahead(
        self, paths: Iterable[Path], depth: int
    ) -> Iterator[tuple[Path, Future[tuple[bytes, Tensor | None]]]]:
        """Yield the images in order, while threads decode up to ``depth`` of those that follow."""
        upcoming: deque[tuple[Path, Future[tuple[bytes, Tensor | None]]]] = deque()
        remaining = iter(paths)
        pool = ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1), "decode")
        try:
            while True:
                ahead = islice(remaining, depth - len(upcoming))
                upcoming.extend((path, pool.submit(self._load, path)) for path in ahead)
                if not upcoming:
                    return
                yield upcoming.popleft()
        finally:
            pool.shutdown(cancel_futures=True)  # where the caller stops early, nothing more is decoded

    def _load(self, path: Path) -> tuple[bytes, Tensor | None]:
        """Return an image's key, and its pixels unless it is known."""
        data = read_image_file(path)
        key = hashlib.sha256(data).digest()
        return key, None if key in self._known else self.encoder.prepare(open_image(data, name=f"image {path}"))

    def _encode(self, waiting: dict[bytes, Tensor]) -> None:
        features = self.encoder.encode_pixels(torch.stack(list(waiting.values())), grid=self.grid)
        shard = np.zeros(len(waiting), self._dtype)
        shard["key"] = np.frombuffer(b"".join(waiting), "V32")
        for name, table in (("pooled", features.pooled), ("grid", features.grid)):
            if table is not None:
                half = table.cpu().to(torch.float16)
                if not half.isfinite().all():
                    raise PolygraftError(f"the image encoder {self.encoder.name} gives numbers beyond half precision")
                shard[name] = half.numpy()
        content = io.BytesIO()  # np.save does not see that a disk is full when it closes a file
        np.save(content, shard)
        path = self.folder / f"{hashlib.sha256(b''.join(waiting)).hexdigest()[:32]}.npy"
        with cache_writes(self.folder):
            with atomic_file(path) as partial:
                partial.write_bytes(content.getvalue())
                sync(partial)
            self._open(path)
        waiting.clear()

    # Shards

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time use the cache, and open the shards that others have written meanwhile."""
        with cache_lock(self.folder):
            with cache_writes(self.folder):
                for path in sorted(set(self.folder.glob("*.npy")) - self._open_shards):
                    self._open(path)
            yield

    def _open(self, path: Path) -> None:
        if path.name.startswith("."):  # a killed process was writing it
            path.unlink()
            return
        try:
            shard = np.asarray(np.lib.format.open_memmap(path, mode="r"))
            if shard.dtype != self._dtype:
                raise ValueError("its rows are of another kind")
        except OSError:  # no descriptor, no memory: no fault of the file
            raise
        except Exception as error:  # numpy raises whatever it trips over in a damaged header
            warnings.warn(f"{path} is damaged and removed, its images are encoded again: {error}", stacklevel=2)
            path.unlink()
            return
        self._open_shards.add(path)
        self._known |= {key: self._count + at for at, key in enumerate(shard["key"].tolist())}
        self._count += len(shard)
        self._shards.append(shard)
