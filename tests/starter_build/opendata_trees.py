"""Made-up packages, unpacked: the smallest trees in the layouts that the readers of open data know."""

import json

from PIL import Image, ImageDraw

from starter_build.datasets.lexicon import Lexicon, word_set

NOUNS = (
    "apple ball balloon bear building cat cook dance dancing dog face hat hen joy leaf leaves moon pair person pizza "
    "playing slice spider stocking surf surfing tear tree woman"
)
LEXICON = Lexicon(
    spelling={word: word for word in f"{NOUNS} red blue big sleeping straw".split()} | {"saturn": "Saturn"},
    nouns=word_set(f"{NOUNS} saturn"),
    things=word_set("building stocking"),
    verbs=word_set("build dance play stock surf sleep"),
    irregular={"feet": "foot", "women": "woman"},
)


def write(root, files):
    """Write a tree given as ``{path: text or bytes}`` and return its root."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def paint(path, *, size=(64, 64), box=(8, 8, 56, 56), colour="red"):
    """Save an image with one coloured box on a transparent ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGBA", size)
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    image.save(path)


def emoji_trees(root):
    """Return the three emoji packages: names, fluent images, twitter images."""
    entries = [
        {"label": "dog face", "hexcode": "1F436", "subgroup": 34},
        {"label": "person surfing", "hexcode": "1F3C4-FE0F", "subgroup": 28, "skins": [{"hexcode": "1F3C4-1F3FB"}]},
        {"label": "flag: Kenya", "hexcode": "1F1F0-1F1EA", "subgroup": 98},
        {"label": "regional indicator A", "hexcode": "1F1E6"},
    ]
    groups = {"subgroups": {"28": "person-sport", "34": "animal-mammal", "98": "country-flag"}}
    names = {"package/en/data.json": json.dumps(entries), "package/meta/groups.json": json.dumps(groups)}
    for code in ("1f436", "1f3c4", "1f3c4-1f3fb", "1f1f0-1f1ea", "1f1e6"):
        paint(root / f"fluent/package/assets/{code}.webp")
        paint(root / f"twitter/package/img/twitter/64/{code.replace('1f3c4', '1f3c4-fe0f')}.png")
    return write(root / "names", names), root / "fluent", root / "twitter"


def clip_svg(title, author):
    """Return an SVG file with the metadata that Open Clip Art writes."""
    return (
        f"<svg><metadata><rdf:RDF><cc:Work><dc:title>{title}</dc:title><dc:publisher><cc:Agent><dc:title>Library"
        "</dc:title></cc:Agent></dc:publisher><dc:creator><cc:Agent>"
        f"<dc:title>{author}</dc:title></cc:Agent></dc:creator></cc:Work></rdf:RDF></metadata></svg>"
    )


def clip_trees(root, uploads):
    """Return the SVG and the PNG package of clip art; ``uploads`` maps a path to (title, author)."""
    for number, (path, (title, author)) in enumerate(uploads.items()):
        write(root, {f"svg/usr/share/openclipart/svg/{path}.svg": clip_svg(title, author)})
        paint(root / f"png/usr/share/openclipart/png/{path}.png", size=(64 + number, 64))
    return root / "svg", root / "png"
