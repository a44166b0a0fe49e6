"""Byte-level BPE trained with any strategy, and single tokens for characters that must have one.

Sennrich et al. (2016) on the bytes of words (Radford et al., 2019, section 2.2), in the tokenizers library.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from backbone.errors import PolygraftError
from crosslingual.tokenization.options import TokenizerOptions
from crosslingual.tokenization.splitting import capitals_among, cut_words, mark_capitals, mark_case, numbers_among
from crosslingual.tokenization.training_text import TrainingText


def train_bbpe(
    texts: Iterable[str],
    options: TokenizerOptions,
    vocab_size: int,
    *,
    empty: Tokenizer | None = None,
    specials: Sequence[AddedToken] = (),
) -> Tokenizer:
    """Train byte-level BPE.

    Args:
        texts: any unit; read once.
        options: how text is cut.
        vocab_size: tokens in all; fewer where the text has no more.
        empty: a byte-level BPE tokenizer without vocabulary, whose own way to cut text stays where the options ask for
            no other.
        specials: the special tokens that have the first ids.

    Raises:
        PolygraftError: there is no text, or it is no Unicode.
    """
    tokenizer = empty or Tokenizer(models.BPE())
    if empty is None or not options.plain:
        cut_words(tokenizer, options)
    # capitals are marked in the text itself: which of them it has is known when all is read
    text = TrainingText(texts, mark_capitals if options.marks_case else None)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(specials),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer=trainer)
    if options.splits_numbers:
        tokenizer = with_tokens(tokenizer, numbers_among(text.characters))
    if options.marks_case:
        mark_case(tokenizer, capitals_among(text.characters))
    return tokenizer


def with_tokens(tokenizer: Tokenizer, characters: Sequence[str]) -> Tokenizer:
    """Return a byte-level BPE tokenizer in which each character is one token, in place of the last merges.

    Only where the pre-tokenizer keeps the character apart is it always that token.

    Raises:
        PolygraftError: there are more than merges.
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
    """Return the pieces that BPE makes of a spelling."""
    pieces = list(spelling)
    while known := [at for at, pair in enumerate(pairwise(pieces)) if pair in ranks]:
        at = min(known, key=lambda at: ranks[pieces[at], pieces[at + 1]])
        pieces[at : at + 2] = ["".join(pieces[at : at + 2])]
    return pieces
