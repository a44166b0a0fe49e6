"""Images with captions: emoji in two hands, rubber stamps with a sentence each, clip art by many authors."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backbone.errors import PolygraftError
from backbone.io.files import atomic_file
from starter_build.datasets.captions import concept, normalise
from starter_build.datasets.clipart import clips
from starter_build.datasets.lexicon import Lexicon, read_wordnet
from starter_build.datasets.packages import Package, fetch, member

WORDNET = Package(registry="debian", name="wordnet-base")
EMOJI_NAMES = Package(registry="npm", name="emojibase-data", version="17.0.0")
EMOJI_FLUENT = Package(registry="npm", name="@lobehub/fluent-emoji-3d", version="1.1.0")  # MIT
EMOJI_TWITTER = Package(registry="npm", name="emoji-datasource-twitter", version="16.0.0")  # CC-BY-4.0
STAMPS = Package(registry="debian", name="tuxpaint-stamps-default")  # GPL-2.0
CLIPART_SVG = Package(registry="debian", name="openclipart-svg")  # public domain
CLIPART_PNG = Package(registry="debian", name="openclipart-png")

# signs that are letters; flags, whose names nobody can guess from other flags; swatches of skin and hair
SKIPPED_EMOJI = frozenset(
    {"keycap", "alphanum", "country-flag", "subdivision-flag", "skin-tone", "hair-style", "gender"}
)
MAX_STAMP_WORDS = 14  # longer sentences are left out
STAMP_PIXELS = 256  # width at which stamps that exist as SVG only are drawn


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """An image, its caption and who wrote or drew it."""

    set: str  # `emoji`, `stamps` or `clipart`
    id: str  # unique over all sets: the set, then a path
    image: Path
    text: str
    user: str  # the hand that drew an emoji, the author of a clip; "tuxpaint" for every stamp
    concept: str  # the key that decides the split, see `captions.concept`


def images(root: Path) -> Iterator[ImageRecord]:
    """All images of the three sets; packages that are missing under `root` are fetched."""
    lexicon = read_wordnet(fetch(WORDNET, root))
    yield from emoji(fetch(EMOJI_NAMES, root), fetch(EMOJI_FLUENT, root), fetch(EMOJI_TWITTER, root), lexicon)
    yield from stamps(fetch(STAMPS, root), root / "drawn", lexicon)
    for clip in clips(fetch(CLIPART_SVG, root), fetch(CLIPART_PNG, root), lexicon):
        yield _record("clipart", clip.id, clip.image, clip.title, clip.author, lexicon)


def _record(kind: str, path: str, image: Path, text: str, user: str, lexicon: Lexicon) -> ImageRecord:
    key = concept(text, lexicon)
    return ImageRecord(set=kind, id=f"{kind}/{path}", image=image, text=text, user=user, concept=key)


def emoji(names: Path, fluent: Path, twitter: Path, lexicon: Lexicon) -> Iterator[ImageRecord]:
    """Emoji with their names, in the hands that drew them; one skin tone of each."""
    subgroups = json.loads(member(names, "package/meta/groups.json").read_text())["subgroups"]
    entries = json.loads(member(names, "package/en/data.json").read_text())
    hands = {
        "fluent": sorted(member(fluent, "package/assets").glob("*.webp")),
        "twemoji": sorted(member(twitter, "package/img/twitter/64").glob("*.png")),
    }
    by_code = {hand: {emoji_code(path.stem): path for path in paths} for hand, paths in hands.items()}
    for entry in entries:
        subgroup, code = subgroups.get(str(entry.get("subgroup"))), emoji_code(entry["hexcode"])
        one_of_many = subgroup == "family" and ":" in entry["label"]
        if subgroup is None or subgroup in SKIPPED_EMOJI or one_of_many:
            continue
        for hand, images in by_code.items():
            if code in images:
                yield _record("emoji", f"{hand}/{code}", images[code], entry["label"], hand, lexicon)


def emoji_code(name: str) -> str:
    """Return the code points of an emoji, given them in any case or the characters themselves.

    Variation selectors, which some sets write and others leave out, are not among them.
    """
    points = name.lower().split("-") if name.isascii() else [f"{ord(character):04x}" for character in name]
    return "-".join(point for point in points if point != "fe0f")


def stamps(package: Path, drawn: Path, lexicon: Lexicon) -> Iterator[ImageRecord]:
    """The stamps of Tux Paint with their English sentence; those that are SVG only are drawn into `drawn`."""
    root = member(package, "usr/share/tuxpaint/stamps")
    for note in sorted(root.rglob("*.txt")):
        id_ = str(note.relative_to(root).with_suffix(""))
        text = stamp_caption(note.read_text(errors="replace"))
        if id_.startswith("symbols/") or not text:
            continue
        if image := _stamp_image(note, drawn / f"{id_}.png"):
            yield _record("stamps", id_, image, text, "tuxpaint", lexicon)


def stamp_caption(note: str) -> str:
    """The English sentence that names the stamp; "" for speeches without one.

    Jokes follow in later sentences ("A computer mouse. Squeak!"), so the first one is taken.
    """
    line = (note.splitlines() or [""])[0].strip()
    first = re.split(r"(?<=[.!?])\s+(?=[A-Z0-9])", line)[0]
    words = normalise(first).split()
    return first if words and len(words) <= MAX_STAMP_WORDS and first[0] not in "–—" else ""


def _stamp_image(note: Path, drawn: Path) -> Path | None:
    image, drawing = note.with_suffix(".png"), note.with_suffix(".svg")
    if image.is_file() or not drawing.is_file():
        return image if image.is_file() else None
    if not drawn.is_file():
        draw_svg(drawing, drawn)
    return drawn


def draw_svg(drawing: Path, target: Path) -> None:
    """Draw an SVG file as PNG, `STAMP_PIXELS` wide. Raises PolygraftError when resvg-py is missing or refuses."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise PolygraftError(f"Drawing {drawing.name} needs resvg-py; run: pip install resvg-py==0.5.0") from None
    try:
        png = svg_to_bytes(svg_path=str(drawing), width=STAMP_PIXELS, dpi=96, skip_system_fonts=True)
    except ValueError as error:
        raise PolygraftError(f"{drawing} cannot be drawn ({error}); fetch its package again.") from None
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as partial:
        partial.write_bytes(png)
