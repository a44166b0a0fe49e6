"""Videos of a command: the narrator and its proposer as options, listing, and encoding with a progress bar."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.errors import PolygraftError, UsageError
from scripts._app.cli import remark
from video.config import UpdateOptions

if TYPE_CHECKING:
    from video.config import NarrateOptions
    from video.narrator import Narrator
    from video.timeline.query import EncodedVideo
    from video.vocabulary.vocabulary import NarrationVocabulary


@dataclass(frozen=True, kw_only=True)
class NarratorSource:
    """The narrator, its frozen models and the feature cache."""

    model: str = "starter"
    """Folder of a narrator; starter: the one that comes with the package."""
    backbone: str = ""
    """Folder of the narrator's language model, if it has moved since the training."""
    clip: str = ""
    """Folder of its image-text model, likewise."""
    cache: Path = Path("~/.cache/polygraft/features")
    """Cache folder of video features."""

    def load(self, folder: Path, device: str) -> "tuple[Narrator, NarrationVocabulary]":
        """Load the narrator, and the vocabulary in a folder, which must be of its text encoder.

        Raises:
            PolygraftError: Either is missing or damaged, or they do not fit.
        """
        from video.narrator import Narrator
        from video.vocabulary.vocabulary import NarrationVocabulary

        vocabulary = NarrationVocabulary.from_pretrained(folder, device=device)
        narrator = Narrator.from_pretrained(
            self.model, device=device, backbone=self.backbone or None, encoder=self.clip or None
        )
        vocabulary.check_encoder(narrator.text_encoder.part)
        return narrator, vocabulary


@dataclass(frozen=True, kw_only=True)
class ProposerOptions:
    """The proposer of new narrations, and which of them are accepted."""

    proposer: str = ""
    """A model of transformers that describes images, by folder or name on a hub."""
    proposer_command: str = ""
    """Use this shell command instead: it reads a line of JSON ("film", "start", "stop", "scene", "picture") and writes
    sentences."""
    proposer_vocabulary: Path | None = None
    """Use the nearest narrations of this larger vocabulary instead."""
    scene: str = ""
    """Scene of the videos, for the narrations that are added."""
    accept: UpdateOptions = field(default_factory=UpdateOptions)

    def check(self) -> None:
        """Refuse any number of proposers but one.

        Raises:
            UsageError: None or several are given.
        """
        given = [bool(self.proposer), bool(self.proposer_command), self.proposer_vocabulary is not None]
        if sum(given) > 1:
            raise UsageError("more than one of --proposer, -command and -vocabulary is given: choose one")
        if not any(given):
            raise UsageError(
                "no proposer of new narrations is given: add --proposer-vocabulary FOLDER, --proposer-command COMMAND "
                "or --proposer MODEL"
            )


def vocabulary_folder(name: str) -> Path:
    """Return the folder of a vocabulary; of the one that comes with the package for ``starter``."""
    from backbone.checkpoint import starter_path
    from backbone.frozen_models import STARTER

    return starter_path("vocabulary") if name == STARTER else Path(name)


def find_videos(names: tuple[str, ...]) -> tuple[list[Path], bool]:
    """Return the videos that ``names`` name, each once, and whether any name leads nowhere, which is reported."""
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


def encode_video(narrator: "Narrator", video: Path, options: "NarrateOptions", cache: Path) -> "EncodedVideo":
    """Encode a video's moments, see `video.narrator.Narrator.encode_video`; a bar counts its seconds."""
    from tqdm import tqdm

    hidden = not sys.stderr.isatty()
    total = None if hidden else _length(video)
    with tqdm(desc=video.name, unit="s", delay=2.0, disable=hidden, file=sys.stderr, total=total) as bar:

        def advance(time: float) -> None:
            bar.update(round(time, 1) - bar.n)

        return narrator.encode_video(video, options, cache=cache.expanduser(), report=remark, progress=advance)


def _length(video: Path) -> float | None:
    from video.frames.reader import probe

    try:
        return probe(video).duration
    except PolygraftError:
        return None  # encoding it gives the reason
