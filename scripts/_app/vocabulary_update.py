"""Options and update step of the two commands that extend a vocabulary."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.errors import PolygraftError, UsageError
from scripts._app.cli import remark
from video.options import UpdateOptions

if TYPE_CHECKING:
    from video.narrator import Narrator
    from video.timeline.query import Watched
    from video.update.proposers import Proposer
    from video.update.update import Growth
    from video.vocabulary.vocabulary import NarrationVocabulary

Propose = Callable[["NarrationVocabulary"], "Proposer"]

COMPOSITION = "composition"


@dataclass(frozen=True, kw_only=True)
class Growing:
    """The proposer of new narrations, and which of them are accepted."""

    proposer: str = COMPOSITION
    """composition: sentences of the vocabulary's own verbs, nouns and postfixes; or a model of transformers that
    describes images, by folder or name on a hub."""
    proposer_command: str = ""
    """Use this shell command instead: it reads a line of JSON ("film", "start", "stop", "scene", "picture") and writes
    sentences."""
    proposer_vocabulary: Path | None = None
    """Use the nearest narrations of this larger vocabulary instead."""
    scene: str = ""
    """Scene of the videos, for the narrations that are added."""
    let_in: UpdateOptions = field(default_factory=UpdateOptions)

    def __post_init__(self) -> None:
        others = [self.proposer != COMPOSITION, bool(self.proposer_command), self.proposer_vocabulary is not None]
        if sum(others) > 1:
            raise UsageError("more than one of --proposer, -command and -vocabulary is given: choose one")

    @property
    def needs_images(self) -> bool:
        """Whether the proposer needs a frame of the segment, and not its query vector alone."""
        return self.proposer != COMPOSITION or bool(self.proposer_command)


def check_own(folder: Path) -> None:
    """Refuse to change a vocabulary that comes with the package.

    Raises:
        PolygraftError: it is one.
    """
    from backbone.starter import starter_root

    if folder.resolve().is_relative_to(starter_root().resolve()):
        raise PolygraftError(f"{folder} comes with the package and is not changed: copy it, and update the copy")


class Grower:
    """Extends a vocabulary, video by video; models are loaded once.

    Args:
        growing: The proposer and what is accepted.
        narrator: The narrator whose novelty detector decides what is new.
        device: Device of a model that describes images.
    """

    def __init__(self, growing: Growing, narrator: "Narrator", device: str) -> None:
        self._growing, self._narrator, self._device = growing, narrator, device
        self._asked: Proposer | None = None

    def grow(self, watched: "Watched", folder: Path, vocabulary: "NarrationVocabulary") -> "Growth":
        """Ask about what is new in a video and add what passes to the vocabulary's folder.

        Raises:
            PolygraftError: see `video.update.update.grow`.
        """
        from video.update.update import grow

        proposer = self._proposer(vocabulary)
        segments = watched.unknown(
            vocabulary,
            self._narrator.novelty,
            scene=self._growing.scene,
            images=self._growing.needs_images,
        )
        growth = grow(
            folder,
            segments,
            proposer,
            self._narrator.text_encoder,
            options=self._growing.let_in,
            device=str(self._narrator.backbone.device),
        )
        admitted = [verdict.text for verdict in growth.verdicts if verdict.fate == "admitted"]
        remark(
            f"{watched.video}: {len(segments)} stretches without words, {len(growth.verdicts)} proposals, "
            f"{len(admitted)} added" + (f": {'; '.join(admitted[:5])}" if admitted else "")
        )
        return growth

    def _proposer(self, vocabulary: "NarrationVocabulary") -> "Proposer":
        """Return who is asked; composition knows the words of the vocabulary as it is now."""
        if self._growing.proposer_command:
            from video.update.proposers import ShellCommand

            return ShellCommand(command=self._growing.proposer_command)
        if self._growing.proposer_vocabulary is not None:
            return self._library(self._growing.proposer_vocabulary)
        if self._growing.proposer == COMPOSITION:
            from video.update.proposers import Composition

            return Composition(vocabulary, self._narrator.text_encoder)
        if self._asked is None:
            from backbone.vlm import Describer
            from video.update.proposers import ModelProposer

            describer = Describer.from_pretrained(self._growing.proposer, device=self._device)
            self._asked = ModelProposer(describer=describer)
        return self._asked

    def _library(self, folder: Path) -> "Proposer":
        """Return another vocabulary as a proposer.

        Raises:
            PolygraftError: it is damaged, has no vectors, or has those of another encoder.
        """
        if self._asked is None:
            from video.update.proposers import Library
            from video.vocabulary.vocabulary import NarrationVocabulary

            vocabulary = NarrationVocabulary.from_pretrained(folder, device=self._device)
            vocabulary.check_encoder(self._narrator.text_encoder.part)
            self._asked = Library(vocabulary)
        return self._asked
