"""Byte-level BPE with mGPT's tokenization strategies and with combining marks kept at their letters.

Sennrich et al. (2016) on the bytes of words (Radford et al., 2019, section 2.2); strategies of Shliazhko et al. (2024),
"mGPT: Few-Shot Learners Go Multilingual", section on tokenization. All of it is expressed as normalizers,
pre-tokenizers and decoders of the tokenizers library, so that ``tokenizer.json`` contains it. Each strategy is
lossless: decoding returns the text exactly.
"""

import json
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from backbone.errors import PolygraftError
from crosslingual.options import TokenizerOptions

CASE_MARK = "\x0e"
"""Written before the small letter that stands for a capital: "shift out", one byte, and so a token of every byte-level
vocabulary, that no text needs for anything else."""

_ESCAPED_MARK = CASE_MARK + "0"  # the mark itself, should a text hold it: a digit is no small letter
SIGNS = "+-*/=<>^%×÷−±≤≥≠"  # arithmetic signs
_NUMBERS = r"[\p{Nd}+\-*/=<>^%×÷−±≤≥≠]"
_CHARACTER = r"[\s\S]"

# GPT-2's pattern (Radford et al., 2019), but that a word goes on over combining marks and the joiners of Persian,
# Sinhala and Malayalam. A mark after anything else stays with it: ❤️ is a heart and a mark.
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}[\p{L}\p{M}\u200C\u200D]*| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _cut_words(tokenizer: Tokenizer, options: TokenizerOptions) -> None:
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


def _mark_case(tokenizer: Tokenizer, capitals: Mapping[str, str]) -> None:
    """Let a byte-level tokenizer write these capitals as a marker and a small letter, and read them again."""
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


class TrainingText:
    """Texts handed on one by one, with what is to be known of them afterwards."""

    def __init__(self, texts: Iterable[str], rewrite: Callable[[str], str] | None = None) -> None:
        self._texts, self._rewrite = texts, rewrite
        self.characters: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        for number, text in enumerate(self._texts, start=1):
            check_unicode(text, f"text {number}")
            self.characters.update(text)
            yield self._rewrite(text) if self._rewrite else text
        if not self.characters:
            raise PolygraftError("there is no text to train a tokenizer on: give some in its languages")


def check_unicode(text: str, name: str) -> None:
    """Refuse half a surrogate pair, which Python strings can hold and no tokenizer can read; ``name`` is the text's."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PolygraftError(
            f"{name} has half a surrogate pair (U+{ord(text[error.start]):04X}) at character {error.start + 1}, which "
            "is no text: repair or leave it out"
        ) from None


def train_bbpe(
    texts: Iterable[str],
    options: TokenizerOptions,
    vocab_size: int,
    *,
    empty: Tokenizer | None = None,
    specials: Sequence[AddedToken] = (),
) -> Tokenizer:
    """Train byte-level BPE; it has fewer than ``vocab_size`` tokens where the text has no more.

    Args:
        texts: The training text in any unit; it is read once.
        options: How text is cut.
        vocab_size: The tokens in all.
        empty: A byte-level BPE tokenizer without vocabulary, whose own way to cut text stays where the options ask for
            no other.
        specials: The special tokens that have the first ids.

    Raises:
        PolygraftError: There is no text, or it is no Unicode.
    """
    tokenizer = empty or Tokenizer(models.BPE())
    if empty is None or not options.plain:
        _cut_words(tokenizer, options)
    # capitals are marked in the text itself: which of them it has is known when all is read
    text = TrainingText(texts)
    if options.marks_case:
        pairs = [(CASE_MARK, _ESCAPED_MARK), *((large, CASE_MARK + small) for large, small in small_letters().items())]
        table = str.maketrans(dict(pairs))
        text = TrainingText(texts, lambda one: one.translate(table))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(specials),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer=trainer)
    if options.splits_numbers:
        digits = {letter for letter in text.characters if unicodedata.category(letter) == "Nd"}
        tokenizer = with_tokens(tokenizer, sorted(digits | {*SIGNS}))
    if options.marks_case:
        wanted = {*text.characters, *string.ascii_uppercase}
        _mark_case(tokenizer, {large: small for large, small in small_letters().items() if wanted & {large, small}})
    return tokenizer


def with_tokens(tokenizer: Tokenizer, characters: Sequence[str]) -> Tokenizer:
    """Return a byte-level BPE tokenizer in which each character is one token, in place of the last merges.

    Only where the pre-tokenizer keeps the character apart is it always that token.

    Raises:
        PolygraftError: There are more than merges.
    """
    state = json.loads(tokenizer.to_str())
    learned = [tuple(pair) for pair in state["model"]["merges"]]
    first = len(state["model"]["vocab"]) - len(learned)
    spellings = [_letters_of(character) for character in characters]
    kept, added = learned, list(_missing(learned, spellings))
    while len(kept) + len(added) > len(learned):
        if len(added) > len(learned):
            raise PolygraftError(
                f"{len(characters)} digits and signs need {len(added)} tokens beside bytes and special ones, and there "
                f"are {len(learned)}: ask for a larger vocab_size"
            )
        kept = learned[: len(learned) - len(added)]
        added = list(_missing(kept, spellings))  # more, where a merge that went was part of a character
    merges = [*kept, *added]
    vocabulary = {token: number for token, number in state["model"]["vocab"].items() if number < first}
    vocabulary |= {left + right: first + number for number, (left, right) in enumerate(merges)}
    state["model"] |= {"merges": merges, "vocab": vocabulary}
    return Tokenizer.from_str(json.dumps(state))


def _letters_of(character: str) -> str:
    """Return the bytes of a character in the letters that byte-level BPE writes them with."""
    ((letters, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(character)
    return letters


def _missing(merges: Sequence[tuple[str, str]], spellings: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the merges that are to follow ``merges`` so that each spelling becomes one token."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    for spelling in spellings:
        left, *rest = _merged(spelling, ranks)
        for right in rest:
            ranks[left, right] = len(ranks)
            yield left, right
            left += right


def _merged(spelling: str, ranks: Mapping[tuple[str, str], int]) -> list[str]:
    pieces = list(spelling)
    while known := [at for at, pair in enumerate(pairwise(pieces)) if pair in ranks]:
        at = min(known, key=lambda at: ranks[pieces[at], pieces[at + 1]])
        pieces[at : at + 2] = ["".join(pieces[at : at + 2])]
    return pieces
