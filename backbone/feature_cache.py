"""A cache on disk of what an image encoder says of images, so that each image is encoded once.

A cache folder has one `backbone.feature_cache.RowStore` per encoder (and one more if it keeps grids), whose keys are
the SHA-256 of image files.

Rows in half precision under keys, on the disk: what a cache of features is kept in.

A folder holds

- ``cache.json``: format, whose rows they are, shapes;
- ``NAME.f16`` for each table: rows, appended batch by batch, memory-mapped for reading;
- ``keys.bin``: 32 bytes a row, such as the SHA-256 of what it was made from.

A row counts once its key is written, and keys are written after the rows are on the disk. So whatever a killed
process or a full disk leaves is a valid store of fewer rows, and the next call cuts off what is beyond it.
"""

import fcntl
import hashlib
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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
from backbone.io.files import atomic_file, read_json, write_json
from backbone.io.images import open_image, read_image_file

FORMAT = 1

_KEY_BYTES = 32

_HALF = np.dtype(np.float16)

Rows = np.ndarray[Any, np.dtype[np.float16]]


class RowStore:
    """Tables that grow together, a key for each row.

    Args:
        folder: where the store lives.
        encoder: whose features the rows are.
        shapes: of one row of each table, by its name.

    Raises:
        PolygraftError: the folder holds something else, or cannot be made.
    """

    def __init__(self, folder: Path, encoder: ImageEncoder, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.folder = folder
        self.encoder = encoder
        self.shapes = dict(shapes)
        self._describe()

    def table(self, name: str, rows: int) -> Rows:
        """Return the first ``rows`` of a table, mapped from the disk."""
        shape = (rows, *self.shapes[name])
        return np.memmap(self._file(name), dtype=_HALF, mode="r", shape=shape) if rows else np.zeros(shape, dtype=_HALF)

    def append(self, tables: Mapping[str, Tensor], keys: Sequence[bytes]) -> None:
        """Put rows at the ends of the tables: the tables first, then, once they are on the disk, the keys.

        Args:
            tables: all of them by name, (N, ...) each; stored as float16.
            keys: N of 32 bytes.

        Raises:
            PolygraftError: a number is NaN or beyond half precision; the disk refuses.
        """
        halves = {name: table.cpu().to(torch.float16) for name, table in tables.items()}
        if not all(bool(table.isfinite().all()) for table in halves.values()):
            raise PolygraftError(f"the image encoder {self.encoder.name} gives numbers beyond half precision")
        files = {name: halves[name].numpy().tobytes() for name in self.shapes} | {"keys": b"".join(keys)}
        with self._writing():
            for name, data in files.items():
                with self._file(name).open("ab") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())

    def repair(self) -> dict[bytes, int]:
        """Cut the files to the rows they all have whole; return the row of each key."""
        sizes = {"keys": _KEY_BYTES} | {n: int(np.prod(shape)) * _HALF.itemsize for n, shape in self.shapes.items()}
        with self._writing():
            for name in sizes:
                self._file(name).touch()
            rows = min(self._file(name).stat().st_size // size for name, size in sizes.items())
            for name, size in sizes.items():
                if self._file(name).stat().st_size > rows * size:
                    os.truncate(self._file(name), rows * size)
        keys = self._file("keys").read_bytes()
        return {keys[start : start + _KEY_BYTES]: start // _KEY_BYTES for start in range(0, len(keys), _KEY_BYTES)}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time use the store; others wait."""
        with self._writing():
            file = (self.folder / "lock").open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _file(self, name: str) -> Path:
        return self.folder / ("keys.bin" if name == "keys" else f"{name}.f16")

    def _describe(self) -> None:
        """Make the folder with its description, or check the one that is there."""
        description = {
            "format": FORMAT,
            "encoder": self.encoder.name,
            "digest": self.encoder.digest,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
        }
        file = self.folder / "cache.json"
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                with atomic_file(file) as partial:
                    write_json(partial, description)
        found = read_json(file)
        if any(found.get(key) != description[key] for key in ("format", "digest", "shapes")):
            raise PolygraftError(
                f"{self.folder} is a feature cache of another encoder or format: remove it, or choose another"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the system refuses into one sentence."""
        try:
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise PolygraftError(
                f"the feature cache {self.folder} cannot be written ({reason}); what it held before is kept"
            ) from error


@dataclass(frozen=True, kw_only=True, eq=False)
class CachedFeatures:
    """The features of a list of images, read from disk where they are asked for."""

    paths: tuple[Path, ...]
    """The images that could be read, in the order they were given, repeated ones too."""
    positions: tuple[int, ...]
    """Where each of ``paths`` stood in the list given."""
    unreadable: dict[Path, str]
    """The others, with one sentence each."""
    encoded: int
    """How many images this call had to encode."""
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
    """An image file read by a worker: its key, and its pixels unless they are cached."""

    path: Path
    key: bytes = b""
    pixels: Tensor | None = None
    problem: str = ""


class FeatureCache:
    """Features of image files, by content: a copy or a renamed file is known, a changed one is encoded anew.

    Args:
        folder: where the cache lives; several encoders may share it.
        encoder: what encodes images that are not known.
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
        """Return the features of image files, encoding those that are not cached.

        Unreadable images are left out and reported in the result. An interrupted call has cached every batch it
        finished. Another process that uses the same cache is waited for.

        Args:
            paths: image files, as `backbone.io.images.list_images` gives them.
            batch_size: images per pass through the encoder.
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
        """Yield the images in order, while threads decode up to ``depth`` of those that follow."""
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
            pixels = None if key in known else self.encoder.prepare(open_image(data, name=f"image {path}"))
        except PolygraftError as error:
            return _Loaded(path=path, problem=str(error))
        return _Loaded(path=path, key=key, pixels=pixels)

    def _encode_batch(self, waiting: dict[bytes, Tensor], known: dict[bytes, int]) -> None:
        """Encode and store the images that wait; they become known."""
        features = self.encoder.encode_pixels(torch.stack(list(waiting.values())), grid=self.grid)
        tables = {"pooled": features.pooled} | ({} if features.grid is None else {"grid": features.grid})
        self.store.append(tables, list(waiting))
        for key in waiting:
            known[key] = len(known)
        waiting.clear()
