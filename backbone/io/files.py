"""Files: atomic writes, search by names and patterns, and strict reading of lines and JSON objects.

A file or folder is written beside its place, made durable, then renamed, so that it is either whole or not there.
"""

import contextlib
import ctypes
import fcntl
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError

_MARK, _ASIDE = ".saving-", ".old"
# renameat2(2): both paths relative to the working directory, and the two swapped in one step
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def atomic_folder(target: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a new folder beside ``target`` that takes its name when the block ends well.

    A reader sees the old folder or the new one, complete and on the disk, and nothing between. When the block raises,
    the new folder is removed and ``target`` is as it was. What a killed process left is removed by the next save.

    Args:
        target: The folder to make. A link is followed.
        replace: Whether a folder with contents may be replaced. The old one is deleted.

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
                sync(Path(folder, name))  # before the rename, or a crash might leave the name without the contents
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
    # with its ending: numpy adds one to a name that has none
    partial = target.with_name(f".{target.stem}{_MARK}{secrets.token_hex(4)}{target.suffix}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def cache_writes(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses while a cache is written into one sentence about its folder."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        found = f"the feature cache {folder} cannot be written ({reason}); what it held before is kept"
        raise PolygraftError(found) from error


@contextlib.contextmanager
def cache_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time use the cache in a folder; others wait."""
    with cache_writes(folder):
        lock = (folder / "lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text that is either whole or as it was.

    Raises:
        PolygraftError: It cannot be written.
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
        PolygraftError: The file is missing, unreadable, no JSON, or another JSON value than an object.
    """
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
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
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:  # macOS; some network drives have it and return an error
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def _clear_leftovers(target: Path) -> None:
    for leftover in target.parent.glob(f".{glob.escape(target.name)}{_MARK}*"):
        if leftover.name.endswith(_ASIDE) and not target.exists():
            leftover.rename(target)
        elif (lock := _lock(leftover)) is not None:  # no living process writes it
            shutil.rmtree(leftover, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    # the folder itself is locked, so that no file of a lock is left; the kernel frees it when the process ends
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system knows no locks: leftovers are then kept
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


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """What is looked for."""

    name: str  # of one, such as ``image``
    suffixes: Set[str]  # endings by which it is known in folders, in small letters
    pattern: str  # a pattern that a message may give as an example
    examples: str  # endings that a message may name

    def find(self, paths: Sequence[str | Path]) -> list[Path]:
        """Return the files that ``paths`` name, in order and each once.

        A path is a file (taken whatever its name), a folder (searched at every depth for names that end right, hidden
        ones left out, in alphabetical order) or a glob pattern.

        Raises:
            PolygraftError: A path does not exist, a pattern matches nothing, or there is none in any of them.
        """
        found = dict.fromkeys(file for path in map(Path, paths) for file in self._expand(path))
        if not found:
            shown = ", ".join(str(path) for path in paths) or "nothing"
            raise PolygraftError(
                f"no {self.name}s in {shown}: give {self.name} files, or folders with files like {self.examples}"
            )
        return list(found)

    def _expand(self, path: Path) -> list[Path]:
        if path.is_dir():
            return self._walk(path)
        if path.exists() or path.is_symlink():  # a broken link is one unreadable file, reported when it is opened
            return [path]
        if not glob.has_magic(str(path)):
            raise PolygraftError(
                f"{path} does not exist: give {self.name} files, a folder or a pattern like '{self.pattern}'"
            )
        # Path.glob takes no absolute patterns
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
        found = [file for match in matches for file in (self._walk(match) if match.is_dir() else [match])]
        found = [file for file in found if file.suffix.lower() in self.suffixes]
        if not found:
            raise PolygraftError(f"the pattern {str(path)!r} matches no {self.name}")
        return found

    def _walk(self, folder: Path) -> list[Path]:
        found: list[Path] = []
        for root, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [Path(root, name) for name in sorted(files) if not name.startswith(".")]
        return [file for file in found if file.suffix.lower() in self.suffixes]


def is_file(path: Path) -> bool:
    """Whether there is such a file; a path that cannot be looked at leads to none."""
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def read_data(file: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        PolygraftError: It cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise PolygraftError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None


def read_text(file: Path) -> str:
    """Return the text of a file; a byte order mark is passed over.

    Raises:
        PolygraftError: It cannot be read, or is not UTF-8.
    """
    try:
        return read_data(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolygraftError(f"{file} is not UTF-8 ({error.reason}): convert it to UTF-8") from None


def read_objects(data: bytes, source: str, shape: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the object of each line that is not empty, with its place ("captions.jsonl, line 3") for messages.

    Args:
        data: The whole file; a byte order mark is passed over.
        source: The name of the file in messages.
        shape: What a line should look like, which ends a message.

    Raises:
        PolygraftError: A line is not UTF-8, not JSON, or another JSON value than an object.
    """
    for place, line in read_lines(data, source):
        yield place, parse_object(line, place, shape)


def read_lines(data: bytes, source: str) -> Iterator[tuple[str, str]]:
    r"""Yield each line that is not empty, with its place, cut at ``\n`` alone: JSON strings may hold other line ends.

    Raises:
        PolygraftError: A line is not UTF-8.
    """
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{source}, line {number}"
        try:
            yield place, line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PolygraftError(f"{place} is not UTF-8 ({error.reason}): convert the file to UTF-8") from None


def parse_object(line: str, place: str, shape: str) -> dict[str, Any]:
    """Return the object that a line of JSON is; ``shape`` says in messages what one looks like.

    Raises:
        PolygraftError: It is not JSON, or another JSON value than an object.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PolygraftError(f"{place} is not JSON ({error}): {shape}") from None
    if not isinstance(record, dict):
        raise PolygraftError(f"{place} is a {type(record).__name__}, not an object: {shape}")
    return record
