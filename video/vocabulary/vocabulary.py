"""NarrationVocabulary: what can be said of a video, and the search for what comes closest to a query.

Three levels, as in VLog (Section 3.2): scenes, prefixes, postfixes. VLog takes the best prefix and then the postfix
that fits best after it; here whole narrations are searched, and a scene is a prior: no wrong first choice decides.

Shapes: Q queries, d the width of vectors, k results a query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from backbone.checkpoint import FrozenPart
from backbone.errors import PolygraftError
from backbone.io.files import atomic_folder
from video.config import CodingOptions
from video.vocabulary.entries import Entry
from video.vocabulary.narrations import Narrations
from video.vocabulary.pair_encoding import Coding, Pair, encode
from video.vocabulary.storage import (
    FORMAT,
    KIND,
    UPDATES,
    NarrationsHeader,
    Table,
    Update,
    load_table,
    load_updates,
    locked,
    placed,
    read_config,
    save_table,
    save_update,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from video.vocabulary.vectors import Bonus, Hits, Progress, ScenePrior, TableVectors, TextEncoder

Level = Literal["narrations", "prefixes", "postfixes", "scenes"]


@dataclass(frozen=True, kw_only=True)
class VocabularyCounts:
    """How much there is on each level, with what updates added."""

    narrations: int
    """Distinct ones; prefixes are among them."""
    prefixes: int
    postfixes: int
    scenes: int


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """A narration found for a query."""

    text: str
    score: float
    """Cosine with the query, plus what the scene adds."""
    prefix: str
    postfix: str
    row: int
    """Its row among the narrations."""


@dataclass(frozen=True, kw_only=True)
class _Span:
    """Consecutive rows of one level in one table; in the level their numbers begin at ``offset``."""

    number: int
    """Of the table."""
    start: int
    stop: int
    offset: int


class NarrationVocabulary:
    """Narrations by scene, prefix and postfix, with a text vector for each or without vectors.

    Rows of a level are numbered through what was built, then through the updates in their order. An object is never
    changed: `with_updates` and `to` return another, which shares what need not be copied.

    Attributes:
        base: what was built.
        updates: what was added since, rolled-back ones included.
        coding: how narrations were split.
        text_encoder: name and digest of what made the vectors; None where there are none.
        lost: how many narrations the coding could not say.
        device: where the vectors are searched; they are brought there by the first search.
    """

    def __init__(
        self,
        base: Table,
        *,
        coding: CodingOptions,
        text_encoder: FrozenPart | None,
        lost: int = 0,
        updates: Sequence[Update] = (),
        device: "str | torch.device" = "cpu",
    ) -> None:
        self.base = base
        self.device = device
        self.coding = coding
        self.text_encoder = text_encoder
        self.lost = lost
        self.updates = tuple(updates)
        self._tables = [base, *placed(self.updates, _labels(base) if self.updates else [])]
        self._levels: dict[Level, list[_Span]] = _spans(self._tables)

    @classmethod
    def build(
        cls,
        narrations: Narrations,
        options: CodingOptions | None = None,
        *,
        encoder: "TextEncoder | None" = None,
        progress: "Progress[int]" = iter,
    ) -> "NarrationVocabulary":
        """Code narrations; embed prefixes, whole narrations, postfixes and scenes.

        Args:
            narrations: what `video.vocabulary.narrations.read_narrations` gives.
            options: how to code them.
            encoder: what makes the vectors; None: there are none, and no search.
            progress: passes on the start of each batch of texts, for a progress bar.

        Raises:
            PolygraftError: the encoder fails, or the coding makes no prefix of any narration.
        """
        options = options or CodingOptions()
        coding = encode((narration.text for narration in narrations.narrations), options)
        if not coding.prefixes:
            raise PolygraftError(f"the coding {options.coding} makes no prefix of these narrations: use lossless")
        entries = _entries(narrations, coding)
        vectors = encoder.half([entry.text for entry in entries], progress=progress).numpy() if encoder else None
        table = Table.of(entries, vectors, [scene.text for scene in narrations.scenes])
        return cls(table, coding=options, text_encoder=encoder.part if encoder else None, lost=len(coding.lost))

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, device: str = "cpu") -> "NarrationVocabulary":
        """Open a vocabulary's folder.

        On the CPU vectors stay on the disk and are mapped into memory; elsewhere the first search makes them resident.

        Args:
            folder: what `save_pretrained` or `polygraft vocabulary build` has written.
            device: as in `backbone.device.pick_device`.

        Raises:
            PolygraftError: there is none, or it is damaged.
        """
        folder = Path(folder)
        header = read_config(folder, NarrationsHeader, KIND)
        base = load_table(folder, header.counts, header.width, scenes=header.counts.scenes)
        updates = load_updates(folder)
        for update in updates:
            if header.text_encoder is None or update.header.text_encoder.sha256 != header.text_encoder.sha256:
                raise PolygraftError(
                    f"{folder / UPDATES / update.header.id} was made with another text encoder: remove it"
                )
        return cls(
            base,
            coding=header.coding,
            text_encoder=header.text_encoder,
            lost=header.lost,
            updates=updates,
            device=device,
        )

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the vocabulary into a new or empty folder, in one step.

        Raises:
            PolygraftError: the folder holds something, or cannot be written.
        """
        folder = Path(folder)
        header = NarrationsHeader(
            format=FORMAT,
            kind=KIND,
            coding=self.coding,
            text_encoder=self.text_encoder,
            width=self.width,
            counts=self.base.counts,
            lost=self.lost,
        )
        try:
            with atomic_folder(folder) as partial:
                save_table(partial, self.base, asdict(header))
                for update in self.updates:
                    inside = partial / UPDATES / update.header.id
                    inside.mkdir(parents=True)
                    save_table(inside, update.table, asdict(update.header))
        except OSError as error:
            raise PolygraftError(f"the vocabulary {folder} could not be saved: {error.strerror}") from error
        return folder

    def with_updates(self, updates: Sequence[Update]) -> "NarrationVocabulary":
        """Return the same base with other updates."""
        return self._copy(updates, self.device)

    def to(self, device: "torch.device | str") -> "NarrationVocabulary":
        """Return the same on another device."""
        return self._copy(self.updates, device)

    def _copy(self, updates: Sequence[Update], device: "torch.device | str") -> "NarrationVocabulary":
        copy = NarrationVocabulary(
            self.base,
            coding=self.coding,
            text_encoder=self.text_encoder,
            lost=self.lost,
            updates=updates,
            device=device,
        )
        if device == self.device and "_base_vectors" in vars(self):
            vars(copy)["_base_vectors"] = self._base_vectors  # resident once, however many updates are added
        return copy

    # What there is

    @property
    def counts(self) -> VocabularyCounts:
        """How much there is."""
        return VocabularyCounts(**{level: self.size(level) for level in self._levels})

    def size(self, level: Level) -> int:
        """Return how many rows a level has."""
        return sum(span.stop - span.start for span in self._levels[level])

    @property
    def width(self) -> int:
        """Width d of the vectors; 0 where there are none."""
        return 0 if self.base.vectors is None else self.base.vectors.shape[1]

    def entry(self, level: Level, row: int) -> Entry:
        """Return what stands in a row of a level."""
        span, place = self._place(level, row)
        return self._tables[span.number].entries[span.start + place]

    def _place(self, level: Level, row: int) -> "tuple[_Span, int]":
        for span in self._levels[level]:
            if span.offset <= row < span.offset + span.stop - span.start:
                return span, row - span.offset
        raise IndexError(f"row {row} of {self.size(level)} {level}")

    def entries(self, level: Level) -> Iterator[Entry]:
        """Yield a level row by row."""
        for span in self._levels[level]:
            for row in range(span.start, span.stop):
                yield self._tables[span.number].entries[row]

    def pairs(self) -> Iterator[Pair]:
        """Yield the code of every narration."""
        for entry in self.entries("narrations"):
            yield Pair(entry.text, entry.prefix or entry.text, entry.postfix)

    def vectors(self, level: Level, rows: Sequence[int]) -> "Tensor":
        """Return the vectors of some rows of a level, (len(rows), d) float16 on the CPU."""
        import torch

        found = np.empty((len(rows), self.width), dtype=np.float16)
        for at, row in enumerate(rows):
            span, place = self._place(level, row)
            vectors = self._tables[span.number].vectors
            assert vectors is not None
            found[at] = vectors[span.start + place]
        return torch.from_numpy(found)

    def check_encoder(self, part: FrozenPart) -> None:
        """Refuse to compare with vectors of another text encoder than the one that made these.

        Raises:
            PolygraftError: names both; or there are no vectors.
        """
        if self.text_encoder is None:
            raise PolygraftError("the vocabulary has no vectors to search: build it without --no-vectors")
        if self.text_encoder.sha256 != part.sha256:
            raise PolygraftError(
                f"the vocabulary was made with the text encoder {self.text_encoder.name!r} (SHA-256 "
                f"{self.text_encoder.sha256[:12]}) and does not fit {part.name!r} ({part.sha256[:12]}): build it again "
                "with the latter"
            )

    # Search

    def search(
        self,
        queries: "Tensor",
        k: int = 1,
        *,
        level: Level = "narrations",
        scene_queries: "Tensor | None" = None,
        prior: "ScenePrior | None" = None,
    ) -> "Hits":
        """Return the rows of a level that score highest, exactly; of equal scores the lower row comes first.

        Args:
            queries: (Q, d), of any length: the score is a cosine.
            k: how many.
            level: where. The paper's first pass looks among the prefixes and its second among the postfixes.
            scene_queries: (Q, d) or (1, d), what the video is about as a whole; None: scenes do not count. They count
                for narrations and prefixes.
            prior: how much they count.

        Raises:
            PolygraftError: there are no vectors, or they or the queries hold NaN, or the widths differ.
        """
        from video.vocabulary.vectors import search_parts

        self._check_queries(queries)
        values: Tensor | None = None
        if scene_queries is not None and level in ("narrations", "prefixes") and self.size("scenes"):
            values = self._scene_values(scene_queries, prior).expand(len(queries), -1)
        spans = self._levels[level]
        parts = [(self._rows(span), None if values is None else self._bonus(span, values)) for span in spans]
        return search_parts(parts, queries, k)

    def scene_bonus(self, rows: Sequence[int], scene_query: "Tensor", prior: "ScenePrior") -> "Tensor":
        """Return what the scene adds to the scores of some narrations, (len(rows),) float32 on the CPU.

        Args:
            rows: Of the narrations.
            scene_query: (1, d), of the whole video.
            prior: How much scenes count.
        """
        import torch

        found = torch.zeros(len(rows))
        if self.size("scenes"):
            values = self._scene_values(scene_query, prior)
            for at, row in enumerate(rows):
                span, place = self._place("narrations", row)
                found[at] = self._bonus(span, values)(place, place + 1)
        return found

    def _scene_values(self, scene_queries: "Tensor", prior: "ScenePrior | None") -> "Tensor":
        import torch

        from video.vocabulary.vectors import ScenePrior

        self._check_queries(scene_queries)
        scenes = torch.cat([self._rows(span) for span in self._levels["scenes"]])
        return (prior or ScenePrior()).values(scene_queries, scenes)

    @cached_property
    def _base_vectors(self) -> "TableVectors":
        return self._on_device(self.base)

    @cached_property
    def _table_vectors(self) -> "list[TableVectors]":
        return [self._base_vectors, *map(self._on_device, self._tables[1:])]

    def _on_device(self, table: Table) -> "TableVectors":
        from backbone.device import pick_device
        from video.vocabulary.vectors import TableVectors

        return TableVectors.of(table, pick_device(str(self.device)))

    def _rows(self, span: _Span) -> "Tensor":
        return self._table_vectors[span.number].vectors[span.start : span.stop]

    def _bonus(self, span: _Span, values: "Tensor") -> "Bonus":
        """Return what the scenes add to the rows of ``span``, of which ``values`` says what each scene adds."""
        table = self._table_vectors[span.number]
        return lambda start, stop: table.bonus(values, span.start + start, span.start + stop)

    def retrieve(
        self,
        queries: "Tensor",
        k: int = 1,
        *,
        scene_queries: "Tensor | None" = None,
        prior: "ScenePrior | None" = None,
    ) -> list[list[Retrieved]]:
        """Return the best narrations of each query, best first; the arguments are those of `search`."""
        hits = self.search(queries, k, scene_queries=scene_queries, prior=prior)
        return [
            [self.retrieved(score, row) for score, row in zip(scores, rows, strict=True) if row >= 0]
            for scores, rows in zip(hits.scores.tolist(), hits.rows.tolist(), strict=True)
        ]

    def retrieved(self, score: float, row: int) -> Retrieved:
        """Return a row of the narrations as something that was found."""
        entry = self.entry("narrations", row)
        return Retrieved(
            text=entry.text, score=score, prefix=entry.prefix or entry.text, postfix=entry.postfix, row=row
        )

    def _check_queries(self, queries: "Tensor") -> None:
        if not self.width:
            raise PolygraftError("the vocabulary has no vectors to search: build it without --no-vectors")
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise PolygraftError(
                f"a query has the shape {tuple(queries.shape[1:])}, but the vectors of the vocabulary have width "
                f"{self.width}: build it again with the text encoder that the queries fit"
            )


def _entries(narrations: Narrations, coding: Coding) -> list[Entry]:
    """Return the rows of a vocabulary: prefixes, pairs, postfixes, scenes, each in alphabetical order."""
    by_text = {narration.text: narration for narration in narrations.narrations}
    prefixes: list[Entry] = []
    pairs: list[Entry] = []
    for pair in coding.pairs:
        source = by_text[pair.narration]
        entry = Entry(
            text=source.text,
            kind="pair" if pair.postfix else "prefix",
            prefix=pair.prefix if pair.postfix else "",
            count=source.count,
            videos=source.videos,
            scenarios=source.scenarios,
        )
        (pairs if pair.postfix else prefixes).append(entry)
    postfixes = [Entry(text=text, kind="postfix", count=count) for text, count in coding.postfixes.items()]
    scenes = [Entry(text=scene.text, kind="scene", videos=scene.videos) for scene in narrations.scenes]
    return [*prefixes, *pairs, *postfixes, *scenes]


def _labels(table: Table) -> list[str]:
    return [table.entries[row].text for row in range(table.counts.rows - table.counts.scenes, table.counts.rows)]


def _spans(tables: Sequence[Table]) -> dict[Level, list[_Span]]:
    """Return where in the tables each level stands."""
    levels: dict[Level, list[_Span]] = {"narrations": [], "prefixes": [], "postfixes": [], "scenes": []}
    for number, table in enumerate(tables):
        counts = table.counts
        ends = counts.rows - counts.scenes
        places: dict[Level, tuple[int, int]] = {
            "narrations": (0, counts.narrations),
            "prefixes": (0, counts.prefixes),
            "postfixes": (counts.narrations, ends),
            "scenes": (ends, counts.rows),
        }
        for level, (start, stop) in places.items():
            offset = sum(span.stop - span.start for span in levels[level])
            levels[level].append(_Span(number=number, start=start, stop=stop, offset=offset))
    return levels


def rollback(folder: str | Path, update_id: str = "") -> Update:
    """Take an update back: its narrations go, its record stays and says so. Other updates are untouched.

    Args:
        folder: of a vocabulary.
        update_id: which; empty: the latest that is not taken back yet.

    Returns:
        The update as it was.

    Raises:
        PolygraftError: there is no such update, it was taken back before, or the folder is damaged or in use.
    """
    folder = Path(folder)
    with locked(folder):
        # opened as a whole, so that nothing is changed in a folder that is no vocabulary
        updates = NarrationVocabulary.from_pretrained(folder).updates
        there = {update.header.id: update for update in updates if update.header.state != "rolled back"}
        chosen = update_id or max(there, default="")
        if not updates or not chosen:
            raise PolygraftError(f"{folder} has no update to roll back: it is as it was built")
        if chosen not in there:
            gone = any(update.header.id == chosen for update in updates)
            found = f"was rolled back before: {chosen}" if gone else f"does not exist: {chosen}"
            raise PolygraftError(f"the update of {folder} {found}; there are {', '.join(there) or 'none'}")
        save_update(folder, there[chosen].in_state("rolled back"))
        return there[chosen]
