"""Narrations and short texts that say nothing of the videos: what a large vocabulary is filled up with.

Steps of recipes, as they are; names of things and their explanations from WordNet; lines of a file, where one is given;
and sentences composed of the recipes' own parts, which nobody wrote. A text that is a right narration of a video is
never among them, but another word for the same thing may be, and counts as wrong.
"""

import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from backbone.errors import PolygraftError
from starter_build.datasets.images import WORDNET
from starter_build.datasets.packages import fetch
from starter_build.datasets.readers import RECIPES, recipes
from starter_build.starter.image_text_data import dictionary_texts
from video.vocabulary.narrations import clean, read_narrations
from video.vocabulary.pair_encoding import FUNCTION_WORDS

COMPOSED = "composed"
_LONGEST = 12
"""Words of a composed part at most."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a recipe, cut: "pour the milk | into a bowl"."""

    verb: str
    noun: str
    postfix: str


def distractors(data: Path, file: Path | None, *, forbidden: Collection[str]) -> dict[str, list[str]]:
    """Return texts by their source, each once and none of `forbidden`; missing packages are fetched under `data`.

    Args:
        data: folder of packages.
        file: further narrations, as `video.vocabulary.narrations.read_narrations` reads them.
        forbidden: clean texts that are right for a video.

    Raises:
        PolygraftError: the file cannot be read or holds no narration.
    """
    sources: dict[str, Iterable[str]] = {"recipe steps": steps(data)}
    if file:
        sources["file"] = _lines(file)
    sources["WordNet"] = dictionary_texts(fetch(WORDNET, data), frozenset())
    return _distinct(sources, forbidden)


def steps(data: Path) -> list[str]:
    """The steps of all recipes, cleaned as narrations are."""
    return [clean(step) for recipe in recipes(fetch(RECIPES, data)) for step in recipe.steps]


def names_of_things(data: Path) -> list[str]:
    """The names in WordNet that are made of common words, without explanations."""
    texts = (text for text in dictionary_texts(fetch(WORDNET, data), frozenset()) if "," not in text)
    return list(dict.fromkeys(map(clean, texts)))


def _lines(file: Path) -> list[str]:
    try:
        found = read_narrations(file.read_bytes(), str(file))
    except OSError as error:
        raise PolygraftError(f"{file} cannot be read ({(error.strerror or str(error)).lower()})") from error
    return [narration.text for narration in found.narrations]


def _distinct(sources: Mapping[str, Iterable[str]], forbidden: Collection[str]) -> dict[str, list[str]]:
    met = set(forbidden)
    found: dict[str, list[str]] = {}
    for name, texts in sources.items():
        found[name] = [text for text in dict.fromkeys(map(clean, texts)) if text and text not in met]
        met.update(found[name])
    return found


def compose(parts: Sequence[Step], *, forbidden: Collection[str], seed: int = 0) -> Iterator[str]:
    """Yield sentences of a verb, a noun and, or not, a postfix, each once and none of `forbidden`, while new ones come.

    Parts are drawn as often as they stand in recipes, so that most sentences are of common words.

    Args:
        parts: what the sentences are drawn from.
        forbidden: clean texts that are not to come.
        seed: of the draws.
    """
    draw, met, stale = random.Random(seed), set(forbidden), 0
    postfixes = [part.postfix for part in parts]
    while parts and stale < 1000:
        words = (
            draw.choice(parts).verb,
            draw.choice(parts).noun,
            draw.choice(postfixes) if draw.random() < 0.7 else "",
        )
        text = clean(" ".join(word for word in words if word))
        stale += 1
        if text not in met:
            met.add(text)
            stale = 0
            yield text


def cut(texts: Iterable[str]) -> list[Step]:
    """Cut the first clause of each text into verb, noun and postfix; those without verb or noun are left out."""
    found = []
    for text in texts:
        words = re.split(r"[,;.:()]", text, maxsplit=1)[0].split()
        at = next((place for place, word in enumerate(words) if place and word in FUNCTION_WORDS), len(words))
        if 2 <= at <= _LONGEST and len(words) - at <= _LONGEST:
            found.append(Step(verb=words[0], noun=" ".join(words[1:at]), postfix=" ".join(words[at:])))
    return found


def fill(names: Sequence[str], sources: Mapping[str, Sequence[str]], parts: Sequence[Step], entries: int) -> list[str]:
    """Return the names, then the sources in their order, then composed texts: `entries` at most."""
    written = [*names, *(text for texts in sources.values() for text in texts)]
    composed = islice(compose(parts, forbidden=set(written)), max(0, entries - len(written)))
    return [*written, *composed][:entries]
