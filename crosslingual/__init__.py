"""GPT-2 in another language, or in sixty.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

from typing import TYPE_CHECKING

from backbone.lazy import lazy

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

__getattr__ = lazy(__name__, _HOME)
