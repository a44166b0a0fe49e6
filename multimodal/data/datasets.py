"""Layouts of public data sets of personal captions, read into the words of a line of JSONL."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from backbone.errors import PolygraftError
from backbone.io.files import read_text
from backbone.io.images import SUFFIXES
from multimodal.data.normalization import natural, paper_yfcc

SHOWN = 40  # characters of a wrong value that are shown

Report = Callable[[str], None]


class MalformedError(PolygraftError):
    """A post is not as its layout has it; whoever knows the layout says what is right."""


class DatasetRow(NamedTuple):
    """A post as it was found, unchecked."""

    place: str  # where it stands, for messages: "posts.jsonl, line 3"
    folder: Path  # what the path of its image is relative to
    record: dict[str, Any]  # the keys of a line of JSONL: image, text, user, time, id, split


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One way in which posts lie on a disk."""

    shape: str  # what it looks like: the end of messages about what is malformed
    images: str  # where images are looked for: the end of the message that none is there
    find: Callable[[Path], list[Path]]
    """Return what is to be read of a source in this layout; nothing if the source is in another."""
    read: Callable[[Sequence[Path], Report], Iterator[DatasetRow]]
    """Yield the posts of what was found; called with remarks on what is left out."""


# JSON with places


def load_json(file: Path) -> Any:
    """Return what a file of JSON holds; raises MalformedError if it is none."""
    try:
        return json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{file} is not JSON ({error})") from None


def json_entries(value: Any, kind: type, place: str, noun: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield keys, values and their places of an object, or numbers, values and places of a list."""
    _check(value, kind, place)
    pairs: Iterable[tuple[Any, Any]] = value.items() if kind is dict else enumerate(value, start=1)
    for key, found in pairs:
        yield key, found, f"{place}, {noun} {key[:SHOWN]!r}" if kind is dict else f"{place}, {noun} {key}"


def _check(value: Any, kind: type, place: str) -> None:
    if not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a list"
        raise MalformedError(f"{place} is a {type(value).__name__}, not {wanted}")


def json_value(record: Any, key: str, place: str) -> Any:
    """Return a value of an object; raises MalformedError if it is none or has no such key."""
    _check(record, dict, place)
    if key not in record:
        raise MalformedError(f"{place} has no {key!r}, but {', '.join(list(record)[:3]) or 'nothing'}")
    return record[key]


def json_text(record: Any, key: str, place: str) -> str:
    """Return a text of an object, of which null stands for an empty one; raises MalformedError as `json_value` does."""
    value = json_value(record, key, place)
    if not isinstance(value, str | None):
        raise MalformedError(f"{place} has {str(value)[:SHOWN]!r} for {key!r}, which must be a text")
    return value or ""


# Where images and files lie

_BESIDE = "images are looked for in the folder images beside the file's folder, or beside the file"


def _images_of(file: Path) -> Path:
    folders = (file.absolute().parent.parent / "images", file.parent / "images")
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _by_stem(folder: Path) -> dict[str, str]:
    """Return the files of a folder by their names, and images by their names without the ending too."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    images = (Path(name) for name in names if Path(name).suffix.lower() in SUFFIXES)
    return {path.stem: path.name for path in reversed([*images])} | {name: name for name in names}


def first_files(find: Callable[[Path], list[Path]], *folders: Path) -> list[Path]:
    """Return what is found in the first of several folders that holds any; nothing if none does."""
    return next((files for folder in folders if (files := find(folder))), [])


def _finder(*names: str) -> Callable[[Path], list[Path]]:
    # the source itself, files in it, or files in its folder ``json``

    def find(source: Path) -> list[Path]:
        if not source.is_dir():
            return [source] if source.name in names else []
        return first_files(
            lambda folder: [folder / name for name in names if (folder / name).is_file()], source, source / "json"
        )

    return find


# InstaPIC: users, their posts by number, and images named USER_@_POST


def _read_instapic(files: Sequence[Path], _: Report) -> Iterator[DatasetRow]:
    for file in files:
        folder = _images_of(file)
        images = _by_stem(folder)
        split = file.stem.removeprefix("insta-caption-")
        mark = {"split": split} if split in ("train", "test1", "test2") else {}
        for user, posts, whose in json_entries(load_json(file), dict, str(file), "user"):
            for number, post, place in json_entries(posts, dict, whose, "post"):
                name = f"{user}_@_{number}"
                # an image that is missing would be a .jpg
                record = {"image": images.get(name, f"{name}.jpg"), "text": json_text(post, "caption", place)}
                yield DatasetRow(place, folder, record | {"user": user, "id": name} | mark)


INSTAPIC = Layout(
    shape='it is insta-caption-train.json, -test1 or -test2: {"user": {"post": {"caption": "..."}}}',
    images=_BESIDE,
    find=_finder(*(f"insta-caption-{split}.json" for split in ("train", "test1", "test2"))),
    read=_read_instapic,
)


# YFCC: users, lists of their posts, and images named USER_POST


def _read_yfcc(files: Sequence[Path], _: Report) -> Iterator[DatasetRow]:
    # the one test file has users that the training file has too (test2), and others (test1)
    seen: set[str] = set()
    for file in files:
        folder = _images_of(file)
        images = _by_stem(folder)
        for user, posts, whose in json_entries(load_json(file), dict, str(file), "user"):
            mark = {}
            if file.stem == "yfcc-caption-train":
                seen.add(user)
                mark["split"] = "train"
            elif file.stem == "yfcc-caption-test":
                mark["split"] = "test2" if user in seen else "test1"
            for _number, post, place in json_entries(posts, list, whose, "post"):
                record = _yfcc_record(user, post, place)
                record["image"] = images.get(record["id"], f"{record['id']}.jpg")
                yield DatasetRow(place, folder, record | mark)


def _yfcc_record(user: str, post: Any, place: str) -> dict[str, str]:
    parts = json_text(post, "page url", place).split("/")
    if len(parts) < 2 or not parts[-2]:
        raise MalformedError(f"{place} has no post id as second last part of its 'page url'")
    description = json_text(post, "description", place) if post.get("description") else ""
    return {
        "text": yfcc_caption(json_text(post, "title", place), description),
        "user": user,
        "id": f"{user}_{parts[-2]}",
    }


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


# RedCaps: annotation files, and images in SUBREDDIT/ID.jpg

_REDCAPS_BEGINS = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"(?:info|annotations)"\s*:')


def _find_redcaps(source: Path) -> list[Path]:
    # the source itself, files in its folder ``annotations``, or files in it
    if not source.is_dir():
        return [source] if _is_redcaps(source) else []
    return first_files(
        lambda folder: [file for file in sorted(folder.glob("*.json")) if _is_redcaps(file)],
        source / "annotations", source,
    )  # fmt: skip


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
        posts = json_value(load_json(file), "annotations", str(file))
        for _number, post, place in json_entries(posts, list, f"{file}, annotations", "number"):
            yield DatasetRow(place, _images_of(file), _redcaps_record(post, place))


def _redcaps_record(post: Any, place: str) -> dict[str, Any]:
    # the caption as the author wrote it, where that is kept
    name, subreddit = json_text(post, "image_id", place), json_text(post, "subreddit", place)
    text = json_text(post, "raw_caption" if post.get("raw_caption") else "caption", place)
    image = f"{subreddit}/{name}.jpg" if name and subreddit else ""
    author, seconds = json_value(post, "author", place), post.get("created_utc")
    return {"image": image, "text": text, "user": author, "time": _time(seconds, place), "id": name}


def _time(seconds: Any, place: str) -> str:
    # in a form in which times sort as texts do
    if not seconds:
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        shown = str(seconds)[:SHOWN]
        raise PolygraftError(f"{place} has {shown!r} for 'created_utc': give seconds since 1970") from None


REDCAPS = Layout(
    shape='it is {"annotations": [{"image_id": "...", "author": "...", "subreddit": "...", "caption": "..."}]}',
    images=_BESIDE,
    find=_find_redcaps,
    read=_read_redcaps,
)
