"""Narration pair encoding (VLog, Section 3.2 and Appendix A.2): a narration becomes a prefix and, or not, a postfix.

A prefix is itself a narration; a postfix is what a longer narration adds after it. Words are separated by spaces.
The paper gives two readings that contradict each other and both lose narrations; this one loses none.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from video.config import CodingOptions

FUNCTION_WORDS = frozenset(
    """
    about above across after again against along alongside among and apart around as aside at atop away back because
    before behind below beneath beside besides between beyond by down during except for forward from if in inside into
    near next of off on onto or out outside over past per so than then through throughout to together toward towards
    under underneath until up upon upside using via when where while with within without
    """.split()  # noqa: SIM905  (a list would be one word a line)
)
"""Words with which a postfix may begin: prepositions, particles and conjunctions."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A narration and its code."""

    narration: str
    prefix: str
    postfix: str = ""  # empty where the narration is a prefix


@dataclass(frozen=True, kw_only=True)
class Coding:
    """The code of a set of narrations; everything in alphabetical order."""

    pairs: tuple[Pair, ...]  # one for each narration
    prefixes: tuple[str, ...]
    postfixes: dict[str, int]  # with the number of narrations that each ends


def encode(narrations: Iterable[str], options: CodingOptions | None = None) -> Coding:
    """Code narrations: each gets the longest prefix that is accepted, or is a prefix itself.

    Order, repeats and the number of spaces between words do not matter.
    """
    options = options or CodingOptions()
    texts = sorted({" ".join(narration.split()) for narration in narrations} - {""}, key=str.split)
    extensions = list(_with_bases(texts, options.min_base_words))
    followed = Counter(text[len(base) + 1 :] for text, bases in extensions for base in bases)
    prefixes: dict[str, None] = {}

    def accepts(base: str, postfix: str) -> bool:
        guarded = options.function_word_guard and postfix.split(" ", 1)[0] not in FUNCTION_WORDS
        return base in prefixes and followed[postfix] >= options.min_share and not guarded

    pairs = []
    for text, bases in extensions:  # in order, so that what a narration begins with is decided before it
        split = ((base, text[len(base) + 1 :]) for base in reversed(bases))
        base, postfix = next((found for found in split if accepts(*found)), (text, ""))
        pairs.append(Pair(text, base, postfix))
        if not postfix:
            prefixes[text] = None
    postfixes = Counter(pair.postfix for pair in pairs if pair.postfix)
    return Coding(pairs=tuple(pairs), prefixes=tuple(prefixes), postfixes=dict(sorted(postfixes.items())))


def _with_bases(texts: Sequence[str], least: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each text with the others of ``least`` words or more with which it begins, the shortest first."""
    opened: list[str] = []
    for text in texts:
        # in order, a text comes right before all that begin with it
        while opened and not text.startswith(opened[-1] + " "):
            opened.pop()
        yield text, [base for base in opened if base.count(" ") + 1 >= least]
        opened.append(text)
