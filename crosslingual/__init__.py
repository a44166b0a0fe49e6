"""GPT-2 in another language, or in sixty.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosslingual.tokenizer_options import TokenizerOptions as TokenizerOptions
    from crosslingual.tokenizers import train_tokenizer as train_tokenizer
    from crosslingual.transferring import TransferReport as TransferReport
    from crosslingual.transferring import transfer as transfer
    from crosslingual.vectors import WordVectors as WordVectors

_HOME = {
    "TokenizerOptions": "crosslingual.tokenizer_options",
    "TransferReport": "crosslingual.transferring",
    "WordVectors": "crosslingual.vectors",
    "train_tokenizer": "crosslingual.tokenizers",
    "transfer": "crosslingual.transferring",
}
__all__ = ["TokenizerOptions", "TransferReport", "WordVectors", "train_tokenizer", "transfer"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'crosslingual' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
