"""Files and folders that are either whole or not there: written beside their place, made durable, then renamed."""

import contextlib
import ctypes
import fcntl
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError

_MARK = ".saving-"
_ASIDE = ".old"

# renameat2(2): both paths relative to the working directory, and the two swapped in one step
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def atomic_folder(target: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new folder beside ``target`` that takes its name when the block ends well.

    A reader sees the old folder or the new one, complete and on the disk, and nothing between. When the block raises,
    the new folder is removed and ``target`` is as it was. What a killed process left is removed by the next save.

    Args:
        target: the folder to make. A link is followed.
        replace: whether a folder with contents may be replaced. The old one is deleted.

    Raises:
        PolygraftError: ``target`` exists and may not be replaced.
    """
    target = Path(target).resolve()
    if not is_free(target) and not (replace and target.is_dir()):
        raise PolygraftError(f"{target} exists already and is not replaced: choose another place or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(target)
    partial = target.with_name(f".{target.name}{_MARK}{secrets.token_hex(4)}")
    partial.mkdir()
    lock = _lock(partial)
    try:
        yield partial
        for folder, _, files in os.walk(partial):
            for name in [*files, "."]:
                sync(Path(folder, name))
        _put_in_place(partial, target)
        sync(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # what failed, or the old folder that changed places with the new
        if lock is not None:
            os.close(lock)


def is_free(place: Path) -> bool:
    """Return whether a folder may be made here without losing anything: nothing is there, or an empty folder."""
    return not place.exists() or (place.is_dir() and not any(place.iterdir()))


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target``, with its ending, that takes its place when the block ends well.

    When the block raises, ``target`` is as it was and nothing is left beside it.
    """
    partial = target.with_name(f".{target.stem}{_MARK}{secrets.token_hex(4)}{target.suffix}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text that is either whole or as it was.

    Raises:
        PolygraftError: it cannot be written.
    """
    try:
        with atomic_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PolygraftError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON. NaN and infinity, which JSON does not know, are a ValueError."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        PolygraftError: the file is missing, unreadable, no JSON, or another JSON value than an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # bad UTF-8 and bad JSON are both ValueError
        raise PolygraftError(f"{path} is damaged or no JSON file: {error}") from error
    if not isinstance(value, dict):
        raise PolygraftError(f"{path} holds {type(value).__name__} where a JSON object is expected")
    return value


def _put_in_place(partial: Path, target: Path) -> None:
    if not target.exists() or not any(target.iterdir()):
        partial.rename(target)  # rename(2) also replaces an empty folder
    elif not _exchange(partial, target):
        # two renames instead; a process killed between them is repaired by _clear_leftovers
        aside = target.with_name(partial.name + _ASIDE)
        target.rename(aside)
        partial.rename(target)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where system or file system cannot (macOS, some network drives)."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _clear_leftovers(target: Path) -> None:
    """Remove what killed saves of ``target`` left beside it; folders that a living process holds are kept."""
    for leftover in target.parent.glob(f".{glob.escape(target.name)}{_MARK}*"):
        if leftover.name.endswith(_ASIDE) and not target.exists():
            leftover.rename(target)
        elif (lock := _lock(leftover)) is not None:
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed or the process ends.

    None if another process holds it, or if the file system knows no locks: then leftovers are kept, to be safe.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
