"""Files of one kind among files, folders and patterns, as they are named on a command line."""

import glob
import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from backbone.errors import PolygraftError


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """What is looked for."""

    name: str
    """Of one, such as ``image``."""
    suffixes: Set[str]
    """Endings by which it is known in folders, in small letters."""
    pattern: str
    """A pattern that a message may give as an example."""
    examples: str
    """Endings that a message may name."""

    def find(self, paths: Sequence[str | Path]) -> list[Path]:
        """Return the files that ``paths`` name, in order and each once.

        A path is a file (taken whatever its name), a folder (searched at every depth for names that end right, hidden
        ones left out, in alphabetical order) or a glob pattern.

        Raises:
            PolygraftError: a path does not exist, a pattern matches nothing, or there is none in any of them.
        """
        found: dict[Path, None] = {}
        for path in map(Path, paths):
            found.update(dict.fromkeys(self._expand(path)))
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
                f"{path} does not exist: give a {self.name} file, a folder or a pattern like '{self.pattern}'"
            )
        # Path.glob takes no absolute patterns
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
        files = [file for match in matches for file in (self._walk(match) if match.is_dir() else [match])]
        right = [file for file in files if self._looks_right(file)]
        if not right:
            raise PolygraftError(f"the pattern {str(path)!r} matches no {self.name}")
        return right

    def _walk(self, folder: Path) -> list[Path]:
        found: list[Path] = []
        for root, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [Path(root, name) for name in sorted(files) if not name.startswith(".")]
        return [file for file in found if self._looks_right(file)]

    def _looks_right(self, file: Path) -> bool:
        return file.suffix.lower() in self.suffixes


def is_file(path: Path) -> bool:
    """Whether there is such a file; a path that cannot be looked at leads to none."""
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False
