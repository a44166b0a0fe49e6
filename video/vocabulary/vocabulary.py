"""The narrations that a video can get, and the search for those nearest to a query.

Three levels, as in VLog (Section 3.2): scenes, prefixes, postfixes. VLog takes the best prefix and then the postfix
that fits best after it; here whole narrations are searched, and a scene is a prior: no wrong first choice decides.

Shapes: Q queries, d the width of vectors, k results a query.
"""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
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
from video.vocabulary.pair_encoding import Coding, encode
from video.vocabulary.storage import (
    FORMAT,
    KIND,
    UPDATES,
    NarrationsHeader,
    Table,
    Update,
    load_table,
    load_updates,
    placed,
    read_config,
    save_table,
)

if TYPE_CHECKING:
    from torch import Tensor

    from video.vocabulary.vectors import Bonus, Hits, Progress, ScenePrior, TextEncoder

Level = Literal["narrations", "prefixes", "postfixes", "scenes"]  # prefixes are narrations, too


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """A narration found for a query."""

    text: str
    score: float  # cosine with the query, plus what the scene adds
    row: int  # its row among the narrations


@dataclass(frozen=True, eq=False)
class NarrationVocabulary:
    """Narrations by scene, prefix and postfix, with a text vector for each or without vectors.

    Rows of a level are numbered through what was built, then through the updates in their order.
    """

    base: Table  # what was built
    _: KW_ONLY
    coding: CodingOptions  # how narrations were split
    text_encoder: FrozenPart | None  # name and digest of what made the vectors; None where there are none
    updates: tuple[Update, ...] = ()  # what was added since, rolled-back ones included
    device: str = "cpu"  # where the vectors are searched; the first search brings them there

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
            narrations: What `video.vocabulary.narrations.read_narrations` gives.
            options: How to code them.
            encoder: What makes the vectors; None: there are none, and no search.
            progress: Passes on the start of each batch of texts, for a progress bar.

        Raises:
            PolygraftError: The encoder fails, or there is no narration.
        """
        if not narrations.narrations:
            raise PolygraftError("there is no narration to make a vocabulary of")
        options = options or CodingOptions()
        coding = encode((narration.text for narration in narrations.narrations), options)
        entries = _entries(narrations, coding)
        vectors = encoder.half([entry.text for entry in entries], progress=progress).numpy() if encoder else None
        table = Table.of(entries, vectors, list(narrations.scenes))
        return cls(table, coding=options, text_encoder=encoder.part if encoder else None)

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, device: str = "cpu") -> "NarrationVocabulary":
        """Open a vocabulary's folder.

        On the CPU vectors stay on the disk and are mapped into memory; elsewhere the first search makes them resident.

        Args:
            folder: What `save_pretrained` or `polygraft vocabulary build` has written.
            device: As in `backbone.device.pick_device`.

        Raises:
            PolygraftError: There is none, or it is damaged.
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
            updates=tuple(updates),
            device=str(device),
        )

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the vocabulary into a new or empty folder, in one step.

        Raises:
            PolygraftError: The folder holds something, or cannot be written.
        """
        folder = Path(folder)
        header = NarrationsHeader(
            format=FORMAT,
            kind=KIND,
            coding=self.coding,
            text_encoder=self.text_encoder,
            width=self.width,
            counts=self.base.counts,
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

    # What there is

    @cached_property
    def _tables(self) -> list[Table]:
        rows = range(self.base.counts.rows - self.base.counts.scenes, self.base.counts.rows)
        labels = [self.base.entries[row].text for row in rows] if self.updates else []
        return [self.base, *placed(self.updates, labels)]

    @cached_property
    def _levels(self) -> dict[Level, list[tuple[Table, range]]]:
        """Return for each level the tables with the rows that belong to it."""
        levels: dict[Level, list[tuple[Table, range]]]
        levels = {"narrations": [], "prefixes": [], "postfixes": [], "scenes": []}
        for table in self._tables:
            counts = table.counts
            end = counts.rows - counts.scenes
            places = ((0, counts.narrations), (0, counts.prefixes), (counts.narrations, end), (end, counts.rows))
            for parts, (start, stop) in zip(levels.values(), places, strict=True):
                parts.append((table, range(start, stop)))
        return levels

    @property
    def counts(self) -> dict[str, int]:
        """How many rows each level has, with what updates added."""
        return {level: self.size(level) for level in self._levels}

    def size(self, level: Level) -> int:
        """Return how many rows a level has."""
        return sum(len(rows) for _, rows in self._levels[level])

    @property
    def width(self) -> int:
        """Width d of the vectors; 0 where there are none."""
        return 0 if self.base.vectors is None else self.base.vectors.shape[1]

    def entry(self, row: int) -> Entry:
        """Return a narration."""
        table, place = self._place(row)
        return table.entries[place]

    def _place(self, row: int) -> tuple[Table, int]:
        for table, rows in self._levels["narrations"]:
            if row < len(rows):
                return table, rows[row]
            row -= len(rows)
        raise IndexError(f"there are {self.size('narrations')} narrations")

    def entries(self, level: Level) -> Iterator[Entry]:
        """Yield a level row by row."""
        return (table.entries[row] for table, rows in self._levels[level] for row in rows)

    def vectors(self, rows: Sequence[int]) -> "Tensor":
        """Return the vectors of some narrations, (len(rows), d) float16 on the CPU."""
        import torch

        found = np.empty((len(rows), self.width), dtype=np.float16)
        for at, row in enumerate(rows):
            table, place = self._place(row)
            assert table.vectors is not None
            found[at] = table.vectors[place]
        return torch.from_numpy(found)

    def check_encoder(self, part: FrozenPart) -> None:
        """Refuse to compare with vectors of another text encoder than the one that made these.

        Raises:
            PolygraftError: Names both; or there are no vectors.
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
        scene_queries: "Tensor | None" = None,
        prior: "ScenePrior | None" = None,
    ) -> "Hits":
        """Return the narrations that score highest, exactly; of equal scores the lower row comes first.

        Args:
            queries: (Q, d), of any length: the score is a cosine.
            k: How many.
            scene_queries: (Q, d) or (1, d), what the video is about as a whole; None: scenes do not count.
            prior: How much they count.

        Raises:
            PolygraftError: There are no vectors, or they or the queries hold NaN, or the widths differ.
        """
        from video.vocabulary.vectors import search_parts

        self._check_queries(queries)
        values = None
        if scene_queries is not None and self.size("scenes"):
            values = self._scene_values(scene_queries, prior).expand(len(queries), -1)
        return search_parts([self._part(*part, values) for part in self._levels["narrations"]], queries, k)

    def scene_bonus(self, rows: Sequence[int], scene_query: "Tensor", prior: "ScenePrior") -> "Tensor":
        """Return what the scene adds to the scores of some narrations, (len(rows),) float32 on the CPU.

        Args:
            rows: Of the narrations.
            scene_query: (1, d), of the whole video.
            prior: How much scenes count.
        """
        import torch

        if not self.size("scenes"):
            return torch.zeros(len(rows))
        values, parts = self._scene_values(scene_query, prior), []
        for part in self._levels["narrations"]:
            vectors, bonus = self._part(*part, values)
            parts += [] if bonus is None else [bonus(0, len(vectors))]
        return torch.cat(parts, dim=1)[0, list(rows)].cpu()

    def _scene_values(self, scene_queries: "Tensor", prior: "ScenePrior | None") -> "Tensor":
        import torch

        from video.vocabulary.vectors import ScenePrior

        self._check_queries(scene_queries)
        scenes = torch.cat([self._part(*part, None)[0] for part in self._levels["scenes"]])
        return (prior or ScenePrior()).values(scene_queries, scenes)

    def _part(self, table: Table, rows: range, values: "Tensor | None") -> "tuple[Tensor, Bonus | None]":
        """Return the vectors of some rows, and what scenes add to them where ``values`` holds what each adds."""
        from video.vocabulary.vectors import TableVectors

        resident = TableVectors.of(table, self.device)
        vectors = resident.vectors[rows.start : rows.stop]
        if values is None:
            return vectors, None
        return vectors, lambda start, stop: resident.bonus(values, rows.start + start, rows.start + stop)

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
        return Retrieved(text=self.entry(row).text, score=score, row=row)

    def _check_queries(self, queries: "Tensor") -> None:
        if not self.width:
            raise PolygraftError("the vocabulary has no vectors to search: build it without --no-vectors")
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise PolygraftError(
                f"a query has the shape {tuple(queries.shape[1:])}, but the vectors of the vocabulary have width "
                f"{self.width}: build it again with the text encoder that the queries fit"
            )


def _entries(narrations: Narrations, coding: Coding) -> list[Entry]:
    by_text = {narration.text: narration for narration in narrations.narrations}
    narrated = []
    # prefixes before pairs, each in alphabetical order, since sorting is stable
    for pair in sorted(coding.pairs, key=lambda pair: bool(pair.postfix)):
        source = vars(by_text[pair.narration])
        narrated.append(
            Entry(kind="pair", prefix=pair.prefix, **source) if pair.postfix else Entry(kind="prefix", **source)
        )
    postfixes = [Entry(text=text, kind="postfix", count=count) for text, count in coding.postfixes.items()]
    scenes = [Entry(text=label, kind="scene", videos=videos) for label, videos in narrations.scenes.items()]
    return [*narrated, *postfixes, *scenes]
