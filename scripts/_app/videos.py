"""Videos of a command: listing, and narration with a progress bar."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts._app.cli import remark

if TYPE_CHECKING:
    from video.narrator import Narrator
    from video.options import NarrateOptions
    from video.timeline.query import Watched
    from video.vocabulary.vocabulary import NarrationVocabulary


@dataclass(frozen=True, kw_only=True)
class Watching:
    """By whom videos are watched."""

    model: str = "starter"
    """Folder of a narrator; starter: the one that comes with the package."""
    backbone: str = ""
    """Folder of the narrator's language model, if it has moved since the training."""
    clip: str = ""
    """Folder of its image-text model, likewise."""
    cache: Path = Path("~/.cache/polygraft/features")
    """Cache folder of video features."""

    def open(self, folder: Path, device: str) -> "tuple[Narrator, NarrationVocabulary]":
        """Load the narrator, and the vocabulary in a folder, which must be of its text encoder.

        Raises:
            PolygraftError: either is missing or damaged, or they do not fit.
        """
        from video.narrator import Narrator
        from video.vocabulary.vocabulary import NarrationVocabulary

        vocabulary = NarrationVocabulary.from_pretrained(folder, device=device)
        narrator = Narrator.from_pretrained(
            self.model, device=device, backbone=self.backbone or None, encoder=self.clip or None
        )
        vocabulary.check_encoder(narrator.text_encoder.part)
        return narrator, vocabulary


def vocabulary_folder(name: str) -> Path:
    """Return the folder of a vocabulary; of the one that comes with the package for ``starter``."""
    from backbone.frozen_models import STARTER
    from backbone.starter import starter_path

    return starter_path("vocabulary") if name == STARTER else Path(name)


def find_videos(names: tuple[str, ...]) -> tuple[list[Path], bool]:
    """Return the videos that ``names`` name, each once, and whether any name leads nowhere, which is reported."""
    from backbone.errors import PolygraftError
    from video.frames.files import list_videos

    found: dict[Path, None] = {}
    failed = False
    for name in names:
        try:
            found |= dict.fromkeys(list_videos([name]))
        except PolygraftError as error:
            failed = True
            remark(f"polygraft: {error}")
    return list(found), failed


def watch_video(narrator: "Narrator", video: Path, options: "NarrateOptions", cache: Path) -> "Watched":
    """Look at a video and ask about its moments; a bar counts its seconds, see `video.narrator.Narrator.watch`."""
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    total = None if hidden else _length(video)
    with tqdm(desc=video.name, unit="s", delay=2.0, disable=hidden, file=sys.stderr, total=total) as bar:

        def looked(time: float) -> None:
            bar.update(round(time, 1) - bar.n)

        return narrator.watch(video, options, cache=cache.expanduser(), report=remark, looked=looked)


def _length(video: Path) -> float | None:
    """Return how long a video says it is, in seconds; None where it does not, or cannot be read."""
    from backbone.errors import PolygraftError
    from video.frames.reader import probe

    try:
        return probe(video).duration
    except PolygraftError:
        return None  # watching it will say why
