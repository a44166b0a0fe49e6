"""English words as WordNet knows them: which words exist, their singular, whether they name a thing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starter_build.datasets.packages import member


def word_set(text: str) -> frozenset[str]:
    """The words of a text that lists them."""
    return frozenset(text.split())


FUNCTION_WORDS = word_set(
    "a an the of and or with without in on at from to for by over under near behind beside against into onto through "
    "is are was its his her my your our their no not two three four five six seven eight nine ten"
)
_BEYOND_WORDNET = word_set("coloured colour colours stylized lit corndog bowsaw")
_WORD = re.compile(r"[A-Za-z]+")
# Numbers of WordNet's lexicographer files: animal, artifact, body, food, object, person, plant, substance.
_THING_FIELDS = frozenset({"05", "06", "08", "13", "17", "18", "20", "27"})
_PLURALS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""))
_VERB_ENDINGS = (("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("d", ""), ("s", ""), ("es", ""))


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """A vocabulary with the little morphology that captions need."""

    spelling: dict[str, str]  # lower-case word -> the word as written: `saturn` -> `Saturn`, `apple` -> `apple`
    nouns: frozenset[str]
    things: frozenset[str]  # the nouns for what one can see: animals, artefacts, bodies, food, plants and so on
    verbs: frozenset[str]
    irregular: dict[str, str]  # irregular plural or verb form -> base: `feet` -> `foot`

    def singular(self, word: str) -> str:
        """The base of a plural, if the base is a known noun; otherwise the word itself."""
        if word in self.irregular and self.irregular[word] in self.nouns:
            return self.irregular[word]
        if len(word) > 3 and not word.endswith(("ss", "us", "is")):
            for ending, replacement in _PLURALS:
                base = word.removesuffix(ending) + replacement
                if word.endswith(ending) and base in self.nouns:
                    return base
        return word

    def written(self, word: str) -> str:
        """The word with the capitals that WordNet gives it, unless it is a form of an ordinary word."""
        return word if self.singular(word) != word else self.spelling.get(word, word)

    def is_noun(self, word: str) -> bool:
        """True when the word or its singular names a thing."""
        return self.singular(word) in self.nouns

    def is_participle(self, word: str) -> bool:
        """True for the -ing form of a verb, unless it names a thing as well (a stocking)."""
        stem = word.removesuffix("ing")
        undoubled = re.sub(r"(.)\1$", r"\1", stem)
        from_verb = len(stem) > 2 and not self.verbs.isdisjoint((stem, stem + "e", undoubled))
        return word.endswith("ing") and from_verb and word not in self.things

    def knows(self, word: str) -> bool:
        """True for a word of English in any of its forms."""
        if (
            word in FUNCTION_WORDS | _BEYOND_WORDNET
            or word in self.spelling
            or word in self.irregular
            or self.is_noun(word)
        ):
            return True
        return self.is_participle(word) or any(
            word.endswith(ending) and word.removesuffix(ending) + base in self.verbs for ending, base in _VERB_ENDINGS
        )


def read_wordnet(folder: Path) -> Lexicon:
    """The lexicon of a `wordnet-base` package, unpacked in `folder`."""
    root = member(folder, "usr/share/wordnet")
    entries = {part: list(_entries(root / f"data.{part}")) for part in ("noun", "verb", "adj", "adv")}
    lemmas = {
        part: frozenset(lemma.lower() for _, words in found for lemma in words) for part, found in entries.items()
    }
    things = frozenset(lemma.lower() for field, words in entries["noun"] if field in _THING_FIELDS for lemma in words)
    written = {
        word for found in entries.values() for _, words in found for lemma in words for word in _WORD.findall(lemma)
    }
    # Capitals sort first, so a word that is also written small ends up small.
    spelling = {word.lower(): word for word in sorted(written)}
    pairs = (line.split() for part in ("noun", "verb") for line in (root / f"{part}.exc").read_text().splitlines())
    irregular = {pair[0]: pair[1] for pair in pairs}
    return Lexicon(spelling=spelling, nouns=lemmas["noun"], things=things, verbs=lemmas["verb"], irregular=irregular)


def _entries(file: Path) -> Iterator[tuple[str, list[str]]]:
    # wndb(5WN): a line holds the number of words in hexadecimal, then each word and its sense
    for line in file.read_text().splitlines():
        if not line.startswith(" "):
            fields = line.split(" ")
            yield fields[1], fields[4 : 4 + 2 * int(fields[3], 16) : 2]
