"""Layouts of public data sets of personal captions, read into the words of a line of JSONL."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from backbone.errors import PolygraftError
from backbone.io.images import SUFFIXES
from multimodal.data.normalization import natural, paper_yfcc

_SHOWN = 40  # characters of a wrong value that are shown

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class DatasetRow:
    """A post as it was found, unchecked."""

    place: str
    """Where it stands, for messages: "posts.jsonl, line 3"."""
    folder: Path
    """What the path of its image is relative to."""
    record: dict[str, Any]
    """The keys of a line of JSONL: image, text, user, time, id, split."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which posts lie on a disk."""

    shape: str
    """What it looks like: the end of messages about what is malformed."""
    images: str
    """Where images are looked for: the end of the message that none is there."""
    find: Callable[[Path], list[Path]]
    """Return what is to be read of a source in this layout; nothing if the source is in another."""
    read: Callable[[Sequence[Path], Report], Iterator[DatasetRow]]
    """Yield the posts of what was found; called with remarks on what is left out."""


# JSON with places


@dataclass(frozen=True, kw_only=True)
class _Node:
    """A value in a JSON file."""

    value: Any
    place: str
    shape: str

    def fields(self, noun: str) -> Iterator[tuple[str, "_Node"]]:
        """Yield the keys and values of an object."""
        for key, value in self._checked(dict, "an object").items():
            yield key, _Node(value=value, place=f"{self.place}, {noun} {key[:_SHOWN]!r}", shape=self.shape)

    def elements(self, noun: str) -> Iterator["_Node"]:
        """Yield the values of a list."""
        for number, value in enumerate(self._checked(list, "a list"), start=1):
            yield _Node(value=value, place=f"{self.place}, {noun} {number}", shape=self.shape)

    def child(self, key: str) -> "_Node":
        """Return the value that an object has under a key.

        Raises:
            PolygraftError: there is no such key.
        """
        record = self._checked(dict, "an object")
        if key not in record:
            found = ", ".join(list(record)[:3]) or "nothing"
            raise PolygraftError(f"{self.place} has no {key!r}, but {found}: {self.shape}")
        return _Node(value=record[key], place=f"{self.place}, {key}", shape=self.shape)

    def text(self, key: str) -> str:
        """Return the text that an object has under a key; null stands for an empty one.

        Raises:
            PolygraftError: there is no such key, or another value under it.
        """
        value = self.child(key).value
        if not isinstance(value, str | None):
            raise PolygraftError(
                f"{self.place} has {str(value)[:_SHOWN]!r} for {key!r}, which must be a text: {self.shape}"
            )
        return value or ""

    def has(self, key: str) -> bool:
        """Return whether an object has something under a key."""
        return bool(self._checked(dict, "an object").get(key))

    def _checked(self, kind: type, wanted: str) -> Any:
        if not isinstance(self.value, kind):
            raise PolygraftError(f"{self.place} is a {type(self.value).__name__}, not {wanted}: {self.shape}")
        return self.value


def _load(file: Path, shape: str) -> _Node:
    try:
        return _Node(value=json.loads(read_text(file)), place=str(file), shape=shape)
    except (ValueError, RecursionError) as error:
        raise PolygraftError(f"{file} is not JSON ({error}): {shape}") from None


def read_text(file: Path) -> str:
    """Return the text of a file; a byte order mark is passed over.

    Raises:
        PolygraftError: it cannot be read, or is not UTF-8.
    """
    try:
        return read_data(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolygraftError(f"{file} is not UTF-8 ({error.reason}): convert it to UTF-8") from None


def read_data(file: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        PolygraftError: it cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise PolygraftError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from None


# Where images and files lie

_BESIDE = "images are looked for in the folder images beside the file's folder, or beside the file"


def _images_of(file: Path) -> Path:
    folders = (file.absolute().parent.parent / "images", file.parent / "images")
    return next((folder for folder in folders if folder.is_dir()), folders[0])


class _Images:
    """The images of an annotation file that names them without their endings."""

    def __init__(self, file: Path) -> None:
        self.folder = _images_of(file)
        names = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
        self._files = {name: name for name in names}
        for path in map(Path, names):
            if path.suffix.lower() in SUFFIXES:
                self._files.setdefault(path.stem, path.name)

    def find(self, name: str) -> str:
        """Return the name of an image's file; one that is missing would be a .jpg."""
        return self._files.get(name, f"{name}.jpg")


def _finder(*names: str) -> Callable[[Path], list[Path]]:
    """Return what finds files of these names: the source itself, those in it, or those in its folder ``json``."""

    def find(source: Path) -> list[Path]:
        if not source.is_dir():
            return [source] if source.name in names else []
        found = ([folder / name for name in names if (folder / name).is_file()] for folder in (source, source / "json"))
        return next((files for files in found if files), [])

    return find


# InstaPIC


def _read_instapic(files: Sequence[Path], _: Report) -> Iterator[DatasetRow]:
    for file in files:
        images = _Images(file)
        split = file.stem.removeprefix("insta-caption-")
        mark = {"split": split} if split in ("train", "test1", "test2") else {}
        for user, posts in _load(file, INSTAPIC.shape).fields("user"):
            for number, post in posts.fields("post"):
                name = f"{user}_@_{number}"
                record = {"image": images.find(name), "text": post.text("caption"), "user": user, "id": name}
                yield DatasetRow(place=post.place, folder=images.folder, record=record | mark)


INSTAPIC = Layout(
    shape='it is insta-caption-train.json, -test1 or -test2: {"user": {"post": {"caption": "..."}}}',
    images=_BESIDE,
    find=_finder(*(f"insta-caption-{split}.json" for split in ("train", "test1", "test2"))),
    read=_read_instapic,
)
"""Users, their posts by number, and images named USER_@_POST."""


# YFCC


def _read_yfcc(files: Sequence[Path], _: Report) -> Iterator[DatasetRow]:
    """Yield the posts. The one test file has users that the training file has too (test2), and others (test1)."""
    seen: set[str] = set()
    for file in files:
        images = _Images(file)
        for user, posts in _load(file, YFCC.shape).fields("user"):
            mark = {}
            if file.stem == "yfcc-caption-train":
                seen.add(user)
                mark["split"] = "train"
            elif file.stem == "yfcc-caption-test":
                mark["split"] = "test2" if user in seen else "test1"
            for post in posts.elements("post"):
                record = _yfcc_record(user, post)
                record["image"] = images.find(record["id"])
                yield DatasetRow(place=post.place, folder=images.folder, record=record | mark)


def _yfcc_record(user: str, post: _Node) -> dict[str, str]:
    parts = post.text("page url").split("/")
    if len(parts) < 2 or not parts[-2]:
        raise PolygraftError(f"{post.place} has no post id as second last part of its 'page url': {post.shape}")
    text = yfcc_caption(post.text("title"), post.text("description") if post.has("description") else "")
    return {"text": text, "user": user, "id": f"{user}_{parts[-2]}"}


def yfcc_caption(title: str, description: str) -> str:
    """Return the caption of a Flickr post: the first of title and description that has 3 to 20 words, else the title.

    Words are counted in the form in which the benchmark scores them; what is returned is natural text.
    """
    fitting = (text for text in (title, description) if 3 <= len(paper_yfcc(text).split()) <= 20)
    return natural(unquote_plus(next(fitting, title)))


YFCC = Layout(
    shape='it is yfcc-caption-train.json or -test: {"user": [{"title": "...", "page url": "http://.../POST/"}]}',
    images=_BESIDE,
    find=_finder("yfcc-caption-train.json", "yfcc-caption-test.json"),
    read=_read_yfcc,
)
"""Users, lists of their posts, and images named USER_POST."""


# RedCaps

_REDCAPS_BEGINS = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"(?:info|annotations)"\s*:')


def _find_redcaps(source: Path) -> list[Path]:
    """Return the annotation files: the source itself, those in its folder ``annotations``, or those in it."""
    if not source.is_dir():
        return [source] if _is_redcaps(source) else []
    folders = (source / "annotations", source)
    found = ([file for file in sorted(folder.glob("*.json")) if _is_redcaps(file)] for folder in folders)
    return next((files for files in found if files), [])


def _is_redcaps(file: Path) -> bool:
    if file.suffix.lower() != ".json" or not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            return _REDCAPS_BEGINS.match(stream.read(4096)) is not None
    except OSError:  # said when it is read
        return False


def _read_redcaps(files: Sequence[Path], _: Report) -> Iterator[DatasetRow]:
    for file in files:
        folder = _images_of(file)
        for post in _load(file, REDCAPS.shape).child("annotations").elements("number"):
            yield DatasetRow(place=post.place, folder=folder, record=_redcaps_record(post))


def _redcaps_record(post: _Node) -> dict[str, Any]:
    """Return the post of an annotation, its caption as the author wrote it where that is kept."""
    name, subreddit = post.text("image_id"), post.text("subreddit")
    text = post.text("raw_caption" if post.has("raw_caption") else "caption")
    image = f"{subreddit}/{name}.jpg" if name and subreddit else ""
    return {"image": image, "text": text, "user": post.child("author").value, "time": _time(post), "id": name}


def _time(post: _Node) -> str:
    """Return when a post was written, so that times sort as texts do; empty if that is not known."""
    if not post.has("created_utc"):
        return ""
    seconds = post.child("created_utc").value
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        shown = str(seconds)[:_SHOWN]
        raise PolygraftError(f"{post.place} has {shown!r} for 'created_utc': give seconds since 1970") from None


REDCAPS = Layout(
    shape='it is {"annotations": [{"image_id": "...", "author": "...", "subreddit": "...", "caption": "..."}]}',
    images=_BESIDE,
    find=_find_redcaps,
    read=_read_redcaps,
)
"""Annotation files, and images in SUBREDDIT/ID.jpg."""
