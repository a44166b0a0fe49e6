"""polygraft vocabulary build narrations.txt --out kitchen

Build a narration vocabulary, from which videos are narrated.

FILE holds a narration a line, as text or as JSON like {"text": "open the door", "video": "P01", "scenario": "cooking"},
where video and scenario are optional; - reads standard input. Annotators' tags (#C C, #unsure), full stops and capital
letters are removed, repeats within a video count once. Each narration is stored as a prefix or as a prefix and a
postfix, with an embedding from the text encoder for search.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.io.files import read_data
from scripts._app.cli import Device, Json, check_free, progress, run_file, tell
from video.config import CodingOptions

if TYPE_CHECKING:
    from video.vocabulary.vectors import TextEncoder


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which narrations, how they are split, and where the vocabulary is kept."""

    file: tyro.conf.Positional[Path]
    """File of narrations; -: standard input."""
    out: Path
    """Folder of the vocabulary; new or empty."""
    coding: CodingOptions = field(default_factory=CodingOptions)
    no_vectors: bool = False
    """Make no vectors: the vocabulary can be shown but not searched."""
    clip: str = "starter"
    """Image-text model whose text encoder makes the vectors: starter, MODEL:TAG of open_clip, or a folder."""
    device: Device = "auto"
    json: Json = False


def main(options: Options) -> int:
    """Build the vocabulary and print how much is in it."""
    check_free(options.out)
    from video.vocabulary.narrations import read_narrations

    if str(options.file) == "-":
        data, source = sys.stdin.buffer.read(), "standard input"
    else:
        data, source = read_data(options.file), str(options.file)
    narrations = read_narrations(data, source, progress=lambda rows: progress(rows, label="reading"))
    from video.vocabulary.vocabulary import NarrationVocabulary

    vocabulary = NarrationVocabulary.build(
        narrations,
        options.coding,
        encoder=None if options.no_vectors else _encoder(options),
        progress=lambda batches: progress(batches, total=len(batches), label="encoding"),
    )
    vocabulary.save_pretrained(options.out)
    facts = {
        "out": str(options.out),
        **vocabulary.counts,
        "repeats": narrations.repeats,
        "empty": narrations.empty,
    }
    tell(facts, as_json=options.json)
    return 0


def _encoder(options: Options) -> "TextEncoder":
    from backbone.clip import ImageEncoder
    from video.vocabulary.vectors import TextEncoder

    return TextEncoder.of(ImageEncoder.from_pretrained(options.clip, device=options.device))


if __name__ == "__main__":
    run_file(__file__)
