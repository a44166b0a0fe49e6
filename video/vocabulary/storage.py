"""A vocabulary on the disk: ``vectors.safetensors``, ``narrations.jsonl`` and ``config.json``.

Row i of the vectors belongs to line i. Vectors are mapped and lines parsed when asked for, so that a vocabulary of any
size opens at once. What was built is never rewritten. Updates lie beside it, in ``updates/0001`` and so on, each a
small vocabulary folder that is replaced in one step each time it grows: a killed run leaves it as it was a segment ago.
Rolled back, it keeps its place and its record and loses its narrations.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from backbone.checkpoint import FrozenPart, refuse_pickle
from backbone.errors import PolygraftError
from backbone.io.files import atomic_folder, read_json, write_json
from backbone.io.settings import config_from_dict
from video.config import CodingOptions
from video.vocabulary.entries import Counts, Entries, Entry, EntryFile

FORMAT = 1
KIND = "narration vocabulary"

CONFIG, VECTORS, LINES, UPDATES = "config.json", "vectors.safetensors", "narrations.jsonl", "updates"

# Up to so many bytes a file is checked as a whole when it is opened: some tenths of a second.
_SMALL_VECTORS = 1 << 26
_FEW_LINES = 1 << 20
_DTYPES = {"F16": np.float16, "F32": np.float32, "I64": np.int64, "I32": np.int32}
T = TypeVar("T")
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class NarrationsHeader:
    """The ``config.json`` of a vocabulary."""

    format: int
    kind: str
    coding: CodingOptions
    text_encoder: FrozenPart | None  # what made the vectors; none where there are none
    width: int  # of the vectors; 0 where there are none
    counts: Counts


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows: prefixes, pairs, postfixes, scenes."""

    counts: Counts
    entries: Entries
    vectors: Array | None = None  # (rows, d) float16 of length 1, perhaps mapped from a file
    scene_starts: Array | None = None
    """(narrations + 1,) int64, as all that follows there where the vectors are: the scenes of narration i are
    ``scenes[scene_starts[i] : scene_starts[i + 1]]``."""
    scenes: Array | None = None  # int32 numbers of scenes
    resident: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    """By device, what `video.vocabulary.vectors.TableVectors` has made of the arrays."""

    @classmethod
    def of(cls, entries: Sequence[Entry], vectors: Array | None, scenes: Sequence[str]) -> "Table":
        """Make a table of entries in the order of their kinds.

        Args:
            entries: Prefixes, pairs, postfixes, scenes.
            vectors: (rows, d) float16, or None.
            scenes: Labels by number; a label of an entry that is not among them is passed over.
        """
        numbers = {label: number for number, label in enumerate(scenes)}
        kinds = [entry.kind for entry in entries]
        counts = Counts(
            prefixes=kinds.count("prefix"),
            pairs=kinds.count("pair"),
            postfixes=kinds.count("postfix"),
            scenes=kinds.count("scene"),
        )
        if vectors is None:
            return cls(counts=counts, entries=entries)
        narrations = entries[: counts.narrations]
        own = [[numbers[label] for label in entry.scenarios if label in numbers] for entry in narrations]
        return cls(
            counts=counts,
            entries=entries,
            vectors=vectors,
            scene_starts=np.cumsum([0, *map(len, own)], dtype=np.int64),
            scenes=np.array([number for numbers in own for number in numbers], dtype=np.int32),
        )


def save_table(folder: Path, table: Table, config: Mapping[str, Any]) -> None:
    """Write a table and its ``config.json`` into an empty folder."""
    from safetensors.numpy import save_file

    with (folder / LINES).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(entry.line() for entry in table.entries)
    if table.vectors is not None and table.scene_starts is not None and table.scenes is not None:
        arrays = {"vectors": table.vectors, "scene_starts": table.scene_starts, "scenes": table.scenes}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / VECTORS)
        # safetensors makes files that nobody but their owner may read
        (folder / VECTORS).chmod((folder / LINES).stat().st_mode & 0o777)
    write_json(folder / CONFIG, dict(config))


def read_config(folder: Path, cls: type[T], kind: str) -> T:
    """Read ``config.json`` strictly.

    Raises:
        PolygraftError: There is no such folder, or the file is missing, damaged, of another kind or format.
    """
    if not folder.is_dir():
        raise PolygraftError(f"there is no folder {folder}: make a vocabulary with `polygraft vocabulary build`")
    if not (folder / CONFIG).is_file():
        raise PolygraftError(f"{folder} is no {kind}: it has no {CONFIG}")
    content = read_json(folder / CONFIG)
    if content.get("kind") != kind:
        raise PolygraftError(f"{folder} is no {kind}: its {CONFIG} has the kind {content.get('kind')!r}")
    if content.get("format") != FORMAT:
        raise PolygraftError(
            f"{folder} has format {content.get('format')!r}, but this version reads format {FORMAT}: build it again"
        )
    # of vocabularies from when codings that lose narrations could be chosen: their rows read like all others
    content.pop("lost", None)
    if isinstance(content.get("coding"), dict):
        content["coding"].pop("coding", None)
    try:
        return config_from_dict(cls, content)
    except PolygraftError as error:
        raise PolygraftError(f"{folder / CONFIG} is damaged: {error}") from error


def load_table(folder: Path, counts: Counts, width: int, *, scenes: int) -> Table:
    """Map a table.

    Args:
        folder: Where it lies.
        counts: How many rows of each kind it should have.
        width: Of its vectors; 0: it has none.
        scenes: How many scenes its narrations may belong to.

    Raises:
        PolygraftError: Lines or vectors are missing, damaged, or of another number than ``counts``.
    """
    lines = EntryFile(folder / LINES, counts)
    if lines.size <= _FEW_LINES:
        for _ in lines:
            pass
    if width:
        return _with_vectors(folder / VECTORS, lines, width, scenes)
    if (folder / VECTORS).exists():
        raise PolygraftError(f"{folder} holds {VECTORS}, of which its {CONFIG} knows nothing: build it again")
    return Table(counts=counts, entries=lines)


def _with_vectors(path: Path, lines: EntryFile, width: int, scenes: int) -> Table:
    arrays = _map_arrays(path)
    expected = {
        "vectors": f"{lines.counts.rows} x {width} float16",
        "scene_starts": f"{lines.counts.narrations + 1} int64",
        "scenes": f"{arrays['scenes'].size if 'scenes' in arrays else 0} int32",
    }
    if arrays.keys() != expected.keys():
        found = ", ".join(sorted(arrays)) or "nothing"
        raise PolygraftError(f"{path} holds {found}, expected are {', '.join(expected)}: build it again")
    for name, wanted in expected.items():
        found = f"{' x '.join(map(str, arrays[name].shape))} {arrays[name].dtype}"
        if found != wanted:
            raise PolygraftError(f"{path} does not fit {LINES}: {name} is {found}, expected {wanted}: build it again")
    starts, numbers = arrays["scene_starts"], arrays["scenes"]
    whole = starts[0] == 0 and starts[-1] == len(numbers) and (np.diff(starts) >= 0).all()
    if not whole or (len(numbers) and not 0 <= numbers.min() <= numbers.max() < scenes):
        raise PolygraftError(f"{path} is damaged: it puts narrations into scenes that there are not; build it again")
    if arrays["vectors"].nbytes <= _SMALL_VECTORS:
        bad = np.flatnonzero(~np.isfinite(arrays["vectors"]).all(axis=1)) + 1
        if len(bad):
            raise PolygraftError(f"{path}: row {bad[0]} of the matrix holds NaN or infinity: build the vectors again")
    return Table(counts=lines.counts, entries=lines, **arrays)


def _map_arrays(path: Path) -> dict[str, Array]:
    """Map a safetensors file into memory; without torch, whose import takes longer than most of what is done here."""
    from safetensors import SafetensorError, safe_open

    try:
        refuse_pickle(path)
        with safe_open(path, framework="numpy"):
            pass  # checks that the header fits the file
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {error.strerror or 'there is no such file'}") from error
    except (SafetensorError, ValueError) as error:
        raise PolygraftError(f"{path} is truncated or damaged ({error}): copy or build it again") from error
    arrays: dict[str, Array] = {}
    for name, entry in header.items():
        if name != "__metadata__":
            shape, dtype = tuple(entry["shape"]), _DTYPES.get(entry["dtype"], np.uint8)
            start = 8 + size + entry["data_offsets"][0]
            # an empty array cannot be mapped; copy-on-write, since torch warns of memory that it may not write to
            mapped = np.memmap(path, dtype, "c", start, shape) if 0 not in shape else np.zeros(shape, dtype)
            arrays[name] = mapped
    return arrays


UPDATE_KIND = "vocabulary update"

State = Literal["open", "finished", "rolled back"]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A segment for which proposals were asked."""

    start: float
    stop: float  # seconds
    proposed: int  # how many sentences the proposer gave
    admitted: int  # how many of them entered the vocabulary


@dataclass(frozen=True, kw_only=True)
class UpdateHeader:
    """The ``config.json`` of an update: what one proposer found for one video."""

    format: int
    kind: str
    id: str
    state: State
    film: str
    proposer: str
    when: str  # UTC, ISO 8601: when it began
    text_encoder: FrozenPart
    width: int
    counts: Counts
    segments: tuple[Tried, ...]  # in the order in which they were tried


@dataclass(frozen=True, kw_only=True)
class Update:
    """What was added for a video: prefixes, and the scenes that they belong to."""

    header: UpdateHeader
    table: Table

    def grown(self, tried: Tried, entries: Sequence[Entry], vectors: Array) -> "Update":
        """Return the update with one segment more.

        Args:
            tried: The segment.
            entries: Prefixes and scenes that it brings; a scene that is there already is passed over.
            vectors: (len(entries), d) float16.
        """
        assert self.table.vectors is not None
        known = {(entry.kind, entry.text) for entry in self.table.entries}
        fresh = [row for row, entry in enumerate(entries) if (entry.kind, entry.text) not in known]
        joined = [*self.table.entries, *(entries[row] for row in fresh)]
        rows = np.concatenate([self.table.vectors, vectors[fresh]])
        order = sorted(range(len(joined)), key=lambda row: joined[row].kind == "scene")
        joined = [joined[row] for row in order]
        table = Table.of(joined, rows[order], [entry.text for entry in joined if entry.kind == "scene"])
        segments = (*self.header.segments, tried)
        return Update(header=replace(self.header, counts=table.counts, segments=segments), table=table)

    def in_state(self, state: State) -> "Update":
        """Return the update in another state; rolled back, it holds nothing."""
        table = self.table if state != "rolled back" else no_rows(self.header.width)
        return Update(header=replace(self.header, state=state, counts=table.counts), table=table)


def no_rows(width: int) -> Table:
    """Return the table of an update that holds nothing."""
    return Table.of([], np.zeros((0, width), dtype=np.float16), [])


def save_update(vocabulary: Path, update: Update) -> None:
    """Write an update into a vocabulary's folder in one step, replacing what it was before.

    Raises:
        PolygraftError: It cannot be written; it is then as it was.
    """
    folder = vocabulary / UPDATES / update.header.id
    try:
        with atomic_folder(folder, replace=True) as partial:
            save_table(partial, update.table, asdict(update.header))
    except OSError as error:
        raise PolygraftError(f"the update {folder} could not be saved: {error.strerror}") from error


def load_updates(vocabulary: Path) -> list[Update]:
    """Read the updates of a vocabulary's folder, in the order of their ids.

    Raises:
        PolygraftError: One is damaged.
    """
    root = vocabulary / UPDATES
    names = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
    return [_load(root / name) for name in names if not name.startswith(".")]  # a save that was killed begins with one


def _load(folder: Path) -> Update:
    header = read_config(folder, UpdateHeader, UPDATE_KIND)
    if header.id != folder.name or not header.id.isdecimal():
        raise PolygraftError(f"{folder} holds the update {header.id!r}: give it back its name")
    table = load_table(folder, header.counts, header.width, scenes=header.counts.scenes)
    if header.counts.pairs or header.counts.postfixes:
        raise PolygraftError(f"{folder} is damaged: an update holds prefixes and scenes alone")
    return Update(header=header, table=table)


def placed(updates: Iterable[Update], labels: Sequence[str]) -> list[Table]:
    """Return the tables of updates with their scenes numbered through, after those of ``labels``.

    A scene that is there already, in the base or in an earlier update, gets no second row.
    """
    known = dict.fromkeys(labels)
    tables = []
    for update in updates:
        entries = list(update.table.entries)
        kept = [row for row, entry in enumerate(entries) if entry.kind != "scene" or entry.text not in known]
        known |= {entries[row].text: None for row in kept if entries[row].kind == "scene"}
        vectors = update.table.vectors
        tables.append(Table.of([entries[row] for row in kept], None if vectors is None else vectors[kept], list(known)))
    return tables
