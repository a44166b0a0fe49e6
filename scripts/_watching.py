"""Films on behalf of a command: found one by one, and watched with a bar that shows how far it is."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts._cli import remark

if TYPE_CHECKING:
    from video.narrate_options import NarrateOptions
    from video.narrator import Narrator
    from video.watching import Watched


def find_films(names: tuple[str, ...]) -> tuple[list[Path], bool]:
    """Return the films that ``names`` name, each once, and whether any name leads nowhere; it is told."""
    from backbone.errors import PolygraftError
    from video.films import list_films

    found: dict[Path, None] = {}
    failed = False
    for name in names:
        try:
            found |= dict.fromkeys(list_films([name]))
        except PolygraftError as error:
            failed = True
            remark(f"polygraft: {error}")
    return list(found), failed


def watch_film(narrator: "Narrator", film: Path, options: "NarrateOptions", cache: Path) -> "Watched":
    """Look at a film and ask about its moments; a bar counts its seconds, see `video.narrator.Narrator.watch`."""
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    with tqdm(desc=film.name, unit="s", delay=2.0, disable=hidden, file=sys.stderr, total=_length(film)) as bar:

        def looked(time: float) -> None:
            bar.update(round(time, 1) - bar.n)

        return narrator.watch(film, options, cache=cache.expanduser(), report=remark, looked=looked)


def _length(film: Path) -> float | None:
    """Return how long a film says it is, in seconds; None where it does not, or cannot be read."""
    from backbone.errors import PolygraftError
    from video.frames import probe

    try:
        return probe(film).duration
    except PolygraftError:
        return None  # watching it will say why
