"""The videos of the narration benchmark, encoded: moving emoji with their names, parted by concept.

Two kinds of concepts are held out, which matters where the starter's own image-text model looks at the videos. *Fresh*
ones are the starter's own: its image-text model has learned from no image of them. They are few (57 videos to test
on). So a share of the starter's training concepts is held out of the narrator's training, too: *known* ones, of which
the image-text model has learned stills, but the narrator nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from PIL import Image, UnidentifiedImageError

from starter_build.datasets.captions import normalise
from starter_build.datasets.documents import hash_share
from starter_build.datasets.images import emoji_code
from starter_build.datasets.packages import Package, fetch, member
from starter_build.datasets.splits import Side
from starter_build.datasets.voices import Spoken, spoken
from video.data.clips import Clip
from video.vocabulary.narrations import clean

if TYPE_CHECKING:
    from video.data.clip_features import ClipSet
    from video.data.feature_cache import VideoCache

# Fluent emoji (MIT), 730 MB. Two in five stand still
ANIMATED = tuple(
    Package(registry="npm", name=f"@lobehub/fluent-emoji-anim-{part}", version="1.0.0") for part in (1, 2, 3, 4)
)

_NAMES = ("unicode", "slack", "joypixels", "emojibase", "emojibase-legacy", "cldr-shortcode", "zulip", "github")
"""Voices whose texts are names, in the order of further names; tags name what goes along with a thing."""


@dataclass(frozen=True, kw_only=True)
class EmojiClip:
    """A video of a moving emoji."""

    code: str  # as `images.emoji` writes it: the image that stands still is ``emoji/fluent/CODE``
    video: Path  # an animated image of 256 pixels and two to four seconds
    concept: str  # the key that decides the split, see `captions.concept`
    names: tuple[str, ...]  # CLDR's name first, then what others call it, in plain words; all different
    scene: str  # where the charts of Unicode file it: its group and subgroup


def emoji_clips(root: Path) -> list[EmojiClip]:
    """The emoji of `voices.spoken` that move, one skin tone of each; missing packages are fetched under `root`."""
    folders = [member(fetch(package, root), "package/assets") for package in ANIMATED]
    videos = {emoji_code(video.stem): video for folder in folders for video in sorted(folder.glob("*.webp"))}
    return [
        EmojiClip(
            code=one.code,
            video=videos[one.code],
            concept=one.concept,
            names=plain_names(one.texts),
            scene=" / ".join(one.texts.get("charts", "").split(" / ")[:2]),
        )
        for one in spoken(root)
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


Part = Literal["train", "validation fresh", "validation known", "test fresh", "test known", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)[:5]
# what is held out, of both kinds
WHOLE: dict[Part, tuple[Part, Part]] = {
    "validation": ("validation fresh", "validation known"),
    "test": ("test fresh", "test known"),
}

_TEST, _VALIDATION = 0.17, 0.12
"""Shares of the starter's training concepts that are held out as known ones, by a hash of the concept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Videoset:
    """Videos of one side, a row each."""

    videos: tuple[EmojiClip, ...]
    data: "ClipSet"  # each video as a clip that is narrated by its first name

    @property
    def names(self) -> list[tuple[str, ...]]:
        """The right narrations of each video, the first name first."""
        return [tuple(dict.fromkeys(map(clean, video.names))) for video in self.videos]

    @property
    def concepts(self) -> list[str]:
        """What each video is about: the unit of the split and of every interval."""
        return [video.concept for video in self.videos]


@dataclass(frozen=True, kw_only=True, eq=False)
class Videos:
    """Videos by side, and what is learned from."""

    parts: Mapping[Part, Videoset]
    lessons: Mapping[str, "ClipSet"]  # ways to learn from the training side, by the names of `LESSONS`


# which names of a video are learned, and whether stills of training concepts are learned from too
LESSONS = {
    "first names": (False, False),
    "all names": (True, False),
    "first names, stills": (False, True),
    "all names, stills": (True, True),
}


def part_of(concept: str, side: Side) -> Part:
    """Return what the videos of a concept are for, of which the starter says ``side``."""
    if side != "train":
        return "test fresh" if side == "test" else "validation fresh"
    share = hash_share("narration", concept)
    if share < _TEST:
        return "test known"
    return "validation known" if share < _TEST + _VALIDATION else "train"


Still = tuple[Path, tuple[str, ...]]  # an image that stands still, with its names


def part(
    videos: Iterable[EmojiClip], emoji: Iterable[Spoken], sides: Mapping[str, Side]
) -> tuple[dict[Part, list[EmojiClip]], list[Still]]:
    """Part videos so that no concept stands on two sides.

    Args:
        videos: The emoji that move.
        emoji: All emoji, with the images that stand still.
        sides: The starter's side of each image by its id; what is not listed is left out.

    Returns:
        The videos of each part, and the stills of training concepts, in both hands, those of the videos among them.
    """
    found: dict[Part, list[EmojiClip]] = {name: [] for name in PARTS}
    for video in videos:
        if side := sides.get(f"emoji/fluent/{video.code}"):
            found[part_of(video.concept, side)].append(video)
    stills = [
        (image, plain_names(one.texts))
        for one in emoji
        for hand, image in one.images.items()
        if "cldr-name" in one.texts and (side := sides.get(f"emoji/{hand}/{one.code}"))
        if part_of(one.concept, side) == "train"
    ]
    return found, stills


def encode(videos: Mapping[Part, Sequence[EmojiClip]], stills: Iterable[Still], cache: "VideoCache") -> Videos:
    """Encode videos and stills, two looks a second.

    A name that a held-out video has, too, is never learned, whatever it is said of.
    """
    from video.data.clip_features import gather

    held_out: dict[Part, list[EmojiClip]] = {own: list(of_part) for own, of_part in videos.items() if own != "train"}
    held = {normalise(name) for of_part in held_out.values() for video in of_part for name in video.names}
    clips: list[Clip] = []
    kinds: list[tuple[Part, bool, bool]] = []  # the part, whether it is a further name, whether it stands still
    for own, of_part in videos.items():
        for video in of_part:
            for name in video.names if own == "train" else video.names[:1]:
                clips.append(_clip(video.video, name, video.scene))
                kinds.append((own, name != video.names[0], False))
    for image, names in stills:
        clips += [_clip(image, name) for name in names]
        kinds += [("train", name != names[0], True) for name in names]
    everything = gather(clips, cache)

    def rows(own: Part, further: bool, still: bool) -> list[int]:
        found = [row for row, kind in enumerate(kinds) if kind[0] == own and kind[1] <= further and kind[2] <= still]
        return [row for row in found if own != "train" or normalise(clips[row].text) not in held]

    first = {own: rows(own, False, False) for own in PARTS}
    for whole, (one, other) in WHOLE.items():
        first[whole], held_out[whole] = [*first[one], *first[other]], [*held_out[one], *held_out[other]]
    return Videos(
        parts={own: Videoset(videos=tuple(them), data=everything.take(first[own])) for own, them in held_out.items()},
        lessons={name: everything.take(rows("train", *kind)) for name, kind in LESSONS.items()},
    )


def _clip(video: Path, name: str, scene: str = "") -> Clip:
    return Clip(video=video, text=clean(name), scenario=clean(scene), id=f"{video.parents[2].name}/{video.name}/{name}")
