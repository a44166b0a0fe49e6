"""Posts: pictures with what their authors wrote, read from a JSONL file or a folder, and split for validation."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from backbone.errors import PolygraftError
from backbone.images import list_images
from multimodal.jsonl import read_objects
from multimodal.sidecars import find_sidecar

MAX_TEXT = 2000
"""Characters of a text that are kept: far more than a caption's tokens, far less than a text that fills the memory."""

_NAMED = 3  # how many of many are named in a remark

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Post:
    """One picture and the text that its author gave it."""

    image: Path
    text: str
    user: str = ""
    time: str = ""
    id: str = ""


_KEYS = tuple(field.name for field in fields(Post))


def load_posts(source: Path, *, report: Report | None = None) -> list[Post]:
    """Read the posts of a JSONL file or of a folder of pictures with side-car texts.

    Lines of a JSONL file are objects with ``image`` (relative to the file's folder) and ``text``, and optionally
    ``user``, ``time`` and ``id``. In a folder, ``photo.txt`` (or ``photo.jpg.txt``) is the text of ``photo.jpg``.

    Args:
        source: the file or the folder.
        report: called with one sentence about each kind of post that is left out or changed: missing pictures, empty
            or endless texts, posts that are there twice, pictures without a text.

    Raises:
        PolygraftError: ``source`` is missing, is not UTF-8, has a malformed line (the line is named), or holds no post.
    """
    tell = report or (lambda _: None)
    if source.is_dir():
        found = list(_read_folder(source, tell))
    elif source.is_file():
        found = list(_read_jsonl(source, tell))
    else:
        raise PolygraftError(f"{source} is missing: posts are a JSONL file or a folder of pictures with .txt files")
    if not found:
        raise PolygraftError(f"{source} holds no post: give a JSONL file or pictures with a .txt beside each")
    posts = _with_picture(source, _with_text(_once(found, tell), tell), tell)
    if not posts:
        raise PolygraftError(f"no post of {source} has a text: there is nothing to learn from")
    return posts


_LINE = 'each line is an object like {"image": "a.jpg", "text": "..."}'


def _read_jsonl(file: Path, tell: Report) -> Iterator[Post]:
    """Yield the post of each line."""
    ignored: set[str] = set()
    for place, record in read_objects(file.read_bytes(), str(file), _LINE):
        ignored |= record.keys() - set(_KEYS)
        yield _post(record, file.parent, place)
    if ignored:
        tell(f"{file}: ignored {_some(sorted(ignored))}; what is read is {', '.join(_KEYS)}")


def _post(record: dict[str, Any], folder: Path, place: str) -> Post:
    """Return the post that a line's object describes."""
    for key in ("image", "text"):
        if key not in record:
            raise PolygraftError(f"{place} has no {key!r}, only {_some(list(record)) or 'nothing'}: {_LINE}")
        if not isinstance(record[key], str):
            raise PolygraftError(f"{place} has {str(record[key])[:40]!r} for {key!r}, which must be a text: {_LINE}")
    if not record["image"] or "\0" in record["image"]:
        raise PolygraftError(f"{place} names no picture: {_LINE}")
    rest = {key: _clean(str(record[key])) for key in ("user", "time", "id") if record.get(key) is not None}
    return Post(image=folder / record["image"], text=_clean(record["text"]), **rest)


def _read_folder(folder: Path, tell: Report) -> Iterator[Post]:
    """Yield the post of each picture that has a text beside it; its id is its path in the folder."""
    bare = []
    for image in list_images([str(folder)]):
        text = find_sidecar(image)
        if text:
            yield Post(image=image, text=_clean(_read_text(text)), id=image.relative_to(folder).as_posix())
        else:
            bare.append(image)
    if bare:
        tell(f"{_count(bare, 'picture')} without a text left out: {_some(bare)}")


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolygraftError(f"{file} is not UTF-8 ({error.reason}): convert it to UTF-8") from None


def _clean(text: str) -> str:
    # what JSON's escapes can write but UTF-8 cannot
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def _once(posts: Sequence[Post], tell: Report) -> list[Post]:
    """Return the posts without those that repeat picture, text and user of an earlier one."""
    unique: dict[tuple[Path, str, str], Post] = {}
    for post in posts:
        unique.setdefault((post.image, post.text, post.user), post)
    if len(posts) > len(unique):
        tell(f"{len(posts) - len(unique)} posts were there twice (same picture, text and user): kept once")
    return list(unique.values())


def _with_text(posts: Sequence[Post], tell: Report) -> list[Post]:
    """Return the posts that have a text, each at most ``MAX_TEXT`` characters long."""
    empty = [post.image for post in posts if not post.text]
    long = [post.image for post in posts if len(post.text) > MAX_TEXT]
    if empty:
        tell(f"{_count(empty, 'post')} without a text left out: {_some(empty)}")
    if long:
        tell(f"{_count(long, 'text')} cut at {MAX_TEXT} characters: {_some(long)}")
    return [_cut(post) for post in posts if post.text]


def _cut(post: Post) -> Post:
    if len(post.text) <= MAX_TEXT:
        return post
    return Post(image=post.image, text=post.text[:MAX_TEXT], user=post.user, time=post.time, id=post.id)


def _with_picture(source: Path, posts: Sequence[Post], tell: Report) -> list[Post]:
    """Return the posts whose picture is there."""
    there = {image: image.is_file() for image in {post.image for post in posts}}
    missing = sorted(image for image, found in there.items() if not found)
    if there and len(missing) == len(there):
        raise PolygraftError(
            f"none of the {len(there)} pictures that {source} names is there (the first is {missing[0]}): "
            "paths are taken from the folder of the file"
        )
    if missing:
        tell(f"{_count(missing, 'picture')} missing: {_some(missing)}")
    return [post for post in posts if there[post.image]]


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def _some(items: Sequence[object]) -> str:
    """Name the first few of many."""
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(str(item) for item in items[:_NAMED]) + more


def split_posts(
    posts: Sequence[Post], share: float, *, by: Literal["post", "user"] = "post", seed: int = 0
) -> tuple[list[Post], list[Post]]:
    """Split posts into training and validation, before anything is learned from them.

    ``by="post"`` keeps all texts of one picture on one side; ``by="user"`` all posts of one user. The order of the
    posts and the folder they lie in do not matter.

    Args:
        posts: all posts.
        share: part of the pictures or users that goes to validation; at least one does unless it is 0.
        by: what is never on both sides.
        seed: another seed, another split.

    Returns:
        training and validation posts, each in the order given.

    Raises:
        PolygraftError: there are too few pictures or users to have both sides.
    """
    groups: dict[str, list[Post]] = {}
    for post in posts:
        groups.setdefault(post.user if by == "user" else str(post.image), []).append(post)
    wanted = max(1, round(share * len(groups))) if share else 0
    if wanted >= len(groups):
        noun = "users" if by == "user" else "pictures"
        raise PolygraftError(f"{len(groups)} {noun} cannot be split by {by} with a share of {share} for validation")
    drawn = sorted(groups, key=lambda name: _rank(groups[name], by, seed))[:wanted]
    held = {id(post) for name in drawn for post in groups[name]}
    return [p for p in posts if id(p) not in held], [p for p in posts if id(p) in held]


def _rank(group: Sequence[Post], by: str, seed: int) -> bytes:
    """Return a number drawn for a group from what does not depend on the folder or on the order of its posts."""
    names = {post.user if by == "user" else f"{post.image.name}\0{post.text}" for post in group}
    return hashlib.sha256("\0".join([str(seed), *sorted(names)]).encode()).digest()
