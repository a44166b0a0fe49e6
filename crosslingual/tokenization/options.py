"""Options of tokenizer training; imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from backbone.errors import UsageError

Algorithm = Literal["bbpe", "sentencepiece-bpe", "unigram"]
Strategy = Literal["default", "case", "arithmetic", "combined", "char"]
BYTES = 256
UNKNOWN = "<unk>"  # id 0 of sentencepiece; with bytes for the rest, no text needs it


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """What kind of tokenizer is trained, and how large."""

    vocab_size: int
    """Tokens in all, special ones included; an upper bound for the strategy char."""
    algorithm: Algorithm = "bbpe"
    """bbpe: byte-level BPE as in GPT-2; sentencepiece-bpe and unigram: sentencepiece's, with byte fallback."""
    strategy: Strategy = "default"
    """Of mGPT. case: a capital is a marker and its small letter; arithmetic: each digit and sign is a token; combined:
    both of these; char: each character is a token."""
    marks: bool = False
    """Keep vowel signs and other combining marks with their letters, at which GPT-2's pattern cuts words."""
    prefix_blank: bool = False
    """Read each text as if a space stood before it: its first word is the same token as within a sentence, but a
    decoded text begins with the space."""

    def __post_init__(self) -> None:
        least = BYTES + (1 if self.algorithm == "bbpe" else 2)
        if self.vocab_size < least:
            raise UsageError(
                f"vocab_size is {self.vocab_size}, but {self.algorithm} needs {least} at least: a token for each byte "
                "and the special ones"
            )
        if self.algorithm != "bbpe" and not (self.plain and not self.prefix_blank):
            raise UsageError(
                f"algorithm {self.algorithm} has words of its own: strategy, marks and prefix_blank go with bbpe alone"
            )
        if self.prefix_blank and not self.plain:
            raise UsageError("prefix_blank goes with strategy default and without marks alone")
        if self.strategy == "char" and self.marks:
            raise UsageError("marks keeps characters together and strategy char cuts at each: choose one of them")

    @property
    def plain(self) -> bool:
        """Whether text is cut as GPT-2 cuts it."""
        return self.strategy == "default" and not self.marks

    @property
    def marks_case(self) -> bool:
        """Whether capitals are written as a marker and a small letter."""
        return self.strategy in ("case", "combined")

    @property
    def splits_numbers(self) -> bool:
        """Whether each digit and sign is a token."""
        return self.strategy in ("arithmetic", "combined")
