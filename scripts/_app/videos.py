"""Videos of a command: the narrator and its proposer as options, encoding with a progress bar, and updates."""

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
    from video.update.proposers import Proposer
    from video.update.update import Growth
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
        """Load the narrator, and the vocabulary in a folder, which must be of its text encoder."""
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
        """Refuse any number of proposers but one."""
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
    from backbone.checkpoint import STARTER, starter_path

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
    from video.frames.reader import duration

    try:
        return duration(video)
    except PolygraftError:
        return None  # encoding it gives the reason


# Updates of a vocabulary


def check_own(folder: Path) -> None:
    """Refuse to change a vocabulary that comes with the package."""
    from backbone.checkpoint import starter_root

    if folder.resolve().is_relative_to(starter_root().resolve()):
        raise PolygraftError(f"{folder} comes with the package and is not changed: copy it, and update the copy")


def load_proposer(options: ProposerOptions, narrator: "Narrator", device: str) -> "Proposer":
    """Return the proposer that the options name; a vocabulary must be of the narrator's text encoder."""
    from video.update.proposers import Library, ModelProposer, ShellCommand

    if options.proposer_command:
        return ShellCommand(command=options.proposer_command)
    if options.proposer_vocabulary is not None:
        from video.vocabulary.vocabulary import NarrationVocabulary

        vocabulary = NarrationVocabulary.from_pretrained(options.proposer_vocabulary, device=device)
        vocabulary.check_encoder(narrator.text_encoder.part)
        return Library(vocabulary)
    return ModelProposer(options.proposer, device=device)


def extend(
    folder: Path,
    vocabulary: "NarrationVocabulary",
    encoded: "EncodedVideo",
    narrator: "Narrator",
    proposer: "Proposer",
    options: ProposerOptions,
) -> "Growth":
    """Add the accepted proposals for a video's novel segments to the folder of a vocabulary."""
    from video.update.update import grow

    # a vocabulary proposes by the query vector alone, so that no frame need be read again
    images = options.proposer_vocabulary is None
    segments = encoded.novel_segments(vocabulary, narrator.novelty, scene=options.scene, images=images)
    growth = grow(
        folder,
        segments,
        proposer,
        narrator.text_encoder,
        options=options.accept,
        device=str(narrator.backbone.device),
    )
    added = [decision.text for decision in growth.decisions if decision.outcome == "admitted"]
    remark(
        f"{encoded.video}: segments without a narration: {len(segments)}, proposals: {len(growth.decisions)}, "
        f"{len(added)} added" + (f": {'; '.join(added[:5])}" if added else "")
    )
    return growth
