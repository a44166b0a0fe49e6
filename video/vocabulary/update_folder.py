"""Updates on the disk: ``updates/0001`` and so on beside the vocabulary that they grow, each a small vocabulary folder.

What was built is never rewritten. An update is replaced in one step each time it grows, so a killed run leaves it as
it was a segment ago; rolled back, it keeps its place and its record and loses its narrations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from backbone.checkpoint.model_card import FrozenPart
from backbone.errors import PolygraftError
from backbone.io.atomic_files import atomic_folder
from video.vocabulary.entries import Counts, Entry
from video.vocabulary.storage import FORMAT, UPDATES, Table, load_table, read_config, save_table

KIND = "vocabulary update"

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
    """The ``config.json`` of an update: what one proposer found for one film."""

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
    """What was added for a film: prefixes, and the scenes that they belong to."""

    header: UpdateHeader
    table: Table

    @classmethod
    def begin(cls, id_: str, *, film: str, proposer: str, when: str, text_encoder: FrozenPart, width: int) -> "Update":
        """Return an update that holds nothing yet."""
        empty = torch.zeros(0, width, dtype=torch.float16)
        header = UpdateHeader(
            format=FORMAT,
            kind=KIND,
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
    header = read_config(folder, UpdateHeader, KIND)
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
