"""GPT-2 in another language, or in sixty.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

from typing import TYPE_CHECKING

from backbone.lazy import lazy

if TYPE_CHECKING:
    from crosslingual.tokenization.options import TokenizerOptions as TokenizerOptions
    from crosslingual.tokenization.train import train_tokenizer as train_tokenizer
    from crosslingual.vectors.word_vectors import WordVectors as WordVectors
    from crosslingual.vocabulary_transfer.transfer import TransferReport as TransferReport
    from crosslingual.vocabulary_transfer.transfer import transfer as transfer

_HOME = {
    "TokenizerOptions": "crosslingual.tokenization.options",
    "TransferReport": "crosslingual.vocabulary_transfer.transfer",
    "WordVectors": "crosslingual.vectors.word_vectors",
    "train_tokenizer": "crosslingual.tokenization.train",
    "transfer": "crosslingual.vocabulary_transfer.transfer",
}
__all__ = ["TokenizerOptions", "TransferReport", "WordVectors", "train_tokenizer", "transfer"]

__getattr__ = lazy(__name__, _HOME)
