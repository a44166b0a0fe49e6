"""A picture, and what is known of its author, becomes a caption.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multimodal.captioner import Captioner as Captioner
    from multimodal.captioner import CaptionerConfig as CaptionerConfig
    from multimodal.posts import Post as Post
    from multimodal.profile import Profile as Profile

_HOME = {
    "Captioner": "multimodal.captioner",
    "CaptionerConfig": "multimodal.captioner",
    "Post": "multimodal.posts",
    "Profile": "multimodal.profile",
}
__all__ = ["Captioner", "CaptionerConfig", "Post", "Profile"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'multimodal' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
