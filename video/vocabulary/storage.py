"""A vocabulary on the disk: ``vectors.safetensors``, ``narrations.jsonl`` and ``config.json``.

Row i of the vectors belongs to line i. Vectors are mapped and lines parsed when asked for, so that a vocabulary of any
size opens at once. A small one is checked as a whole when it is opened, a large one piece by piece as it is used.

Updates on the disk: ``updates/0001`` and so on beside the vocabulary that they grow, each a small vocabulary folder.

What was built is never rewritten. An update is replaced in one step each time it grows, so a killed run leaves it as
it was a segment ago; rolled back, it keeps its place and its record and loses its narrations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from backbone.checkpoint import FrozenPart, load_tensors
from backbone.errors import PolygraftError
from backbone.io.files import atomic_folder, read_json, write_json
from backbone.io.settings import config_from_dict
from video.vocabulary.entries import Counts, Entries, Entry, EntryFile
from video.vocabulary.exact_search import Membership, check_all
from video.vocabulary.pair_encoding import CodingOptions

FORMAT = 1

KIND = "narration vocabulary"

CONFIG, VECTORS, LINES, UPDATES = "config.json", "vectors.safetensors", "narrations.jsonl", "updates"

# Up to so many bytes a file is checked as a whole: some tenths of a second
_SMALL_VECTORS = 1 << 26

_FEW_LINES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class NarrationsHeader:
    """The ``config.json`` of a vocabulary."""

    format: int
    kind: str
    coding: CodingOptions
    text_encoder: FrozenPart | None
    """What made the vectors; none where there are none."""
    width: int
    """Of the vectors; 0 where there are none."""
    counts: Counts
    lost: int
    """Narrations that the coding cannot say."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Rows: prefixes, pairs, postfixes, scenes."""

    counts: Counts
    entries: Entries
    vectors: Tensor | None = None
    """(rows, d) float16 of length 1, perhaps mapped from a file."""
    membership: Membership | None = None
    """The scenes of the narrations; there where the vectors are."""

    @classmethod
    def of(cls, entries: Sequence[Entry], vectors: Tensor | None, scenes: Sequence[str]) -> "Table":
        """Make a table of entries in the order of their kinds.

        Args:
            entries: prefixes, pairs, postfixes, scenes.
            vectors: (rows, d) float16, or None.
            scenes: labels by number; a label of an entry that is not among them is passed over.
        """
        numbers = {label: number for number, label in enumerate(scenes)}
        kinds = [entry.kind for entry in entries]
        counts = Counts(
            prefixes=kinds.count("prefix"),
            pairs=kinds.count("pair"),
            postfixes=kinds.count("postfix"),
            scenes=kinds.count("scene"),
        )
        said = entries[: counts.narrations]
        of_rows = [[numbers[label] for label in entry.scenarios if label in numbers] for entry in said]
        membership = None if vectors is None else Membership.of(of_rows)
        return cls(counts=counts, entries=entries, vectors=vectors, membership=membership)

    def to(self, device: torch.device | str) -> "Table":
        """Return the table with its vectors resident on ``device``."""
        if self.vectors is None or self.membership is None:
            return self
        return replace(self, vectors=self.vectors.to(device), membership=self.membership.to(device))


def save_table(folder: Path, table: Table, config: Mapping[str, Any]) -> None:
    """Write a table and its ``config.json`` into an empty folder."""
    from safetensors.torch import save_file

    with (folder / LINES).open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(entry.line() for entry in table.entries)
    if table.vectors is not None and table.membership is not None:
        tensors = {
            "vectors": table.vectors.cpu().contiguous(),
            "scene_starts": table.membership.starts.cpu(),
            "scenes": table.membership.scenes.cpu(),
        }
        save_file(tensors, folder / VECTORS)
        # safetensors makes files that nobody but their owner may read
        (folder / VECTORS).chmod((folder / LINES).stat().st_mode & 0o777)
    write_json(folder / CONFIG, dict(config))


def read_config(folder: Path, cls: type[T], kind: str) -> T:
    """Read ``config.json`` strictly.

    Raises:
        PolygraftError: there is no such folder, or the file is missing, damaged, of another kind or format.
    """
    if not folder.is_dir():
        raise PolygraftError(f"there is no folder {folder}: make a vocabulary with `polygraft vocabulary build`")
    if not (folder / CONFIG).is_file():
        raise PolygraftError(f"{folder} is no {kind}: it has no {CONFIG}")
    content = read_json(folder / CONFIG)
    if content.get("kind") != kind:
        raise PolygraftError(f"{folder} is no {kind}: its {CONFIG} says {content.get('kind')!r}")
    if content.get("format") != FORMAT:
        raise PolygraftError(
            f"{folder} has format {content.get('format')!r}, but this version reads format {FORMAT}: build it again"
        )
    try:
        return config_from_dict(cls, content)
    except PolygraftError as error:
        raise PolygraftError(f"{folder / CONFIG} is damaged: {error}") from error


def load_table(folder: Path, counts: Counts, width: int, *, scenes: int) -> Table:
    """Map a table.

    Args:
        folder: where it lies.
        counts: how many rows of each kind it should have.
        width: of its vectors; 0: it has none.
        scenes: how many scenes its narrations may belong to.

    Raises:
        PolygraftError: lines or vectors are missing, damaged, or of another number than ``counts`` says.
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
    tensors = load_tensors(path)
    expected = {
        "vectors": ((lines.counts.rows, width), torch.float16),
        "scene_starts": ((lines.counts.narrations + 1,), torch.int64),
        "scenes": (tuple(tensors["scenes"].shape) if "scenes" in tensors else (), torch.int32),
    }
    if tensors.keys() != expected.keys():
        found = ", ".join(sorted(tensors)) or "nothing"
        raise PolygraftError(f"{path} holds {found}, expected are {', '.join(expected)}: build it again")
    for name, (shape, dtype) in expected.items():
        if tuple(tensors[name].shape) != shape or tensors[name].dtype != dtype:
            raise PolygraftError(
                f"{path} does not fit {LINES}: {name} is {_described(tensors[name].shape, tensors[name].dtype)}, "
                f"expected is {_described(shape, dtype)}; build it again"
            )
    membership = Membership(starts=tensors["scene_starts"], scenes=tensors["scenes"])
    if not membership.is_valid(scenes):
        raise PolygraftError(f"{path} is damaged: it puts narrations into scenes that there are not; build it again")
    if tensors["vectors"].nbytes <= _SMALL_VECTORS:
        try:
            check_all(tensors["vectors"])
        except PolygraftError as error:
            raise PolygraftError(f"{path}: {error}") from error
    return Table(counts=lines.counts, entries=lines, vectors=tensors["vectors"], membership=membership)


def _described(shape: Sequence[int], dtype: torch.dtype) -> str:
    return f"{' x '.join(map(str, shape))} {str(dtype).removeprefix('torch.')}"


UPDATE_KIND = "vocabulary update"

State = Literal["open", "finished", "rolled back"]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A segment for which proposals were asked."""

    start: float
    stop: float
    """Seconds."""
    proposed: int
    """How many sentences the proposer gave."""
    admitted: int
    """How many of them entered the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class UpdateHeader:
    """The ``config.json`` of an update: what one proposer found for one video."""

    format: int
    kind: str
    id: str
    state: State
    film: str
    proposer: str
    when: str
    """UTC, ISO 8601: when it began."""
    text_encoder: FrozenPart
    width: int
    counts: Counts
    segments: tuple[Tried, ...]
    """In the order in which they were tried."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """What was added for a video: prefixes, and the scenes that they belong to."""

    header: UpdateHeader
    table: Table

    @classmethod
    def begin(cls, id_: str, *, film: str, proposer: str, when: str, text_encoder: FrozenPart, width: int) -> "Update":
        """Return an update that holds nothing yet."""
        empty = torch.zeros(0, width, dtype=torch.float16)
        header = UpdateHeader(
            format=FORMAT,
            kind=UPDATE_KIND,
            id=id_,
            state="open",
            film=film,
            proposer=proposer,
            when=when,
            text_encoder=text_encoder,
            width=width,
            counts=Counts(),
            segments=(),
        )
        return cls(header=header, table=Table.of([], empty, []))

    def grown(self, tried: Tried, entries: Sequence[Entry], vectors: torch.Tensor) -> "Update":
        """Return the update with one segment more.

        Args:
            tried: the segment.
            entries: prefixes and scenes that it brings; a scene that is there already is passed over.
            vectors: (len(entries), d) float16.
        """
        assert self.table.vectors is not None
        known = {(entry.kind, entry.text) for entry in self.table.entries}
        fresh = [row for row, entry in enumerate(entries) if (entry.kind, entry.text) not in known]
        joined = [*self.table.entries, *(entries[row] for row in fresh)]
        rows = torch.cat([self.table.vectors, vectors[fresh]])
        order = sorted(range(len(joined)), key=lambda row: joined[row].kind == "scene")
        joined = [joined[row] for row in order]
        table = Table.of(joined, rows[order], [entry.text for entry in joined if entry.kind == "scene"])
        segments = (*self.header.segments, tried)
        return Update(header=replace(self.header, counts=table.counts, segments=segments), table=table)

    def in_state(self, state: State) -> "Update":
        """Return the update in another state; rolled back, it holds nothing."""
        table = self.table if state != "rolled back" else Table.of([], torch.zeros(0, self.header.width).half(), [])
        return Update(header=replace(self.header, state=state, counts=table.counts), table=table)


def save_update(vocabulary: Path, update: Update) -> None:
    """Write an update into a vocabulary's folder in one step, replacing what it was before.

    Raises:
        PolygraftError: it cannot be written; it is then as it was.
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
        PolygraftError: one is damaged.
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


def next_id(updates: Iterable[Update]) -> str:
    """Return the id of the next update: numbers that are never given again."""
    return f"{max((int(update.header.id) for update in updates), default=0) + 1:04d}"


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
