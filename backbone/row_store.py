"""Rows in half precision under keys, on the disk: what a cache of features is kept in.

A folder holds

- ``cache.json``: format, whose rows they are, shapes;
- ``NAME.f16`` for each table: rows, appended batch by batch, memory-mapped for reading;
- ``keys.bin``: 32 bytes a row, such as the SHA-256 of what it was made from.

A row counts once its key is written, and keys are written after the rows are on the disk. So whatever a killed
process or a full disk leaves is a valid store of fewer rows, and the next call cuts off what is beyond it.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.io.atomic_files import atomic_file, read_json, write_json

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
