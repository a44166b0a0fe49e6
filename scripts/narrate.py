"""polygraft narrate film.mp4

Narrate films: what happens when, one line a span: the film, from when to when, and a narration of the vocabulary.

Folders are searched at every depth for films and animated pictures, patterns such as 'films/*.mp4' are expanded. A film
is looked at --fps times a second, never held whole, and its features are kept, so that asking again takes seconds. Each
moment is narrated by what is shown of it; next is answered from what is shown before it, before from what is shown
after it. Neighbours that say the same are one span, and cuts are moved to where the film changes most.

--srt and --vtt print subtitles of one film; with --write they go beside each film, as film.srt or film.vtt. With
--update the vocabulary grows first: stretches for which it has no words are described by --proposer, and what comes
closer than anything there was is added, see vocabulary update. A film that cannot be read is named on standard error
and the rest is done; the exit code is then 1.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from backbone.errors import PolygraftError, UsageError
from scripts._app.cli import Device, Json, emit, remark, run_file
from scripts._app.videos import Watching, find_films, vocabulary_folder, watch_film
from scripts._app.vocabulary_update import Grower, Growing, check_own
from video.options import NarrateOptions

if TYPE_CHECKING:
    from video.timeline.narrate import Narrated


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which films, from which vocabulary, and how."""

    films: tyro.conf.Positional[tuple[str, ...]]
    """Films, animated pictures, folders or patterns."""
    vocabulary: str = "starter"
    """Folder of a vocabulary; starter: the small one that comes with the package."""
    watching: Watching = field(default_factory=Watching)
    narrating: NarrateOptions = field(default_factory=NarrateOptions)
    update: bool = False
    """Let the vocabulary grow by what it cannot say, before the film is narrated."""
    growing: Growing = field(default_factory=Growing)
    srt: bool = False
    """Print subtitles in SubRip's format."""
    vtt: bool = False
    """Print subtitles in WebVTT's format."""
    write: bool = False
    """Write the subtitles beside each film in place of printing them."""
    overwrite: bool = False
    """Let --write replace files that are there."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.films:
            raise UsageError("no film named: give files, folders or patterns")
        chosen = [name for name in ("json", "srt", "vtt") if getattr(self, name)]
        if len(chosen) > 1:
            raise UsageError(f"--{' and --'.join(chosen)} are both given: choose one")
        if self.write and not (self.srt or self.vtt):
            raise UsageError("--write needs --srt or --vtt, to know what is written")
        if self.overwrite and not self.write:
            raise UsageError("--overwrite has nothing to overwrite without --write")
        if not self.update and self.growing != Growing():
            raise UsageError("what is proposed, and what is let in, means nothing without --update")

    @property
    def form(self) -> str:
        """Ending of the subtitles; empty: none."""
        return "srt" if self.srt else "vtt" if self.vtt else ""


def main(options: Options) -> int:
    """Narrate the films; 1 if any of them failed."""
    films, failed = _films(options)
    if not films:
        return int(failed)
    folder = vocabulary_folder(options.vocabulary)
    if options.update:
        check_own(folder)
    narrator, vocabulary = options.watching.open(folder, options.device)
    grower = Grower(options.growing, narrator, options.device) if options.update else None
    for film in films:
        try:
            watched = watch_film(narrator, film, options.narrating, options.watching.cache)
            if grower:
                vocabulary = grower.grow(watched, folder, vocabulary).vocabulary
            _deliver(options, film, narrator.tell(watched, vocabulary))
        except PolygraftError as error:
            failed = True
            remark(f"polygraft: {error}")
    return int(failed)


def _films(options: Options) -> tuple[list[Path], bool]:
    """Return the films, and whether some of what was named cannot be narrated; it is told.

    Raises:
        UsageError: subtitles of several films would be printed as one.
    """
    films, failed = find_films(options.films)
    if options.form and not options.write and len(films) > 1:
        raise UsageError(f"--{options.form} prints the subtitles of one film, but there are {len(films)}: add --write")
    if not options.write:
        return films, failed
    targets: dict[Path, Path] = {}
    for film in films:
        target = film.with_suffix(f".{options.form}")
        if target in targets:
            remark(f"polygraft: {film} shares {target.name} with {targets[target].name}: rename one of them")
        elif target.exists() and not options.overwrite:
            remark(f"polygraft: {target} is there and is not replaced: use --overwrite")
        else:
            targets[target] = film
    return list(targets.values()), failed or len(targets) < len(films)


def _deliver(options: Options, film: Path, told: "Sequence[Narrated]") -> None:
    """Print the narrations of a film, or write them beside it."""
    if options.json:
        emit(json.dumps({"film": str(film), "spans": [_plain(span, options) for span in told]}, ensure_ascii=False))
    elif options.form:
        _subtitles(options, film, told)
    else:
        _lines(film, told)


def _plain(span: "Narrated", options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {
        "start": round(span.start, 3),
        "stop": round(span.stop, 3),
        "text": span.text,
        "score": round(span.score, 4),
        "confidence": round(span.confidence, 4),
        "novel": span.novel,
    }
    if options.narrating.top > 1:
        found["narrations"] = [{"text": one.text, "score": round(one.score, 4)} for one in span.narrations]
    return found


def _lines(film: Path, told: "Sequence[Narrated]") -> None:
    from video.timeline.subtitles import clock

    for span in told:
        others = "".join(f"\t{one.text}" for one in span.narrations[1:])
        emit(f"{film}\t{clock(span.start)[:-2]}\t{clock(span.stop)[:-2]}\t{span.text}{others}")


def _subtitles(options: Options, film: Path, told: "Sequence[Narrated]") -> None:
    from backbone.io.atomic_files import write_text
    from video.timeline.subtitles import to_srt, to_vtt

    text = to_srt(told) if options.srt else to_vtt(told)
    if not options.write:
        emit(text.rstrip("\n"))
        return
    target = film.with_suffix(f".{options.form}")
    write_text(target, text)
    emit(str(target))


if __name__ == "__main__":
    run_file(__file__)
