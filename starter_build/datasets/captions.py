"""The rules for captions: how they are compared, and which concept they name."""

import re
import unicodedata

from starter_build.datasets.lexicon import Lexicon, word_set

_ARTICLES = word_set("a an the some")
# What a caption says beside the thing itself: colour, size, number, age, side, state, manner of drawing.
_ASIDES = word_set(
    "red orange yellow green blue purple pink brown black white grey gray silver golden gold dark light medium bright "
    "colored coloured colorful colourful color colour big large small little tiny huge tall short long wide very old "
    "new young baby adult male female left right up down upper lower front back side facing one two three four five "
    "six seven eight nine ten eleven twelve first second third thirty pair number open closed empty full half "
    "cartoon simple plain shiny happy sad drawing drawn outline silhouette contour stylized face head person people "
    "man woman men women boy girl guy lady child kid family human symbol sign image image icon button medal style "
    "this that it its our your my here there no not"
)
_MEASURES = word_set(
    "head pair couple bunch piece slice half quarter cup glass bowl pot bottle tube loaf bar bag box model set stack "
    "plate bouquet can jar kind part group row pile"
)
_STOPS = word_set(
    "of with without in on at from to for by over under near behind beside against into onto through and or is are "
    "was were has have had can means lets like carries carry stands resembles used worn called also who which that "
    "before after when as"
)
_PEOPLE = word_set("person people man woman men women boy girl guy lady child kid adult human")


def tokens(caption: str) -> list[str]:
    """Lower-case words without accents, possessive endings and articles."""
    plain = unicodedata.normalize("NFKD", caption.casefold().replace("’", "'"))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    words = re.findall(r"[a-z]+|\d+", re.sub(r"'s\b|'", "", plain))
    return [word for word in words if word not in _ARTICLES] or words


def normalise(caption: str) -> str:
    """The form in which two captions count as equal: "A dog." and "dog" both become "dog"."""
    return " ".join(tokens(caption))


def concept(caption: str, lexicon: Lexicon) -> str:
    """The thing that a caption is about, as one word: the head of its first noun phrase, in the singular.

    "A brown hen." is about a hen, "dog face" and "guide dog" about a dog, "two slices of pizza" about pizza, "man cook"
    about a cook, "woman: red hair" about a person. The key is coarse on purpose, because it decides what may stand on
    both sides of a split: rather one dog too few in training than a dog in the test that was seen. A caption without
    words is about "".
    """
    parts = map(tokens, re.split(r"[:;—–(]", caption))
    words = next(filter(None, parts), [])
    while "of" in words[1:-1] and lexicon.singular(words[words.index("of", 1) - 1]) in _MEASURES:
        words = words[words.index("of", 1) + 1 :]
    if set(words) & _PEOPLE and set(words) <= _ASIDES:
        return "person"
    words = [word for word in words if word not in _ASIDES and not word.isdigit()] or words
    phrase = _first_phrase(words, lexicon)
    head = next((word for word in reversed(phrase) if lexicon.is_noun(word)), "".join(phrase[-1:]))
    return lexicon.singular(head)


def _first_phrase(words: list[str], lexicon: Lexicon) -> list[str]:
    """The words before the first preposition, verb or participle, at least one."""
    ends = (
        position for position, word in enumerate(words) if position and (word in _STOPS or lexicon.is_participle(word))
    )
    return words[: next(ends, len(words))]
