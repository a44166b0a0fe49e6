"""The vocabularies that narrations are retrieved from: names of emoji, filled up with other texts.

A large vocabulary holds names, steps of recipes as they are, names of things and their explanations from WordNet, and
sentences composed of the recipes' own parts, which nobody wrote. A text that is a right narration of a video is never
among the others, but another word for the same thing may be, and counts as wrong. Shapes: N entries, D width of text
vectors.
"""

import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbone.io.files import atomic_file
from benchmarks.common import cache_path
from scripts._app.cli import progress
from starter_build.datasets.images import WORDNET
from starter_build.datasets.packages import fetch
from starter_build.datasets.readers import RECIPES, recipes
from starter_build.starter.image_text_data import dictionary_texts
from video.vocabulary.narrations import clean
from video.vocabulary.pair_encoding import FUNCTION_WORDS

if TYPE_CHECKING:
    from video.vocabulary.vectors import TextEncoder

_LONGEST = 12  # words of a composed part at most
_CHUNK = 8192  # texts that are encoded and kept at a time


class Step(NamedTuple):
    """A step of a recipe, cut: "pour the milk | into a bowl"."""

    verb: str
    noun: str
    postfix: str


def distractors(data: Path, *, forbidden: Collection[str]) -> dict[str, list[str]]:
    """Return texts by their source, each once and none of `forbidden`, which are right for a video.

    Packages that are missing under `data` are fetched.
    """
    steps = [step for recipe in recipes(fetch(RECIPES, data)) for step in recipe.steps]
    found: dict[str, list[str]] = {}
    met = set(forbidden)
    for name, texts in (("recipe steps", steps), ("WordNet", dictionary_texts(fetch(WORDNET, data), frozenset()))):
        found[name] = [text for text in dict.fromkeys(map(clean, texts)) if text and text not in met]
        met.update(found[name])
    return found


def names_of_things(data: Path) -> list[str]:
    """The names in WordNet that are made of common words, without explanations."""
    texts = (text for text in dictionary_texts(fetch(WORDNET, data), frozenset()) if "," not in text)
    return list(dict.fromkeys(map(clean, texts)))


def compose(parts: Sequence[Step], *, forbidden: Collection[str], seed: int = 0) -> Iterator[str]:
    """Yield sentences of a verb, a noun and, or not, a postfix, each once and none of `forbidden`, while new ones come.

    Parts are drawn as often as they stand in recipes, so that most sentences are of common words.

    Args:
        parts: The steps that sentences are drawn from.
        forbidden: The clean texts that are not to come.
        seed: The seed of the draws.
    """
    draw, met, stale = random.Random(seed), set(forbidden), 0
    postfixes = [part.postfix for part in parts]
    while parts and stale < 1000:
        words = [draw.choice(parts).verb, draw.choice(parts).noun]
        text = clean(" ".join([*words, draw.choice(postfixes) if draw.random() < 0.7 else ""]))
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


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkVocabulary:
    """Texts with their vectors."""

    texts: Sequence[str]
    vectors: Tensor  # (N, D) float16

    def rows(self) -> dict[str, int]:
        """Return the row of each text."""
        return {text: row for row, text in enumerate(self.texts)}


def embed(texts: Sequence[str], encoder: "TextEncoder", folder: Path) -> BenchmarkVocabulary:
    """Return texts with their vectors; kept in `folder` piece by piece, so that an interrupted call is not lost."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    starts = range(0, len(texts), _CHUNK)
    for start in progress(starts, "encoding narrations", len(starts)):
        chunk = list(texts[start : start + _CHUNK])
        file = cache_path(folder, "vectors", encoder.digest, chunk).with_suffix(".npy")
        if not file.exists():
            with atomic_file(file) as partial:
                np.save(partial, encoder.half(chunk).numpy())
        parts.append(torch.from_numpy(np.load(file, allow_pickle=False)))
    return BenchmarkVocabulary(texts=texts, vectors=torch.cat(parts) if parts else torch.zeros(0, 0).half())


def described(sources: dict[str, list[str]], names: int, entries: int) -> str:
    """Say what a vocabulary of so many entries is made of: "4,394 names, 18,513 recipe steps, 77,093 composed"."""
    counts, left = {"names": min(names, entries)}, entries - names
    for source, texts in sources.items():
        counts[source] = max(0, min(len(texts), left))
        left -= len(texts)
    counts["composed"] = max(0, left)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def name_list(groups: Iterable[Iterable[str]]) -> list[str]:
    """Return the distinct names of all groups, in their order."""
    return list(dict.fromkeys(name for group in groups for name in group))
