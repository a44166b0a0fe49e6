"""Emoji that move: short videos with the names that communities give them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from starter_build.datasets.packages import Package, fetch, member
from starter_build.datasets.voice_words import emoji_code
from starter_build.datasets.voices import Spoken, spoken

ANIMATED = tuple(
    Package(registry="npm", name=f"@lobehub/fluent-emoji-anim-{part}", version="1.0.0") for part in (1, 2, 3, 4)
)
"""Fluent emoji (MIT), 730 MB. Two in five stand still."""

_NAMES = ("unicode", "slack", "joypixels", "emojibase", "emojibase-legacy", "cldr-shortcode", "zulip", "github")
"""Voices whose texts are names, in the order of further names; tags name what goes along with a thing."""


@dataclass(frozen=True, kw_only=True)
class EmojiClip:
    """A video of a moving emoji."""

    code: str
    """As `images.emoji` writes it: the image that stands still is ``emoji/fluent/CODE``."""
    video: Path
    """An animated image of 256 pixels and two to four seconds."""
    concept: str
    """The key that decides the split, see `captions.concept`."""
    names: tuple[str, ...]
    """CLDR's name first, then what others call it, in plain words; all different."""
    scene: str
    """Where the charts of Unicode file it: its group and subgroup."""


def emoji_clips(root: Path) -> list[EmojiClip]:
    """The emoji of `voices.spoken` that move, one skin tone of each; missing packages are fetched under `root`."""
    return find_clips(spoken(root), (member(fetch(package, root), "package/assets") for package in ANIMATED))


def find_clips(emoji: Iterable[Spoken], folders: Iterable[Path]) -> list[EmojiClip]:
    """The emoji of which one of the `folders` has a video that moves, in the order of the emoji."""
    videos = {emoji_code(video.stem): video for folder in folders for video in sorted(folder.glob("*.webp"))}
    return [
        EmojiClip(
            code=one.code,
            video=videos[one.code],
            concept=one.concept,
            names=plain_names(one.texts),
            scene=" / ".join(one.texts.get("charts", "").split(" / ")[:2]),
        )
        for one in emoji
        if "cldr-name" in one.texts and one.code in videos and moves(videos[one.code])
    ]


def plain_names(texts: Mapping[str, str]) -> tuple[str, ...]:
    """What an emoji is called by the voices that name it, in small letters with spaces: ":man-cook:" is "man cook"."""
    said = [texts["cldr-name"]]
    for voice in _NAMES:
        text = texts.get(voice, "")
        said += re.findall(r":([^:\s]+):", text) if ":" in text and voice != "unicode" else [text]
    names = (" ".join(re.sub(r"[_-]+", " ", name).lower().split()) for name in said)
    return tuple(dict.fromkeys(name for name in names if re.search("[a-z]", name)))


def moves(video: Path) -> bool:
    """Whether an image has more than one frame; a file that is no image does not move."""
    try:
        with Image.open(video) as image:
            return getattr(image, "n_frames", 1) > 1
    except (UnidentifiedImageError, OSError):
        return False
