"""Where each community keeps its words for emoji, and how its members write them. `voices` puts the two together."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError
from starter_build.datasets.packages import member

MAX_WORDS = 5
"""Tags or keywords of one text."""

Words = Iterator[tuple[str, list[str]]]
"""Code of an emoji and what a community calls it."""
Reader = Callable[[Path], Words]
Writer = Callable[[list[str]], str]

_TAG = re.compile(r"(?=.*[^\W\d_])\w[\w\s'’.&-]*")


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
    tags = ("#" + re.sub(r"\W", "", word) for word in words if _TAG.fullmatch(word))
    return " ".join(list(dict.fromkeys(tags))[:MAX_WORDS])


def tagged(words: list[str]) -> str:
    """The first word as it is, the others as hashtags."""
    return f"{words[0]} {hashtags(words[1:])}".strip()


# Where their words are


def emoji_code(name: str) -> str:
    """Code points as `images.emoji` writes them, from code points in any case or from the characters themselves."""
    points = name.lower().split("-") if name.isascii() else [f"{ord(character):04x}" for character in name]
    return "-".join(point for point in points if point != "fe0f")


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
