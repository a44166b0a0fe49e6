"""What texts say of their author: style features and characteristic words.

Style: length, case, emoji, hashtags, punctuation, shortcodes, first person. Words: TF-IDF over users.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from backbone.errors import PolygraftError

# Style

# pictographs with what modifies them (variant, skin tone, tags) and what a joiner ties to them; flags; keycaps
_IMAGE = (
    "(?:[\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u2600-\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\u3297\u3299\U0001f000-\U0001faff]|[^\\w\\s]\ufe0f)[\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*"
)
EMOJI = re.compile(f"[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3|{_IMAGE}(?:\u200d{_IMAGE})*")
"""One emoji, however many characters it is made of."""

_HASHTAG = re.compile(r"(?<!\w)#\w")
_SHORTCODE = re.compile(r"_|:[^\s:\d][^\s:]*:")
# in capitals it is a country more often than a pronoun
_FIRST_PERSON = re.compile(r"\b(?!US\b)(?i:i|me|my|mine|myself|we|us|our|ours|ourselves)\b")
_COUNTED_ELSEWHERE = frozenset("#_:")
_CACHED = 1 << 16  # texts whose counts are kept: a profile is made again for each post that it leaves out

_Counts = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Style:
    """Means and shares over a set of texts, each 0 where there is nothing to count.

    Shares of words, letters and characters are of all the texts together, so long texts count for more in them.
    Words are what spaces separate; case and characters are those that were written.
    """

    words: float  # a text's words, on average
    characters: float  # a text's characters (code points), on average, with one space between words
    emoji: float  # share of words that hold an emoji
    hashtags: float  # share of words that hold a hashtag
    capitals: float  # share of capitals among the letters that have a case
    punctuation: float
    """Share of punctuation among the characters that are no spaces; ``#``, ``_`` and ``:`` count elsewhere."""
    shortcodes: float  # share of words with an underscore or between colons, as in ``dog_face`` or ``:dog:``
    first_person: float  # share of words that hold an English pronoun of the first person

    # of each figure, how much is a large difference: about what sets one community's captions apart from another's
    UNITS: ClassVar[dict[str, float]] = {
        "words": 10.0,
        "characters": 60.0,
        "emoji": 0.5,
        "hashtags": 0.5,
        "capitals": 1.0,
        "punctuation": 0.2,
        "shortcodes": 0.5,
        "first_person": 0.5,
    }
    NAMES: ClassVar[tuple[str, ...]] = tuple(UNITS)
    SIZE: ClassVar[int] = len(UNITS)

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Style":
        """Measure texts, none at all included."""
        counts = [_count(text) for text in texts]
        words, written, visible, cased, capitals, punctuation, *held = (
            (sum(column) for column in zip(*counts, strict=True)) if counts else (0,) * 10
        )
        emoji, hashtags, shortcodes, first_person = held
        return cls(
            words=_share(words, len(counts)),
            characters=_share(written, len(counts)),
            emoji=_share(emoji, words),
            hashtags=_share(hashtags, words),
            capitals=_share(capitals, cased),
            punctuation=_share(punctuation, visible),
            shortcodes=_share(shortcodes, words),
            first_person=_share(first_person, words),
        )

    def as_vector(self) -> list[float]:
        """Return the figures in the order of `NAMES`, in their units and cut to 0..1: always finite."""
        return [min(1.0, max(0.0, value)) for value in self._in_units()]

    def _in_units(self) -> list[float]:
        values = asdict(self)
        return [values[name] / unit for name, unit in self.UNITS.items()]

    def distance(self, other: "Style") -> float:
        """Return the mean absolute difference of the figures, each in its unit of `UNITS`; 0 for the same style."""
        pairs = zip(self._in_units(), other._in_units(), strict=True)
        return sum(abs(own - theirs) for own, theirs in pairs) / self.SIZE


def style_distance(first: Iterable[str], second: Iterable[str]) -> float:
    """Return how differently two sets of texts are written: `Style.distance` of their styles."""
    return Style.of(first).distance(Style.of(second))


@lru_cache(maxsize=_CACHED)
def _count(text: str) -> _Counts:
    """Count in one text what the shares are made of, in the order in which `Style.of` names them."""
    words = text.split()
    visible = "".join(words)
    capitals = sum(map(str.isupper, visible))
    kinds = (EMOJI, _HASHTAG, _SHORTCODE, _FIRST_PERSON)
    return (
        len(words),
        len(" ".join(words)),
        len(visible),
        capitals + sum(map(str.islower, visible)),
        capitals,
        sum(map(_is_punctuation, visible)),
        *(sum(kind.search(word) is not None for word in words) for kind in kinds),
    )


def _is_punctuation(character: str) -> bool:
    return character not in _COUNTED_ELSEWHERE and unicodedata.category(character).startswith("P")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def emoji_words(text: str) -> str:
    """Replace each emoji by one ASCII word, as 😀 by `` emoji_grinning_face ``, for metrics that would drop it.

    The Penn Treebank tokenizer drops characters beyond U+FFFF and leaves these words whole. An emoji of several
    characters (flag, skin tone, family) is named by all of them; one that Python does not know yet, by its number.
    """
    return EMOJI.sub(lambda found: f" {_emoji_word(found[0])} ", text)


def _emoji_word(emoji: str) -> str:
    names = (unicodedata.name(part, f"u{ord(part):x}") for part in emoji if part not in "\u200d\ufe0f")
    return re.sub("[^a-z0-9]+", "_", " ".join(("emoji", *names)).lower())


# Characteristic words

VOCABULARY = 40_000  # most frequent words of the training texts that are known at most

Counts = np.ndarray[Any, np.dtype[np.int64]]

_WORD = re.compile(r"[#@]?\w+(?:['’-]\w+)*")


def split_words(text: str) -> list[str]:
    """Return the lower-case words of a text; hashtags, handles and shortcodes (``dog_face``) are words of their own."""
    return _WORD.findall(text.casefold())


@dataclass(frozen=True, kw_only=True)
class WordTable:
    """The words of the training users, and in how many users' posts each stands.

    A document is a user: all posts of one user together. The weights are scikit-learn's defaults:
    ``count * (ln((1 + users) / (1 + document frequency)) + 1)``.
    """

    words: tuple[str, ...]  # the most frequent words first; of equally frequent ones the first in the alphabet
    frequencies: tuple[int, ...]  # of each word, how many users write it
    users: int

    @classmethod
    def fit(cls, texts_by_user: Mapping[str, Iterable[str]], *, limit: int = VOCABULARY) -> "WordTable":
        """Count the words of the training users.

        Args:
            texts_by_user: All texts of each user; of users who are tested later, none.
            limit: The largest number of words that are kept.
        """
        totals: Counter[str] = Counter()
        frequencies: Counter[str] = Counter()
        for texts in texts_by_user.values():
            counts = Counter(word for text in texts for word in split_words(text))
            totals += counts
            frequencies.update(counts.keys())
        kept = sorted(totals, key=lambda word: (-totals[word], word))[:limit]
        return cls(words=tuple(kept), frequencies=tuple(frequencies[word] for word in kept), users=len(texts_by_user))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def idf(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Inverse document frequency of each word."""
        found: np.ndarray[Any, np.dtype[np.float64]] = np.log((1 + self.users) / (1 + np.array(self.frequencies))) + 1
        return found

    @cached_property
    def _found(self) -> dict[str, Counts]:
        return {}

    def numbers(self, text: str) -> Counts:
        """Return the numbers of the words of a text that the table knows, in their order, repeated ones too."""
        # looked up once: a user's words are counted again for each post that is left out
        if text not in self._found:
            known = (self._numbers.get(word) for word in split_words(text))
            self._found[text] = np.array([number for number in known if number is not None], dtype=np.int64)
        return self._found[text]

    def top(self, texts: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """Return the words with the greatest weights, and these weights with the greatest as 1.

        Args:
            texts: The texts of a user, at least one.
            limit: The largest number of words. Of equal weights the more frequent word of the table comes first.
        """
        words, counts = np.unique(np.concatenate([self.numbers(text) for text in texts]), return_counts=True)
        weights = counts * self.idf[words]
        order = np.lexsort((words, -weights))[:limit]
        largest = float(weights[order[0]]) if len(order) else 1.0
        return [(int(words[at]), float(weights[at]) / largest) for at in order]

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON can hold it."""
        return {"words": list(self.words), "frequencies": list(self.frequencies), "users": self.users}

    @classmethod
    def from_json(cls, found: Any) -> "WordTable":
        """Read what `to_json` gave.

        Raises:
            PolygraftError: it is something else.
        """
        try:
            words, frequencies, users = found["words"], found["frequencies"], found["users"]
            sound = isinstance(words, list) and type(users) is int
            sound = sound and all(isinstance(word, str) for word in words)
            sound = sound and all(type(count) is int and 0 < count <= users for count in frequencies)
        except (TypeError, KeyError):
            sound = False
        if not sound or len(words) != len(frequencies) or len(set(words)) != len(words):
            raise PolygraftError("the table of users' words is damaged: it needs words, their frequencies and users")
        return cls(words=tuple(words), frequencies=tuple(frequencies), users=users)


NO_WORDS = WordTable(words=(), frequencies=(), users=0)
"""For captioners that know users by other things, or none at all."""
