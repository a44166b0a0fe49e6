"""Posts: images with what their authors wrote, read from a JSONL file, a folder, or the layout of a data set.

Text files beside images, as training tools expect them: ``photo.txt`` holds the text of ``photo.jpg``.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from backbone.errors import PolygraftError
from backbone.io.files import is_file, read_data, read_objects, read_text
from backbone.io.images import list_images
from multimodal.data.caption_datasets import COCO, FLICKR
from multimodal.data.datasets import INSTAPIC, REDCAPS, YFCC, DatasetRow, Layout, MalformedError
from multimodal.data.datasets import Report as Report

SUFFIX = ".txt"


def find_sidecar(image: Path) -> Path | None:
    """Return the text file of an image, ``photo.txt`` or ``photo.jpg.txt``; None if it has none."""
    candidates = (image.with_suffix(SUFFIX), image.with_name(image.name + SUFFIX))
    return next((file for file in candidates if file != image and file.is_file()), None)


class SidecarWriter:
    """Writes captions beside images, and never over what is there, unless asked to.

    Args:
        overwrite: Whether text files from before may be replaced.
    """

    def __init__(self, *, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._written: dict[Path, Path] = {}

    def refusal(self, image: Path) -> str:
        """Return why nothing can be written beside ``image``; empty if it can."""
        target = image.with_suffix(SUFFIX)
        if target == image:
            return f"image {image} would be overwritten by its own caption: rename it"
        if target in self._written and self._written[target] != image:
            return f"image {image} shares {target.name} with {self._written[target].name}: rename one of them"
        if target.exists() and not self._overwrite:
            return f"{target} exists already: --overwrite replaces it"
        return ""

    def write(self, image: Path, lines: Sequence[str]) -> None:
        """Write one caption a line.

        Raises:
            PolygraftError: see `refusal`; or the folder cannot be written.
        """
        if refusal := self.refusal(image):
            raise PolygraftError(refusal)
        target = image.with_suffix(SUFFIX)
        try:
            target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise PolygraftError(f"{target} cannot be written: {error.strerror}") from error
        self._written[target] = image


MAX_TEXT = 2000
"""Characters of a text that are kept: far more than a caption's tokens, far less than a text that fills the memory."""

SPLITS = ("train", "validation", "test1", "test2")
"""What a post may be for: learning, choosing weights, a test on unseen users, and one on unseen posts of seen users."""

LayoutName = Literal["auto", "instapic", "yfcc", "flickr", "coco", "redcaps", "folder", "jsonl"]


@dataclass(frozen=True, kw_only=True)
class Post:
    """One image and the text that its author gave it."""

    image: Path
    text: str
    user: str = ""
    time: str = ""
    id: str = ""  # unique among posts that were loaded together
    split: str = ""  # one of ``SPLITS``; empty where nothing is said of it


_KEYS = tuple(field.name for field in fields(Post))


def load_posts(source: Path, layout: LayoutName = "auto", *, report: Report | None = None) -> list[Post]:
    """Read the posts of a JSONL file, of a folder of images with side-car texts, or of a public data set.

    Lines of a JSONL file are objects with ``image`` (relative to the file's folder) and ``text``, and optionally
    ``user``, ``time``, ``id`` and ``split``. In a folder, ``photo.txt`` (or ``photo.jpg.txt``) is the text of
    ``photo.jpg``. Of a data set (InstaPIC, YFCC, RedCaps, Flickr8k, Flickr30k, COCO), the source is one of its
    annotation files or the folder that holds them.

    Every post has an id of its own then. One that has none gets the path of its image with a digest of text and
    user; the second of those that share an id gets ``~2`` after it, and so on.

    Args:
        source: The file or the folder.
        layout: How the posts lie there; ``auto`` looks at names, and at how a file begins.
        report: Called with one sentence about each kind of post that is left out or changed: missing images, empty
            or endless texts, posts that are there twice, ids that are shared, images without a text.

    Raises:
        PolygraftError: ``source`` is missing, is not in that layout, is not UTF-8, has a malformed post (its place is
            named), or holds no post.
    """
    tell = report or (lambda _: None)
    chosen, files = _choose(source, layout)
    try:
        found = list(_posts(source, chosen, files, tell))
    except MalformedError as error:
        raise PolygraftError(f"{error}: {chosen.shape}") from None
    if not found:
        raise PolygraftError(f"{source} holds no post: give a JSONL file or images with a .txt beside each")
    usable = _with_own_id(_with_text(_once(found, tell), tell), tell)
    posts = _with_image(source, usable, chosen.images, tell)
    if not posts:
        raise PolygraftError(f"no post of {source} has a text: there is nothing to learn from")
    return posts


def _read_jsonl(files: Sequence[Path], _: Report) -> Iterator[DatasetRow]:
    for file in files:
        for place, record in read_objects(read_data(file), str(file), _JSONL.shape):
            yield DatasetRow(place, file.parent, record)


def _read_folder(folders: Sequence[Path], tell: Report) -> Iterator[DatasetRow]:
    # an image's id is its path in the folder
    for folder in folders:
        bare = []
        for image in list_images([str(folder)]):
            name = image.relative_to(folder).as_posix()
            if file := find_sidecar(image):
                yield DatasetRow(str(file), folder, {"image": name, "text": read_text(file), "id": name})
            else:
                bare.append(image)
        if bare:
            tell(f"{_count(bare, 'image')} without a text left out: {some(bare)}")


_FOLDER = Layout(
    shape="it is a folder of images with a .txt beside each",
    images="they were there a moment ago",
    find=lambda source: [source] if source.is_dir() else [],
    read=_read_folder,
)

_JSONL = Layout(
    shape='each line is an object like {"image": "a.jpg", "text": "..."}',
    images="paths are taken from the folder of the file",
    find=lambda source: [source] if not source.is_dir() else [],
    read=_read_jsonl,
)

# tried in this order: to what is named least comes last, and COCO's files begin as those of RedCaps do
_LAYOUTS: Mapping[str, Layout] = {
    "instapic": INSTAPIC, "yfcc": YFCC, "flickr": FLICKR, "coco": COCO, "redcaps": REDCAPS, "folder": _FOLDER,
    "jsonl": _JSONL,
}  # fmt: skip


def _choose(source: Path, name: LayoutName) -> tuple[Layout, list[Path]]:
    # a file whose layout is named may go by another name than usual
    if name not in get_args(LayoutName):
        known = ", ".join(get_args(LayoutName))
        raise PolygraftError(f"there is no layout {str(name)[:40]!r} of posts: choose one of {known}")
    if not source.exists():
        raise PolygraftError(f"{source} is missing: posts are a JSONL file or a folder of images with .txt files")
    if name == "auto":
        layouts = [_JSONL] if source.suffix == ".jsonl" and source.is_file() else _LAYOUTS.values()
        return next((layout, files) for layout in layouts if (files := layout.find(source)))
    layout = _LAYOUTS[name]
    files = layout.find(source) if source.is_dir() or name == "folder" else [source]
    if not files:
        raise PolygraftError(f"{source} is not in the layout {name}: {layout.shape}")
    return layout, files


def _posts(source: Path, layout: Layout, files: Sequence[Path], tell: Report) -> Iterator[Post]:
    ignored: set[str] = set()
    for row in layout.read(files, tell):
        ignored |= row.record.keys() - set(_KEYS)
        yield _post(row)
    if ignored:
        tell(f"{source}: ignored {some(sorted(ignored))}; what is read is {', '.join(_KEYS)}")


def _post(row: DatasetRow) -> Post:
    for key in ("image", "text"):
        if key not in row.record:
            found = some(list(row.record)) or "nothing"
            raise MalformedError(f"{row.place} has no {key!r}, only {found}")
        _check(row, key, str, "a text")
    image = row.record["image"]
    if not image or "\0" in image:
        raise MalformedError(f"{row.place} names no image")
    text = clean(row.record["text"])
    rest = {key: _optional(row, key) for key in ("user", "time", "id", "split")}
    if rest["split"] and rest["split"] not in SPLITS:
        known = ", ".join(SPLITS)
        raise PolygraftError(
            f"{row.place} has {rest['split'][:40]!r} for 'split': leave it out, or give one of {known}"
        )
    rest["id"] = rest["id"] or _make_id(image, text, rest["user"])
    return Post(image=row.folder / image, text=text, **rest)


def _optional(row: DatasetRow, key: str) -> str:
    if row.record.get(key) is None:
        return ""
    _check(row, key, str | int | float, "a text or a number")
    return clean(str(row.record[key]))


def _check(row: DatasetRow, key: str, kind: Any, wanted: str) -> None:
    value = row.record[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MalformedError(f"{row.place} has {str(value)[:40]!r} for {key!r}, which must be {wanted}")


def clean(text: str) -> str:
    """Return a text that UTF-8 can write, without spaces around it."""
    # what JSON's escapes can write but UTF-8 cannot
    return text.encode("utf-8", "replace").decode("utf-8").strip()


def _make_id(image: str, text: str, user: str) -> str:
    # the same on another machine and in another order
    name = Path(image).name if Path(image).is_absolute() else image
    digest = hashlib.sha256("\0".join([user, text]).encode())
    return f"{clean(name)}#{digest.hexdigest()[:12]}"


def _once(posts: Sequence[Post], tell: Report) -> list[Post]:
    unique: dict[tuple[Path, str, str], Post] = {}
    for post in posts:
        unique.setdefault((post.image, post.text, post.user), post)
    if len(posts) > len(unique):
        tell(f"{len(posts) - len(unique)} posts were there twice (same image, text and user): kept once")
    return list(unique.values())


def _with_text(posts: Sequence[Post], tell: Report) -> list[Post]:
    empty = [post.image for post in posts if not post.text]
    long = [post.image for post in posts if len(post.text) > MAX_TEXT]
    if empty:
        tell(f"{_count(empty, 'post')} without a text left out: {some(empty)}")
    if long:
        tell(f"{_count(long, 'text')} cut at {MAX_TEXT} characters: {some(long)}")
    return [replace(post, text=post.text[:MAX_TEXT]) for post in posts if post.text]


def _with_own_id(posts: Sequence[Post], tell: Report) -> list[Post]:
    # the first of those that share an id keeps it
    given = Counter(post.id for post in posts)
    shared = [id_ for id_, times in given.items() if times > 1]
    if shared:
        tell(f"{_count(shared, 'id')} shared by posts, distinguished by ~2, ~3 and so on: {some(shared)}")
    met: Counter[str] = Counter()
    taken = set(given)
    return [post if given[post.id] == 1 else replace(post, id=_own_id(post.id, met, taken)) for post in posts]


def _own_id(id_: str, met: Counter[str], taken: set[str]) -> str:
    met[id_] += 1
    if met[id_] == 1:
        return id_
    while (own := f"{id_}~{met[id_]}") in taken:
        met[id_] += 1
    taken.add(own)
    return own


def _with_image(source: Path, posts: Sequence[Post], where: str, tell: Report) -> list[Post]:
    there = {image: is_file(image) for image in {post.image for post in posts}}
    missing = sorted(image for image, found in there.items() if not found)
    if there and len(missing) == len(there):
        raise PolygraftError(
            f"none of the {len(there)} images that {source} names is there (the first is {missing[0]}): {where}"
        )
    if missing:
        tell(f"{_count(missing, 'image')} missing: {some(missing)}")
    return [post for post in posts if there[post.image]]


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def some(items: Sequence[object], named: int = 3) -> str:
    """Name the first few of many."""
    more = f" and {len(items) - named} more" if len(items) > named else ""
    return ", ".join(str(item) for item in items[:named]) + more
