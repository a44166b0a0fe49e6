"""Layouts of data sets with several captions of an image, by nobody in particular: Flickr8k, Flickr30k and COCO.

Each is read as it was published and from Karpathy's JSON, which holds his splits; Flickr8k and Flickr30k also from
Kaggle's tables. Their test images are marked ``test1``.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backbone.io.files import is_file, read_data, read_lines
from multimodal.data.datasets import (
    SHOWN,
    DatasetRow,
    Layout,
    MalformedError,
    Report,
    first_files,
    json_entries,
    json_text,
    json_value,
    load_json,
)
from multimodal.data.normalization import untokenized

_KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "validation", "test": "test1", "": ""}
_FLICKR_LISTS = {"trainImages": "train", "devImages": "validation", "testImages": "test1"}  # Flickr_8k.trainImages.txt
_COCO_SPLITS = {"train": "train", "val": "validation", "test": "test1"}  # captions_val2014.json
_IMAGE_FOLDERS = (
    "Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images", "",
)  # fmt: skip
_PROBED = 100  # images by which their folder is found: a few may be missing
_BARS = re.compile(r"\s*\|\s*\d*\s*\|?\s*")
_HEADERS = {"image", "image_name"}, {"caption", "comment"}  # of the first and last column of a table


def _flickr_files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source] if _is_table(source) or _is_tokens(source) or source.match("dataset_*.json") else []
    return first_files(_flickr_files_in, source, source / "Flickr8k_text", source / "annotations")


def _flickr_files_in(folder: Path) -> list[Path]:
    if found := sorted(folder.glob("dataset_flickr*.json")):
        return found
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    # one file has all captions: of several the others are other forms of them
    return (list(filter(_is_table, files)) or list(filter(_is_tokens, files)))[:1]


def _is_table(file: Path) -> bool:
    return file.name in ("captions.txt", "captions.csv", "results.csv") and _header(file) is not None


def _is_tokens(file: Path) -> bool:
    # Flickr8k.token.txt, results_20130124.token; not Flickr8k.lemma.token.txt, which has the stems of words
    return is_file(file) and file.name.endswith((".token.txt", ".token")) and ".lemma." not in file.name


def _header(file: Path) -> str | None:
    """Return what separates the columns of a table of images and captions; None if the file is no such table."""
    try:
        with file.open("rb") as stream:
            first = stream.readline(200).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    except OSError:  # said when it is read
        return None
    for separator in ",|":
        names = [name.strip() for name in first.lower().split(separator)]
        if len(names) > 1 and names[0] in _HEADERS[0] and names[-1] in _HEADERS[1]:
            return separator
    return None


def _coco_files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source] if source.match("captions_*.json") or source.match("dataset_coco.json") else []
    return first_files(
        lambda folder: sorted(folder.glob("dataset_coco.json")) or sorted(folder.glob("captions_*.json")),
        source, source / "annotations",
    )  # fmt: skip


def _read_captions(files: Sequence[Path], tell: Report) -> Iterator[DatasetRow]:
    for file in files:
        if file.suffix.lower() == ".json":
            data = load_json(file)
            of_coco = isinstance(data, dict) and "annotations" in data
            yield from _coco_rows(file, data) if of_coco else _karpathy_rows(file, data)
        else:
            yield from _flickr_rows(file, tell)


def _karpathy_rows(file: Path, data: Any) -> Iterator[DatasetRow]:
    found: list[DatasetRow] = []
    images = json_value(data, "images", str(file))
    for _number, image, place in json_entries(images, list, f"{file}, images", "number"):
        sentences = json_value(image, "sentences", place)
        split = json_text(image, "split", place) if "split" in image else ""
        if split not in _KARPATHY_SPLITS:
            raise MalformedError(f"{place} has {split[:SHOWN]!r} for 'split', not one of {', '.join(_KARPATHY_SPLITS)}")
        below = json_text(image, "filepath", place) if "filepath" in image else ""
        name = f"{below}/{json_text(image, 'filename', place)}".removeprefix("/")
        for _, sentence, where in json_entries(sentences, list, place, "sentence"):
            text = untokenized(json_text(sentence, "raw", where))
            record = {"image": name, "text": text, "split": _KARPATHY_SPLITS[split]}
            found.append(DatasetRow(where, file.parent, record))
    yield from _in_folder(file, found)


def _coco_rows(file: Path, data: Any) -> Iterator[DatasetRow]:
    part = file.stem.removeprefix("captions_")
    split = next((split for name, split in _COCO_SPLITS.items() if part.startswith(name)), "")
    # ids are numbers in COCO and texts elsewhere: as texts no value of JSON is out of place
    images = json_value(data, "images", str(file))
    names = {
        str(json_value(image, "id", place)): json_text(image, "file_name", place)
        for _number, image, place in json_entries(images, list, f"{file}, images", "number")
    }
    found = []
    for _number, entry, place in json_entries(data["annotations"], list, f"{file}, annotations", "number"):
        image = str(json_value(entry, "image_id", place))
        if image not in names:
            raise MalformedError(f"{place} is of image {image[:SHOWN]}, which 'images' does not have")
        text = untokenized(json_text(entry, "caption", place))
        found.append(DatasetRow(place, file.parent, {"image": names[image], "text": text, "split": split}))
    yield from _in_folder(file, found, part)


def _flickr_rows(file: Path, tell: Report) -> Iterator[DatasetRow]:
    lists = {
        split: _names(found) for name, split in _FLICKR_LISTS.items() for found in file.parent.glob(f"*.{name}.txt")
    }
    splits = {name: split for split, names in lists.items() for name in names}
    found, without = [], set()
    separator = _header(file)
    for place, name, text in _table_rows(file, separator) if separator else _token_rows(file):
        if splits and name not in splits:
            without.add(name)
        else:
            record = {"image": name, "text": untokenized(text), "split": splits.get(name, "")}
            found.append(DatasetRow(place, file.parent, record))
    if without:
        tell(f"{len(without)} images left out, which are in none of the lists of splits beside {file}")
    yield from _in_folder(file, found)


def _names(file: Path) -> set[str]:
    return {line.strip() for _, line in read_lines(read_data(file), str(file))}


def _table_rows(file: Path, separator: str) -> Iterator[tuple[str, str, str]]:
    """Yield place, image and caption of each row of a table."""
    for place, line in read_lines(read_data(file), str(file)):
        # Flickr30k's has bars between, with quotes that are none, and one row without its second bar
        try:
            row = next(csv.reader([line.strip()])) if separator == "," else _BARS.split(line.strip(), maxsplit=1)
        except csv.Error as error:
            raise MalformedError(f"{place} is no row of a table ({error})") from None
        if len(row) < 2:
            raise MalformedError(f"{place} has no caption")
        if row[0].strip().lower() not in _HEADERS[0]:
            yield place, row[0].strip(), row[-1]


def _token_rows(file: Path) -> Iterator[tuple[str, str, str]]:
    for place, line in read_lines(read_data(file), str(file)):
        name, tab, text = line.partition("\t")
        if not tab:
            raise MalformedError(f"{place} has no tab between image and caption")
        yield place, name.rpartition("#")[0] or name, text


def _in_folder(file: Path, rows: Sequence[DatasetRow], part: str = "") -> Iterator[DatasetRow]:
    """Yield the rows with the folder in which their images lie.

    Args:
        file: Where the rows stand: their images are beside it, or beside its folder.
        rows: The rows.
        part: The name of the folder in which COCO keeps the images of this file, such as ``val2014``.
    """
    parents = file.absolute().parent, file.absolute().parent.parent
    parts = (part, "") if part else ("",)
    folders = [parent / name / own for own in parts for parent in parents for name in _IMAGE_FOLDERS]
    probed = list(dict.fromkeys(row.record["image"] for row in rows))[:_PROBED]
    folder = next((folder for folder in folders if any(is_file(folder / name) for name in probed)), folders[0])
    for row in rows:
        yield row._replace(folder=folder)


_BESIDE_TOO = "images are looked for beside the file and its folder, there or in a folder such as Images or val2014"

FLICKR = Layout(
    shape='it is a captions.txt that begins with "image,caption", a Flickr8k.token.txt with lines of "a.jpg#0", a tab '
    'and the caption, or a dataset_flickr8k.json: {"images": [{"filename": "...", "sentences": [{"raw": "..."}]}]}',
    images=_BESIDE_TOO,
    find=_flickr_files,
    read=_read_captions,
)

COCO = Layout(
    shape='it is a captions_train2014.json: {"images": [{"id": 1, "file_name": "..."}], "annotations": '
    '[{"image_id": 1, "caption": "..."}]}, or a dataset_coco.json',
    images=_BESIDE_TOO,
    find=_coco_files,
    read=_read_captions,
)
