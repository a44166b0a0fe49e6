"""Voices: the same emoji in the true words of the communities that name it.

A voice is a community with a habit that its own data shows; a text is that community's words in its own order, at most
five of a list, in the form in which its members write them. Nothing is made up.

names       `cldr-name` dog face; `unicode` DOG FACE (the character's name, often an older one: SLICE OF PIZZA);
            `charts` animals & nature / animal-mammal / dog face (where the emoji charts file it)
tags        `cldr-tags` dog face #adorbs #animal #dog; `cldr-keywords` adorbs | animal | dog, as the repository of CLDR
            writes them; `emojilib` #animal #friend #nature, colloquial; `joypixels-keywords` dog, face, pet;
            `openmoji` friend, puppy, doggy
shortcodes  `github` :smile: #happy #joy (its name, then its tags if it has any); `slack` :male-cook:;
            `joypixels` :dog: :dog_face: (Discord's as well); `emojibase` :joy: :lmao: :tears_of_joy:;
            `emojibase-legacy` :joyful: :haha:; `cldr-shortcode` :face_with_tears_of_joy:; `zulip` :joy: :tears:

Left out because four of five texts or more are those of another voice: British names and tags (99 % and 94 % American),
GitHub's descriptions (99 % CLDR's names), GitHub's shortcodes without its tags (81 % Slack's), Discord's (99 %
JoyPixels').

`python -m starter_build.datasets.voices` prints how much the voices have in common.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starter_build.datasets import voice_words as words
from starter_build.datasets.images import EMOJI_FLUENT, EMOJI_NAMES, EMOJI_TWITTER, WORDNET, ImageRecord, emoji
from starter_build.datasets.lexicon import read_wordnet
from starter_build.datasets.packages import Package, data_root, fetch

GEMOJI = Package(registry="npm", name="gemoji", version="8.1.0")
EMOJILIB = Package(registry="npm", name="emojilib", version="4.0.3")
JOYPIXELS = Package(registry="npm", name="emoji-toolkit", version="9.0.1")
OPENMOJI = Package(registry="npm", name="openmoji", version="17.0.0")
ZULIP = Package(registry="pypi", name="zulip-emoji-mapping", version="1.0.1")

Family = Literal["name", "tags", "shortcode"]


@dataclass(frozen=True, kw_only=True)
class Voice:
    """A community, where its words are and how it writes them."""

    name: str
    family: Family
    package: Package
    licence: str
    read: words.Reader
    write: words.Writer


_LABEL, _TAGS = words.cldr(lambda entry: [entry["label"]]), words.cldr(lambda entry: entry.get("tags", []))
_BOTH = words.cldr(lambda entry: [entry["label"], *entry.get("tags", [])])
_TABLE: tuple[tuple[str, Family, Package, str, words.Reader, words.Writer], ...] = (
    ("cldr-name", "name", EMOJI_NAMES, "Unicode-3.0", _LABEL, words.spaced),
    ("unicode", "name", EMOJI_TWITTER, "Unicode-3.0", words.datasource("name"), words.spaced),
    ("charts", "name", EMOJI_NAMES, "Unicode-3.0", words.charts, words.listed(" / ")),
    ("cldr-tags", "tags", EMOJI_NAMES, "Unicode-3.0", _BOTH, words.tagged),
    ("cldr-keywords", "tags", EMOJI_NAMES, "Unicode-3.0", _TAGS, words.listed(" | ")),
    ("emojilib", "tags", EMOJILIB, "MIT", words.emojilib, words.hashtags),
    ("joypixels-keywords", "tags", JOYPIXELS, "MIT", words.joypixels_keywords, words.listed(", ")),
    ("openmoji", "tags", OPENMOJI, "CC-BY-SA-4.0", words.openmoji, words.listed(", ")),
    ("github", "shortcode", GEMOJI, "MIT", words.gemoji, words.tagged),
    ("slack", "shortcode", EMOJI_TWITTER, "MIT", words.datasource("short_name"), words.colons),
    ("joypixels", "shortcode", JOYPIXELS, "MIT", words.joypixels, words.colons),
    ("emojibase", "shortcode", EMOJI_NAMES, "MIT", words.preset("emojibase"), words.colons),
    ("emojibase-legacy", "shortcode", EMOJI_NAMES, "MIT", words.preset("emojibase-legacy"), words.colons),
    ("cldr-shortcode", "shortcode", EMOJI_NAMES, "MIT", words.preset("cldr"), words.colons),
    ("zulip", "shortcode", ZULIP, "Apache-2.0", words.zulip, words.colons),
)
VOICES = tuple(
    Voice(name=name, family=family, package=package, licence=licence, read=read, write=write)
    for name, family, package, licence, read, write in _TABLE
)


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """An emoji, drawn by several hands and named by several voices."""

    code: str
    concept: str
    images: Mapping[str, Path]
    """By the hand that drew it."""
    texts: Mapping[str, str]
    """By the voice; a voice without words for this emoji is not there."""


def spoken(root: Path) -> list[Spoken]:
    """The emoji of `images.emoji` with the words of all voices; missing packages are fetched under `root`."""
    names, fluent, twitter = (fetch(package, root) for package in (EMOJI_NAMES, EMOJI_FLUENT, EMOJI_TWITTER))
    return gather(emoji(names, fluent, twitter, read_wordnet(fetch(WORDNET, root))), voice_texts(root))


def gather(images: Iterable[ImageRecord], texts: Mapping[str, Mapping[str, str]]) -> list[Spoken]:
    """The images of each emoji together with its `texts` (voice -> code -> text), in the order of the images."""
    by_code: dict[str, list[ImageRecord]] = {}
    for image in images:
        by_code.setdefault(image.id.rpartition("/")[2], []).append(image)
    return [
        Spoken(
            code=code,
            concept=hands[0].concept,
            images={image.user: image.image for image in hands},
            texts={voice: said[code] for voice, said in texts.items() if code in said},
        )
        for code, hands in by_code.items()
    ]


def voice_texts(root: Path) -> dict[str, dict[str, str]]:
    """What every voice writes: voice -> code -> text. Packages that are missing under `root` are fetched."""
    return {voice.name: _texts(voice, fetch(voice.package, root)) for voice in VOICES}


def _texts(voice: Voice, package: Path) -> dict[str, str]:
    written = {code: voice.write(list(dict.fromkeys(said))) for code, said in voice.read(package)}
    return {code: text for code, text in written.items() if text}


def overlap(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """The share of the emoji named by both voices to which they give the same text, but for capitals."""
    both = first.keys() & second.keys()
    return sum(first[code].casefold() == second[code].casefold() for code in both) / max(1, len(both))


def shared_words(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """The share of words that two texts have in common (of those in either), over the emoji named by both voices."""
    both = first.keys() & second.keys()
    pairs = [(_words(first[code]), _words(second[code])) for code in both]
    return sum(len(one & other) / max(1, len(one | other)) for one, other in pairs) / max(1, len(both))


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.casefold()))


def _print_overlaps(texts: Mapping[str, Mapping[str, str]]) -> None:
    """A line for each voice: emoji it names, then equal texts / shared words in percent for each voice."""
    for first, said in texts.items():
        cells = (f"{overlap(said, other):3.0%}/{shared_words(said, other):4.0%}" for other in texts.values())
        print(f"{first:18} {len(said):5}  " + "  ".join(cell.replace("%", "") for cell in cells))


if __name__ == "__main__":
    found = spoken(data_root())
    _print_overlaps({v.name: {s.code: s.texts[v.name] for s in found if v.name in s.texts} for v in VOICES})
