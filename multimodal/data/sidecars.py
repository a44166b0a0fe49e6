"""Text files beside pictures, as training tools expect them: ``photo.txt`` holds the text of ``photo.jpg``."""

from collections.abc import Sequence
from pathlib import Path

from backbone.errors import PolygraftError

SUFFIX = ".txt"


def find_sidecar(image: Path) -> Path | None:
    """Return the text file of a picture, ``photo.txt`` or ``photo.jpg.txt``; None if it has none."""
    candidates = (image.with_suffix(SUFFIX), image.with_name(image.name + SUFFIX))
    return next((file for file in candidates if file != image and file.is_file()), None)


class SidecarWriter:
    """Writes captions beside pictures, and never over what is there, unless told so.

    Args:
        overwrite: whether text files from before may be replaced.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._written: dict[Path, Path] = {}

    def refusal(self, image: Path) -> str:
        """Return why nothing can be written beside ``image``; empty if it can."""
        target = image.with_suffix(SUFFIX)
        if target == image:
            return f"picture {image} would be overwritten by its own caption: rename it"
        if target in self._written and self._written[target] != image:
            return f"picture {image} shares {target.name} with {self._written[target].name}: rename one of them"
        if target.exists() and not self._overwrite:
            return f"{target} exists already: --overwrite replaces it"
        return ""

    def write(self, image: Path, lines: Sequence[str]) -> None:
        """Write one caption a line.

        Raises:
            PolygraftError: see `refusal`; or the folder cannot be written.
        """
        if refusal := self.refusal(image):
            raise PolygraftError(refusal)
        target = image.with_suffix(SUFFIX)
        try:
            target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise PolygraftError(f"{target} cannot be written: {error.strerror}") from error
        self._written[target] = image
