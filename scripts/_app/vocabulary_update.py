"""Update step of the two commands that extend a vocabulary."""

from pathlib import Path
from typing import TYPE_CHECKING

from backbone.errors import PolygraftError
from scripts._app.cli import remark
from scripts._app.videos import ProposerOptions

if TYPE_CHECKING:
    from video.narrator import Narrator
    from video.timeline.query import EncodedVideo
    from video.update.proposers import Proposer
    from video.update.update import Growth
    from video.vocabulary.vocabulary import NarrationVocabulary


def check_own(folder: Path) -> None:
    """Refuse to change a vocabulary that comes with the package.

    Raises:
        PolygraftError: It is one.
    """
    from backbone.checkpoint import starter_root

    if folder.resolve().is_relative_to(starter_root().resolve()):
        raise PolygraftError(f"{folder} comes with the package and is not changed: copy it, and update the copy")


def load_proposer(options: ProposerOptions, narrator: "Narrator", device: str) -> "Proposer":
    """Return the proposer that the options name.

    Raises:
        PolygraftError: A model or vocabulary is missing or damaged, or the vocabulary has no vectors or those of
            another text encoder than the narrator's.
    """
    from video.update.proposers import Library, ModelProposer, ShellCommand

    if options.proposer_command:
        return ShellCommand(command=options.proposer_command)
    if options.proposer_vocabulary is not None:
        from video.vocabulary.vocabulary import NarrationVocabulary

        vocabulary = NarrationVocabulary.from_pretrained(options.proposer_vocabulary, device=device)
        vocabulary.check_encoder(narrator.text_encoder.part)
        return Library(vocabulary)
    from backbone.vlm import Describer

    return ModelProposer(describer=Describer.from_pretrained(options.proposer, device=device))


def extend(
    folder: Path,
    vocabulary: "NarrationVocabulary",
    encoded: "EncodedVideo",
    narrator: "Narrator",
    proposer: "Proposer",
    options: ProposerOptions,
) -> "Growth":
    """Add the accepted proposals for a video's novel segments to the folder of a vocabulary.

    Raises:
        PolygraftError: See `video.update.update.grow`.
    """
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
        f"{encoded.video}: {len(segments)} stretches without words, {len(growth.decisions)} proposals, "
        f"{len(added)} added" + (f": {'; '.join(added[:5])}" if added else "")
    )
    return growth
