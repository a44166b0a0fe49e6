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
"""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from backbone.errors import PolygraftError
from starter_build.datasets.images import (
    EMOJI_FLUENT,
    EMOJI_NAMES,
    EMOJI_TWITTER,
    WORDNET,
    ImageRecord,
    emoji,
    emoji_code,
)
from starter_build.datasets.lexicon import read_wordnet
from starter_build.datasets.packages import Package, fetch, member

MAX_WORDS = 5  # tags or keywords of one text

Words = Iterator[tuple[str, list[str]]]  # code of an emoji and what a community calls it
Reader = Callable[[Path], Words]
Writer = Callable[[list[str]], str]

_HASHTAG = re.compile(r"(?=.*[^\W\d_])\w[\w\s'’.&-]*")


# How they write


def spaced(words: list[str]) -> str:
    """Words between spaces."""
    return " ".join(words)


def listed(mark: str) -> Writer:
    """The first `MAX_WORDS` words with `mark` between them."""
    return lambda words: mark.join(words[:MAX_WORDS])


def colons(words: list[str]) -> str:
    """Shortcodes as people type them."""
    return " ".join(f":{word}:" for word in words)


def hashtags(words: Iterable[str]) -> str:
    """The first `MAX_WORDS` words as hashtags, which hold neither spaces nor marks.

    What has no letter ("100"), or marks that words do not have (":D", "on!"), cannot be one and falls out.
    """
    tags = ("#" + re.sub(r"\W", "", word) for word in words if _HASHTAG.fullmatch(word))
    return " ".join(list(dict.fromkeys(tags))[:MAX_WORDS])


def tagged(words: list[str]) -> str:
    """The first word as it is, the others as hashtags."""
    return f"{words[0]} {hashtags(words[1:])}".strip()


# Where their words are


def cldr(entry_words: Callable[[dict[str, Any]], list[str]]) -> Reader:
    """CLDR's names and keywords, as Emojibase passes them on."""

    def read(package: Path) -> Words:
        for entry in _json(package, "package/en/data.json"):
            yield emoji_code(entry["hexcode"]), entry_words(entry)

    return read


def charts(package: Path) -> Words:
    """The group, the subgroup and the name under which the charts of Unicode list an emoji."""
    titles = {message["order"]: message["message"] for message in _json(package, "package/en/messages.json")["groups"]}
    shelves = _json(package, "package/meta/groups.json")["subgroups"]
    for entry in _json(package, "package/en/data.json"):
        if "group" in entry and "subgroup" in entry:
            words = [titles[entry["group"]], shelves[str(entry["subgroup"])], entry["label"]]
            yield emoji_code(entry["hexcode"]), words


def preset(name: str) -> Reader:
    """One of the sets of shortcodes that Emojibase keeps."""

    def read(package: Path) -> Words:
        for code, names in _json(package, f"package/en/shortcodes/{name}.json").items():
            yield emoji_code(code), names if isinstance(names, list) else [names]

    return read


def datasource(key: str) -> Reader:
    """A field of the table of emoji that Slack's clients use."""

    def read(package: Path) -> Words:
        for entry in _json(package, "package/emoji.json"):
            yield emoji_code(entry["unified"]), [entry[key]] if entry[key] else []

    return read


def gemoji(package: Path) -> Words:
    """GitHub's first shortcode and its tags, from a module of JavaScript whose literals are all of one form."""
    literal = r"emoji: '([^']*)',\s*names: \[([^\]]*)\],\s*tags: \[([^\]]*)\]"
    for characters, names, tags in re.findall(literal, member(package, "package/index.js").read_text()):
        shortcode, *_ = re.findall(r"'([^']*)'", names)
        yield emoji_code(characters), [f":{shortcode}:", *re.findall(r"'([^']*)'", tags)]


def emojilib(package: Path) -> Words:
    """The keywords of emojilib but the first, which repeats the CLDR name."""
    for characters, keywords in _json(package, "package/dist/emoji-en-US.json").items():
        yield emoji_code(characters), keywords[1:]


def joypixels(package: Path) -> Words:
    """The shortcode of JoyPixels and its alternates."""
    for entry in _json(package, "package/emoji.json").values():
        names = [entry["shortname"], *entry["shortname_alternates"]]
        yield emoji_code(entry["code_points"]["fully_qualified"]), [name.strip(":") for name in names]


def joypixels_keywords(package: Path) -> Words:
    """The keywords of JoyPixels; those such as "uc6" tell the version of Unicode and are left out."""
    for entry in _json(package, "package/emoji.json").values():
        words = [word for word in entry["keywords"] if not re.fullmatch(r"uc\d+", word)]
        yield emoji_code(entry["code_points"]["fully_qualified"]), words


def openmoji(package: Path) -> Words:
    """The tags that OpenMoji's designers add to CLDR's."""
    for entry in _json(package, "package/data/openmoji.json"):
        yield emoji_code(entry["hexcode"]), [word for word in entry["openmoji_tags"].split(", ") if word]


def zulip(package: Path) -> Words:
    """The canonical name and the aliases in Zulip, from a module of Python that is read and not run."""
    module = ast.parse(member(package, "zulip_emoji_mapping/emoji_names.py").read_text())
    tables = [node.value for node in module.body if isinstance(node, ast.AnnAssign) and node.value]
    for code, names in (ast.literal_eval(tables[0]) if tables else {}).items():
        yield emoji_code(code), [names["canonical_name"], *names["aliases"]]


def _json(package: Path, path: str) -> Any:
    file = member(package, path)
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PolygraftError(f"{file} is not JSON ({error}); remove the package's folder to fetch it again.") from None


GEMOJI = Package(registry="npm", name="gemoji", version="8.1.0")
EMOJILIB = Package(registry="npm", name="emojilib", version="4.0.3")
JOYPIXELS = Package(registry="npm", name="emoji-toolkit", version="9.0.1")
OPENMOJI = Package(registry="npm", name="openmoji", version="17.0.0")
ZULIP = Package(registry="pypi", name="zulip-emoji-mapping", version="1.0.1")

Family = Literal["name", "tags", "shortcode"]


class Voice(NamedTuple):
    """A community, where its words are and how it writes them."""

    name: str
    family: Family
    package: Package
    licence: str
    read: Reader
    write: Writer


_LABEL, _TAGS = cldr(lambda entry: [entry["label"]]), cldr(lambda entry: entry.get("tags", []))
_BOTH = cldr(lambda entry: [entry["label"], *entry.get("tags", [])])
VOICES = (
    Voice("cldr-name", "name", EMOJI_NAMES, "Unicode-3.0", _LABEL, spaced),
    Voice("unicode", "name", EMOJI_TWITTER, "Unicode-3.0", datasource("name"), spaced),
    Voice("charts", "name", EMOJI_NAMES, "Unicode-3.0", charts, listed(" / ")),
    Voice("cldr-tags", "tags", EMOJI_NAMES, "Unicode-3.0", _BOTH, tagged),
    Voice("cldr-keywords", "tags", EMOJI_NAMES, "Unicode-3.0", _TAGS, listed(" | ")),
    Voice("emojilib", "tags", EMOJILIB, "MIT", emojilib, hashtags),
    Voice("joypixels-keywords", "tags", JOYPIXELS, "MIT", joypixels_keywords, listed(", ")),
    Voice("openmoji", "tags", OPENMOJI, "CC-BY-SA-4.0", openmoji, listed(", ")),
    Voice("github", "shortcode", GEMOJI, "MIT", gemoji, tagged),
    Voice("slack", "shortcode", EMOJI_TWITTER, "MIT", datasource("short_name"), colons),
    Voice("joypixels", "shortcode", JOYPIXELS, "MIT", joypixels, colons),
    Voice("emojibase", "shortcode", EMOJI_NAMES, "MIT", preset("emojibase"), colons),
    Voice("emojibase-legacy", "shortcode", EMOJI_NAMES, "MIT", preset("emojibase-legacy"), colons),
    Voice("cldr-shortcode", "shortcode", EMOJI_NAMES, "MIT", preset("cldr"), colons),
    Voice("zulip", "shortcode", ZULIP, "Apache-2.0", zulip, colons),
)


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """An emoji, drawn by several hands and named by several voices."""

    code: str
    concept: str
    images: Mapping[str, Path]  # by the hand that drew it
    texts: Mapping[str, str]  # by the voice; a voice without words for this emoji is not there


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
