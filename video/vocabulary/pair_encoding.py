"""Narration pair encoding (VLog, Section 3.2 and Appendix A.2): a narration becomes a prefix and, or not, a postfix.

A prefix is itself a narration; a postfix is what a longer narration adds after it. Words are separated by spaces.
The paper gives two readings that contradict each other and both lose narrations; the default here loses none.
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

    pairs: tuple[Pair, ...]  # one for each narration that prefixes and postfixes represent
    prefixes: tuple[str, ...]
    postfixes: dict[str, int]  # with the number of narrations that each ends
    lost: tuple[str, ...] = ()  # narrations that are not represented, in the published readings


def encode(narrations: Iterable[str], options: CodingOptions | None = None) -> Coding:
    """Code narrations. Order, repeats and the number of spaces between words do not matter.

    Takes time in proportion to the number of words, once the narrations are sorted.
    """
    options = options or CodingOptions()
    rows = sorted(text.split() for text in {" ".join(narration.split()) for narration in narrations} - {""})
    texts = [" ".join(words) for words in rows]
    bases = _find_bases(rows)
    match options.coding:
        case "lossless":
            return _lossless(texts, bases, options)
        case "algorithm1":
            return _algorithm1(texts, bases)
        case "main-text":
            return _main_text(texts, bases)


# What extends what


@dataclass(frozen=True, slots=True)
class _Base:
    """A narration with which a longer one begins."""

    index: int
    words: int
    remainder: int  # number of the words that follow: equal words, equal number


@dataclass(frozen=True, slots=True)
class _Extension:
    words: Sequence[str]
    bases: Sequence[_Base]  # shortest first

    def postfix(self, base: _Base) -> str:
        return " ".join(self.words[base.words :])


class _Trie:
    """Numbers sequences of words as they grow by one, so that none is ever copied or hashed as a whole."""

    def __init__(self) -> None:
        self._children: dict[tuple[int, str], int] = {}

    def walk(self, words: Iterable[str]) -> Iterator[int]:
        """Yield the number of each sequence that ``words`` begin with: one word, two, and so on."""
        node = 0
        for word in words:
            node = self._children.setdefault((node, word), len(self._children) + 1)
            yield node


def _find_bases(rows: Sequence[Sequence[str]]) -> list[_Extension]:
    """Return for each row of words the other rows with which it begins; the rows are different and in order.

    In order, a row comes right before all that begin with it, so what is still open when a row comes are its bases.
    """
    numbered = _Trie()
    opened: list[int] = []
    extensions = []
    for index, words in enumerate(rows):
        while opened and words[: len(rows[opened[-1]])] != rows[opened[-1]]:
            opened.pop()
        # read backwards, equal remainders are equal beginnings; most narrations extend nothing and have none
        numbers = list(numbered.walk(reversed(words))) if opened else []
        bases = [_Base(base, len(rows[base]), numbers[len(words) - len(rows[base]) - 1]) for base in opened]
        extensions.append(_Extension(words, bases))
        opened.append(index)
    return extensions


# The three readings


def _lossless(texts: Sequence[str], extensions: Sequence[_Extension], options: CodingOptions) -> Coding:
    """Shortest first, longest accepted prefix."""

    def listed(extension: _Extension) -> list[_Base]:
        return [base for base in extension.bases if base.words >= options.min_base_words]

    def accepts(extension: _Extension, base: _Base) -> bool:
        guarded = options.function_word_guard and extension.words[base.words] not in FUNCTION_WORDS
        return base.index in prefixes and followed[base.remainder] >= options.min_share and not guarded

    followed = Counter(base.remainder for extension in extensions for base in listed(extension))
    prefixes: set[int] = set()
    pairs: dict[int, Pair] = {}
    # what a narration begins with is shorter, so it is decided before
    for index in sorted(range(len(texts)), key=lambda index: len(extensions[index].words)):
        extension = extensions[index]
        base = next((base for base in reversed(listed(extension)) if accepts(extension, base)), None)
        if base is None:
            prefixes.add(index)
            pairs[index] = Pair(texts[index], texts[index])
        else:
            pairs[index] = Pair(texts[index], texts[base.index], extension.postfix(base))
    in_order = [pairs[index] for index in range(len(texts))]
    return Coding(
        pairs=tuple(in_order),
        prefixes=tuple(texts[index] for index in sorted(prefixes)),
        postfixes=_count(pair.postfix for pair in in_order if pair.postfix),
    )


def _algorithm1(texts: Sequence[str], extensions: Sequence[_Extension]) -> Coding:
    """Appendix A.2: what nothing extends is a prefix, so a base is lost and its extensions stay whole."""
    extended = {base.index for extension in extensions for base in extension.bases}
    prefixes = [text for index, text in enumerate(texts) if index not in extended]
    return Coding(
        pairs=tuple(Pair(text, text) for text in prefixes),
        prefixes=tuple(prefixes),
        postfixes=_remainders(extensions),
        lost=tuple(text for index, text in enumerate(texts) if index in extended),
    )


def _main_text(texts: Sequence[str], extensions: Sequence[_Extension]) -> Coding:
    """Section 3.2 and Figure 3: what something extends is a prefix, so a narration without relation is lost."""
    extended = {base.index for extension in extensions for base in extension.bases}
    pairs, lost = [], []
    for index, (text, extension) in enumerate(zip(texts, extensions, strict=True)):
        if index in extended:
            pairs.append(Pair(text, text))
        elif extension.bases:
            longest = extension.bases[-1]
            pairs.append(Pair(text, texts[longest.index], extension.postfix(longest)))
        else:
            lost.append(text)
    return Coding(
        pairs=tuple(pairs),
        prefixes=tuple(text for index, text in enumerate(texts) if index in extended),
        postfixes=_remainders(extensions),
        lost=tuple(lost),
    )


def _remainders(extensions: Sequence[_Extension]) -> dict[str, int]:
    """Return what follows any base in any narration, with the number of narrations that it follows."""
    numbers = Counter(base.remainder for extension in extensions for base in extension.bases)
    texts = {}
    for extension in extensions:
        for base in extension.bases:
            if base.remainder not in texts:  # written out once, however many narrations it follows
                texts[base.remainder] = extension.postfix(base)
    return {texts[number]: numbers[number] for number in sorted(texts, key=lambda number: texts[number])}


def _count(postfixes: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(postfixes).items()))
