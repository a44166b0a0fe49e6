"""What is frozen, and the means to train, decode and save small parts on top of it.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

from typing import TYPE_CHECKING

from backbone.lazy import lazy

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder as ImageEncoder
    from backbone.generation.config import Decoding as Decoding
    from backbone.gpt2 import Backbone as Backbone
    from backbone.training.loop import TrainConfig as TrainConfig
    from backbone.training.loop import fit as fit

_HOME = {
    "Backbone": "backbone.gpt2",
    "Decoding": "backbone.generation.config",
    "ImageEncoder": "backbone.clip",
    "TrainConfig": "backbone.training.loop",
    "fit": "backbone.training.loop",
}
__all__ = ["Backbone", "Decoding", "ImageEncoder", "TrainConfig", "fit"]

__getattr__ = lazy(__name__, _HOME)
