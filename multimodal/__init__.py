"""Image captioning, optionally in the style of a user.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

from typing import TYPE_CHECKING

from backbone import lazy

if TYPE_CHECKING:
    from multimodal.captioner import Captioner as Captioner
    from multimodal.captioner import CaptionerConfig as CaptionerConfig
    from multimodal.data.posts import Post as Post
    from multimodal.profile.profile import Profile as Profile

__getattr__, __all__ = lazy(__name__)
