"""GPT-2 in another language, or in sixty. Names are imported on first use, so that options do not import torch."""

from typing import TYPE_CHECKING

from backbone import lazy

if TYPE_CHECKING:
    from crosslingual.options import TokenizerOptions as TokenizerOptions
    from crosslingual.tokenization.train import train_tokenizer as train_tokenizer
    from crosslingual.vectors.word_vectors import WordVectors as WordVectors
    from crosslingual.vocabulary_transfer.transfer import TransferReport as TransferReport
    from crosslingual.vocabulary_transfer.transfer import transfer as transfer

__getattr__, __all__ = lazy(__name__)
