"""A video becomes narrations, retrieved from a vocabulary.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

from typing import TYPE_CHECKING

from backbone import lazy

if TYPE_CHECKING:
    from video.config import NarratorConfig as NarratorConfig
    from video.frames.reader import read_frames as read_frames
    from video.narrator import Narrator as Narrator
    from video.vocabulary.vocabulary import NarrationVocabulary as NarrationVocabulary

__getattr__, __all__ = lazy(__name__)
