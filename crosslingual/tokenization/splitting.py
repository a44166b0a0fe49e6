"""mGPT's tokenization strategies and mark-aware words, as parts of a fast tokenizer.

Shliazhko et al. (2024), "mGPT: Few-Shot Learners Go Multilingual", section on tokenization. Everything is said with
normalizers, pre-tokenizers and decoders of the tokenizers library, so it is in ``tokenizer.json`` and holds wherever
that file is loaded. Each strategy can be undone: decoding gives the text back, bit by bit.
"""

import string
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers

from crosslingual.tokenization.options import TokenizerOptions

CASE_MARK = "\x0e"
"""Written before the small letter that stands for a capital: "shift out", one byte, and so a token of every byte-level
vocabulary, that no text needs for anything else."""
_ESCAPED_MARK = CASE_MARK + "0"  # the mark itself, should a text hold it: a digit is no small letter

SIGNS = "+-*/=<>^%×÷−±≤≥≠"
"""Arithmetic signs."""
_NUMBERS = r"[\p{Nd}+\-*/=<>^%×÷−±≤≥≠]"
_CHARACTER = r"[\s\S]"

# GPT-2's pattern (Radford et al., 2019), but that a word goes on over combining marks and the joiners of Persian,
# Sinhala and Malayalam. A mark after anything else stays with it: ❤️ is a heart and a mark.
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}[\p{L}\p{M}\u200C\u200D]*| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def cut_words(tokenizer: Tokenizer, options: TokenizerOptions) -> None:
    """Let a byte-level tokenizer cut text as the options say, and change nothing else about it."""
    tokenizer.normalizer = None
    tokenizer.decoder = decoders.ByteLevel()
    if options.plain:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=options.prefix_blank)
        return
    cuts = {
        CASE_MARK: options.marks_case,
        _NUMBERS: options.splits_numbers,
        _WORDS: options.marks,
        _CHARACTER: options.strategy == "char",
    }
    splits = [pre_tokenizers.Split(Regex(cut), "isolated") for cut, asked in cuts.items() if asked]
    own_words = options.marks or options.strategy == "char"
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not own_words)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, to_bytes])


def mark_case(tokenizer: Tokenizer, capitals: Mapping[str, str]) -> None:
    """Let a byte-level tokenizer write capitals as a marker and a small letter, and read them again.

    Args:
        tokenizer: cut by `cut_words`.
        capitals: their small letters; capitals that are not among them stay as they are.
    """
    pairs = [(CASE_MARK, _ESCAPED_MARK), *((large, CASE_MARK + small) for large, small in capitals.items())]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(*pair) for pair in pairs])
    # the mark itself last: before, it would be taken for the marker of what follows it in the text
    back = [decoders.Replace(written, large) for large, written in reversed(pairs)]
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), *back])


@cache
def small_letters() -> dict[str, str]:
    """Return the small letter of each capital that the small letter leads back to.

    Left out, and so left as they are in a text: title case (ǅ), capitals whose small letter is several characters (İ),
    and of capitals that share one the less canonical (the Kelvin sign).
    """
    found: dict[str, str] = {}
    for code in range(0x20000):  # no letter beyond has two cases
        capital = chr(code)
        small = capital.lower()
        if small == capital or len(small) > 1 or unicodedata.category(capital) != "Lu":
            continue
        if unicodedata.is_normalized("NFC", capital) and small not in found:
            found[small] = capital
    return {capital: small for small, capital in found.items()}


def capitals_among(characters: Iterable[str]) -> dict[str, str]:
    """Return the small letter of each capital of which either case is among the characters, and of A to Z."""
    wanted = {*characters, *string.ascii_uppercase}
    return {large: small for large, small in small_letters().items() if wanted & {large, small}}


def mark_capitals(text: str) -> str:
    """Write a text as the strategy case does before it is cut, for any capital."""
    return text.translate(_marking())


@cache
def _marking() -> dict[int, str]:
    written = {large: CASE_MARK + small for large, small in small_letters().items()} | {CASE_MARK: _ESCAPED_MARK}
    return str.maketrans(written)


def numbers_among(characters: Iterable[str]) -> list[str]:
    """Return the digits among the characters, and the arithmetic signs, sorted: each is to be one token."""
    return sorted({letter for letter in characters if unicodedata.category(letter) == "Nd"} | {*SIGNS})
