"""Open Clip Art as Debian packs it: drawings as PNG in one package, titles and authors inside the SVG of another."""

import hashlib
import html
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageChops

from starter_build.datasets.lexicon import FUNCTION_WORDS, Lexicon, word_set
from starter_build.datasets.packages import member

# toolbar icons, maps, trade marks, playing cards named by letters, flags, lamps in every colour, patterns
SKIPPED_FOLDERS = (
    "computer/icons",
    "geography",
    "logos",
    "recreation/games/cards",
    "shapes/callouts",
    "signs_and_symbols/flags",
    "signs_and_symbols/led",
    "special",
    "unsorted/duplicates",
)
SKIPPED_WORDS = word_set("pantyhose stripper pimp swastika nazi nude naked collection")
HEADER_BYTES = 400_000  # of an SVG file that are read for its metadata
MIN_SIDE = 32
MAX_PIXELS = 4_000_000
MIN_DRAWN_SHARE = 0.05  # least share of the canvas that the box around the drawing must fill
_FAINT_TO_BLACK = [0] * 16 + [255] * 240
MIN_ENGLISH_SHARE = 0.5
"""An author whose titles are English less often than this writes in another language, however some titles look."""

_NOISE = word_set(
    "svg png clipart clip art openclipart illustration illustrations drawing icon icons remix untitled version ver "
    "contour basic rpg map elements element bw ganson aiga bwh symbol etiquette gnome"
)
# File names put these last ("balloon red"), captions first.
_TRAILING = word_set(
    "red orange yellow green blue purple pink brown black white grey gray silver simple round rectangular square "
    "triangular open closed"
)
_SHORT_WORDS = FUNCTION_WORDS | word_set("ox tv cd tie up go us")
_EMPTY_TITLES = word_set(
    "client back color template collection test new client draft other others unknown copy end start begin default "
    "various misc object objects shape example sample item thing stuff part"
)


@dataclass(frozen=True, kw_only=True)
class ClipArt:
    """One upload: a drawing, what its author called it, and the author."""

    id: str  # path below the image folder, without suffix
    image: Path
    title: str
    author: str
    keywords: tuple[str, ...] = ()  # as the upload lists them, not cleaned


def clips(svg_package: Path, png_package: Path, lexicon: Lexicon) -> Iterator[ClipArt]:
    """Uploads with a short English title, each author's titles and each image once."""
    found = _retitled(list(_distinct(_uploads(svg_package, png_package))))
    cleaned = [replace(clip, title=clean_title(clip.title, clip.author, lexicon)) for clip in found]
    uploads, english = Counter(clip.author for clip in cleaned), Counter(clip.author for clip in cleaned if clip.title)
    seen: set[tuple[str, str]] = set()
    for clip in cleaned:
        key = clip.author.casefold(), clip.title.casefold()
        english_author = english[clip.author] >= MIN_ENGLISH_SHARE * uploads[clip.author]
        if clip.title and english_author and key not in seen and is_visible(clip.image):
            seen.add(key)
            yield clip


def _distinct(found: Iterable[ClipArt]) -> Iterator[ClipArt]:
    # the library files some images in several folders
    seen: set[bytes] = set()
    for clip in found:
        digest = hashlib.sha256(clip.image.read_bytes()).digest()
        if digest not in seen:
            seen.add(digest)
            yield clip


def is_visible(image: Path) -> bool:
    """False for a PNG of a few or of too many pixels, and for one whose drawing is a speck or white on white."""
    with image.open("rb") as file:
        width, height = struct.unpack(">16x2I", file.read(24))
    if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
        return False
    with Image.open(image) as opened:
        opened.thumbnail((256, 256))
        drawn = opened.convert("RGBA")
    paper = Image.new("RGBA", drawn.size, "white")
    paper.alpha_composite(drawn)
    box = ImageChops.difference(paper.convert("L"), Image.new("L", drawn.size, 255)).point(_FAINT_TO_BLACK).getbbox()
    return box is not None and (box[2] - box[0]) * (box[3] - box[1]) >= MIN_DRAWN_SHARE * drawn.width * drawn.height


def _uploads(svg_package: Path, png_package: Path) -> Iterator[ClipArt]:
    svg_root = member(svg_package, "usr/share/openclipart/svg")
    png_root = member(png_package, "usr/share/openclipart/png")
    for svg in sorted(svg_root.rglob("*.svg")):
        id_ = str(svg.relative_to(svg_root).with_suffix(""))
        image = png_root / f"{id_}.png"
        if id_.startswith(SKIPPED_FOLDERS) or not image.is_file():
            continue
        with svg.open(errors="replace") as file:
            head = file.read(HEADER_BYTES)
        title, author = read_metadata(head)
        if author:
            yield ClipArt(id=id_, image=image, title=title, author=author, keywords=read_keywords(head))


def read_metadata(svg: str) -> tuple[str, str]:
    """Title and author in the Dublin Core metadata of an SVG file; "" for what is not there."""
    work = _work(svg)
    creator = _inside(work, "dc:creator")
    agents = r"<dc:(creator|publisher|rights|contributor)\b.*?</dc:\1>"
    title = _inside(re.sub(agents, "", work, flags=re.DOTALL), "dc:title")
    author = _plain(_inside(creator, "dc:title") or creator)
    return _plain(title), _author_name(author)


def read_keywords(svg: str) -> tuple[str, ...]:
    """The keywords in the Dublin Core metadata of an SVG file, each once, in their order."""
    items = re.findall(r"<rdf:li\b[^>]*>(.*?)</rdf:li>", _inside(_work(svg), "dc:subject"), re.DOTALL)
    return tuple(dict.fromkeys(filter(None, map(_plain, items))))


def _work(svg: str) -> str:
    return _inside(svg, "cc:Work") or _inside(svg, "Work") or _inside(svg, "rdf:RDF")


def _author_name(text: str) -> str:
    # without address and bracketed nickname, initials as one word: "A.J. Ashton" also signs "AJ Ashton"
    name = re.sub(r"\s*[<(\[@].*", "", text).strip()
    return re.sub(r"\b(?:[A-Z]\.){2,}", lambda initials: initials[0].replace(".", ""), name)


def _inside(xml: str, tag: str) -> str:
    match = re.search(rf"<{tag}\b[^>]*>(.*?)</{tag}>", xml, re.DOTALL)
    return match[1] if match else ""


def _plain(xml: str) -> str:
    return " ".join(html.unescape(html.unescape(re.sub(r"<[^>]+>", " ", xml))).split())


def _retitled(found: list[ClipArt]) -> Iterator[ClipArt]:
    # a title given to a whole series says nothing: such clips are called by their file's name instead
    times = Counter((clip.author, clip.title) for clip in found)
    for clip in found:
        series = times[clip.author, clip.title] > 2 or not clip.title
        yield replace(clip, title=Path(clip.id).name) if series else clip


def clean_title(title: str, author: str, lexicon: Lexicon) -> str:
    """The title as a short English caption in lower case, or "" when it says nothing or is not English.

    Taken out: file-name artefacts, numbers, the author's name, words about the file. A title with a word that the
    lexicon does not know is given up: it is misspelt, a name, or another language.
    """
    title = title.replace("_", " ")
    monochrome = re.search(r"\bb ?(?:and|&|n) ?w\b|\bbw\b", title, re.IGNORECASE)
    title = re.sub(r"^clip ?art by [^-]* - ", "", title, flags=re.IGNORECASE)
    title = re.sub(r"\bb ?(?:and|&|n) ?w\b|\b(?:by|remix of)\b.*", " ", title, flags=re.IGNORECASE)
    title = re.sub(r"(?<=[a-z])(?=[A-Z])|'s\b", " ", title)
    unwanted = _NOISE | set(re.findall(r"[a-z]+", author.lower()))
    words = [word for word in re.findall(r"[^\W\d_]+", title.lower()) if word not in unwanted and _is_word(word)]
    while words and words[0] in ("and", "of", "or"):
        words.pop(0)
    while words and words[-1] in FUNCTION_WORDS:
        words.pop()
    known = all(lexicon.knows(word) and word not in SKIPPED_WORDS for word in words)
    if not known or not set(words) - _EMPTY_TITLES - FUNCTION_WORDS or not any(map(lexicon.is_noun, words)):
        return ""
    thing = max((position for position, word in enumerate(words) if word not in _TRAILING), default=len(words) - 1)
    caption = " ".join(lexicon.written(word) for word in words[thing + 1 :] + words[: thing + 1])
    return f"{caption} in black and white" if monochrome else caption


def _is_word(word: str) -> bool:
    return len(word) > 2 or word in _SHORT_WORDS
