"""A cache on disk of what an image encoder says of pictures, so that each picture is encoded once.

A cache folder has one `backbone.row_store.RowStore` per encoder (and one more if it keeps grids), whose keys are the
SHA-256 of picture files.
"""

import hashlib
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from backbone.clip import Features, ImageEncoder
from backbone.errors import PolygraftError
from backbone.io.images import open_image, read_image_file
from backbone.row_store import Rows, RowStore


@dataclass(frozen=True, kw_only=True, eq=False)
class CachedFeatures:
    """The features of a list of pictures, read from disk where they are asked for."""

    paths: tuple[Path, ...]
    """The pictures that could be read, in the order they were given, repeated ones too."""
    positions: tuple[int, ...]
    """Where each of ``paths`` stood in the list given."""
    unreadable: dict[Path, str]
    """The others, with one sentence each."""
    encoded: int
    """How many pictures this call had to encode."""
    digest: str
    """SHA-256 over the contents of ``paths`` and the encoder: names the data for a training run."""
    rows: np.ndarray[Any, np.dtype[np.int64]]
    """The row of each of ``paths`` in the tables."""
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


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """A picture file read by a worker: its key, and its pixels unless they are cached."""

    path: Path
    key: bytes = b""
    pixels: Tensor | None = None
    problem: str = ""


class FeatureCache:
    """Features of picture files, by content: a copy or a renamed file is known, a changed one is encoded anew.

    Args:
        folder: where the cache lives; several encoders may share it.
        encoder: what encodes pictures that are not known.
        grid: keep grid features too (many times larger).

    Raises:
        PolygraftError: the folder holds something else, or cannot be made.
    """

    def __init__(self, folder: Path | str, encoder: ImageEncoder, *, grid: bool = False) -> None:
        self.encoder = encoder
        self.grid = grid
        self.folder = Path(folder) / (encoder.digest[:16] + ("-grid" if grid else ""))
        shapes: dict[str, tuple[int, ...]] = {"pooled": (encoder.width,)}
        if grid:
            shapes["grid"] = (encoder.grid_tokens, encoder.grid_width)
        self.store = RowStore(self.folder, encoder, shapes)

    def features(self, paths: Sequence[Path | str], *, batch_size: int = 32, progress: bool = True) -> CachedFeatures:
        """Return the features of picture files, encoding those that are not cached.

        Unreadable pictures are left out and reported in the result. An interrupted call has cached every batch it
        finished. Another process that uses the same cache is waited for.

        Args:
            paths: picture files, as `backbone.io.images.list_images` gives them.
            batch_size: pictures per pass through the encoder.
            progress: show a bar on a terminal when it takes more than two seconds.

        Raises:
            PolygraftError: the cache cannot be written (no space, no permission).
        """
        given = [Path(path) for path in paths]
        with self.store.locked():
            known = self.store.repair()
            before = len(known)
            keys, unreadable = self._encode_missing(given, known, batch_size, progress)
            return self._collect(given, keys, known, unreadable, len(known) - before)

    # Reading

    def _collect(
        self,
        given: list[Path],
        keys: dict[Path, bytes],
        known: dict[bytes, int],
        unreadable: dict[Path, str],
        encoded: int,
    ) -> CachedFeatures:
        positions = tuple(position for position, path in enumerate(given) if path in keys)
        digest = hashlib.sha256(self.encoder.digest.encode())
        for position in positions:
            digest.update(keys[given[position]])
        return CachedFeatures(
            paths=tuple(given[position] for position in positions),
            positions=positions,
            unreadable=unreadable,
            encoded=encoded,
            digest=digest.hexdigest(),
            rows=np.array([known[keys[given[position]]] for position in positions], dtype=np.int64),
            pooled_table=self.store.table("pooled", len(known)),
            grid_table=self.store.table("grid", len(known)) if self.grid else None,
        )

    # Encoding

    def _encode_missing(
        self, given: Iterable[Path], known: dict[bytes, int], batch_size: int, progress: bool
    ) -> tuple[dict[Path, bytes], dict[Path, str]]:
        """Encode what is not ``known``, which grows; return the key of each readable path and why others are not."""
        keys: dict[Path, bytes] = {}
        unreadable: dict[Path, str] = {}
        waiting: dict[bytes, Tensor] = {}
        for loaded in self._load_ahead(list(dict.fromkeys(given)), known, 4 * batch_size, progress):
            if loaded.problem:
                unreadable[loaded.path] = loaded.problem
                continue
            keys[loaded.path] = loaded.key
            if loaded.pixels is not None and loaded.key not in known:
                waiting[loaded.key] = loaded.pixels
            if len(waiting) == batch_size:
                self._encode_batch(waiting, known)
        if waiting:
            self._encode_batch(waiting, known)
        return keys, unreadable

    def _load_ahead(self, paths: list[Path], known: dict[bytes, int], depth: int, progress: bool) -> Iterator[_Loaded]:
        """Yield the pictures in order, while threads decode up to ``depth`` of those that follow."""
        upcoming: deque[Future[_Loaded]] = deque()
        remaining = iter(paths)
        bar = tqdm(
            total=len(paths), desc="encoding", unit="img", delay=2.0, disable=not (progress and sys.stderr.isatty())
        )
        pool = ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 1), "decode")
        try:
            with bar:
                while True:
                    ahead = islice(remaining, depth - len(upcoming))
                    upcoming.extend(pool.submit(self._load, path, known) for path in ahead)
                    if not upcoming:
                        return
                    yield upcoming.popleft().result()
                    bar.update()
        finally:
            pool.shutdown(cancel_futures=True)

    def _load(self, path: Path, known: dict[bytes, int]) -> _Loaded:
        try:
            data = read_image_file(path)
            key = hashlib.sha256(data).digest()
            pixels = None if key in known else self.encoder.prepare(open_image(data, name=f"picture {path}"))
        except PolygraftError as error:
            return _Loaded(path=path, problem=str(error))
        return _Loaded(path=path, key=key, pixels=pixels)

    def _encode_batch(self, waiting: dict[bytes, Tensor], known: dict[bytes, int]) -> None:
        """Encode and store the pictures that wait; they become known."""
        features = self.encoder.encode_pixels(torch.stack(list(waiting.values())), grid=self.grid)
        tables = {"pooled": features.pooled} | ({} if features.grid is None else {"grid": features.grid})
        self.store.append(tables, list(waiting))
        for key in waiting:
            known[key] = len(known)
        waiting.clear()
