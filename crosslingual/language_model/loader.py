"""Loader of rows packed with documents of one or several languages; a batch depends only on its row numbers.

No token is lost, and few documents are cut (Ding et al., 2024). What is left of documents longer than a row, longest
first, goes to the row with the least room that it fits into; the emptiest rows are cut up to fill the others.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbone.errors import PolygraftError
from backbone.training.sampler import SampleOrder
from crosslingual.arrays import Array
from crosslingual.language_model.mixture import Portion, plan_tokens
from crosslingual.language_model.token_shards import TokenShards
from crosslingual.options import MixtureOptions

Piece = tuple[int, int]  # the first token of a piece of a document, and its length


def pack_pieces(starts: Array, lengths: Array, room: int) -> list[list[Piece]]:
    """Return rows of ``room`` tokens as lists of pieces; every token stands in exactly one.

    Documents are given by the first token of each and its length, (documents,).
    """
    rows, rests = _cut(starts.tolist(), lengths.tolist(), room)
    packed = _best_fit(rests, room)
    return rows + _fill(packed, room)


def _cut(starts: list[int], lengths: list[int], room: int) -> tuple[list[list[Piece]], list[Piece]]:
    """Return the rows that documents fill alone, and what is left of each document."""
    rows, rests = [], []
    for start, length in zip(starts, lengths, strict=True):
        whole = length // room * room
        rows += [[(place, room)] for place in range(start, start + whole, room)]
        if length > whole:
            rests.append((start + whole, length - whole))
    return rows, rests


def _best_fit(pieces: list[Piece], room: int) -> list[list[Piece]]:
    rows: list[list[Piece]] = []
    open_rows: dict[int, list[int]] = defaultdict(list)  # rows by the room that is left
    rooms = 0  # bit n is set where a row has room for n more: the fit is the lowest bit from the length on
    for piece in sorted(pieces, key=lambda piece: (-piece[1], piece[0])):
        length = piece[1]
        fitting = rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            row = open_rows[left].pop()
            rooms &= ~(0 if open_rows[left] else 1 << left)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(piece)
        if left > length:
            open_rows[left - length].append(row)
            rooms |= 1 << (left - length)
    return rows


def _fill(rows: list[list[Piece]], room: int) -> list[list[Piece]]:
    """Fill the rows that have room, fullest first, with pieces cut from the emptiest."""

    def used(row: list[Piece]) -> int:
        return sum(length for _, length in row)

    full = [row for row in rows if used(row) == room]
    loose = sorted((row for row in rows if used(row) < room), key=lambda row: (used(row), row))
    supply: list[Piece] = []
    while loose:
        row = loose.pop()
        left = room - used(row)
        while left and (supply or loose):
            if not supply:
                supply = loose.pop(0)[::-1]
            start, length = supply.pop()
            taken = min(left, length)
            row.append((start, taken))
            left -= taken
            if length > taken:
                supply.append((start + taken, length - taken))
        full.append(row)
    return full + ([supply[::-1]] if supply else [])


IGNORED = -100  # target of a place that has no token


class PackedBatch(NamedTuple):
    """Rows of pieces of documents, (B, context) int64 on the CPU but for the last."""

    inputs: Tensor  # the token before each target; the end-of-text token before the first of a document
    targets: Tensor  # what is to be predicted; `IGNORED` where a row has ended
    documents: Tensor  # number of the piece within its row, for `document_mask`; -1 where a row has ended
    positions: Tensor  # place within the piece, from 0
    languages: Tensor  # (B,): number of the language of each row


def document_mask(documents: Tensor) -> Tensor:
    """Return where a position may look, (B, 1, context, context) bool: back, within its own piece of a document."""
    same = documents[:, :, None] == documents[:, None, :]
    return torch.tril(same)[:, None]


class PackedDocuments:
    """The documents of a language in rows without padding; every token is predicted once. Satisfies `Batches`."""

    def __init__(self, shards: TokenShards, language: str, context: int) -> None:
        if language not in shards.shards:
            raise PolygraftError(f"{shards.folder} holds no {language!r}: it has {', '.join(shards.shards)}")
        self._maps = shards.maps(language)
        self._bos = shards.bos
        self.context = context
        self.digest = hashlib.sha256(f"{shards.digest} {language} {context}".encode()).hexdigest()

    @cached_property
    def _rows(self) -> list[tuple[int, list[Piece]]]:
        """The shard and the pieces of each row: a row is packed from one shard, whose documents are read together."""
        return [
            (number, row)
            for number, (_, ends) in enumerate(self._maps)
            for row in pack_pieces(np.concatenate([[0], ends[:-1]]), np.diff(ends, prepend=0), self.context)
        ]

    def __len__(self) -> int:
        return len(self._rows)

    def collate(self, indices: Sequence[int]) -> PackedBatch:
        """Return the rows of these numbers."""
        fill = (self._bos, IGNORED, -1, 0)
        columns = [np.full((len(indices), self.context), value, dtype=np.int64) for value in fill]
        for place, index in enumerate(indices):
            self._fill(index, *(column[place] for column in columns))
        alone = np.zeros(len(indices), dtype=np.int64)  # among one language
        return PackedBatch(*map(torch.from_numpy, [*columns, alone]))

    def _fill(self, index: int, inputs: Array, targets: Array, documents: Array, positions: Array) -> None:
        shard, row = self._rows[index]
        tokens, _ = self._maps[shard]
        done = 0
        for number, (start, length) in enumerate(row):
            part = slice(done, done + length)
            targets[part] = tokens[start : start + length]
            # what stands before a document is the end of another, the same token as begins a text
            inputs[done] = tokens[start - 1] if start else self._bos
            inputs[done + 1 : done + length] = tokens[start : start + length - 1]
            documents[part] = number
            positions[part] = np.arange(length)
            done += length


class MixedDocuments:
    """Packed rows of several languages, each read as often as a mixture says. Satisfies `Batches`.

    One epoch is the whole plan: a language of 2.5 passes has every row twice, and half of its rows, which ``seed``
    chooses, once more. The portions are those of `plan_tokens` for the same languages.
    """

    def __init__(self, languages: Mapping[str, PackedDocuments], portions: Mapping[str, Portion], seed: int) -> None:
        self.languages = tuple(languages)
        self._rows = list(languages.values())
        self.context = self._rows[0].context
        counts = [max(round(portions[name].passes * len(rows)), 1) for name, rows in languages.items()]
        self._ends = np.cumsum(counts)
        self._orders = [SampleOrder(len(rows), seed, rows.digest) for rows in self._rows]
        named = " ".join(f"{rows.digest} {count}" for rows, count in zip(self._rows, counts, strict=True))
        self.digest = hashlib.sha256(f"{named} {seed}".encode()).hexdigest()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def collate(self, indices: Sequence[int]) -> PackedBatch:
        """Return the rows of these numbers."""
        rows = [self._row(index) for index in indices]
        return PackedBatch(*(torch.cat(columns) for columns in zip(*rows, strict=True)))

    def _row(self, index: int) -> PackedBatch:
        language = int(np.searchsorted(self._ends, index, side="right"))
        place = index - (int(self._ends[language - 1]) if language else 0)
        row = self._rows[language].collate(self._orders[language].take(place, place + 1))
        return row._replace(languages=torch.tensor([language]))


def count_tokens(shards: TokenShards) -> dict[str, int]:
    """Return the tokens of each language that has any."""
    counts = {language: sum(len(ids) for ids, _ in shards.maps(language)) for language in shards.shards}
    return {language: count for language, count in counts.items() if count}


def mix_languages(
    shards: TokenShards,
    context: int,
    budget: float,
    options: MixtureOptions,
    *,
    sizes: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
) -> MixedDocuments:
    """Return the rows of a stream of ``budget`` tokens.

    Where all languages are read as often as may be, the stream is shorter. A language without text has no part. For
    other arguments and errors see `crosslingual.language_model.mixture.plan_tokens`.
    """
    tokens = count_tokens(shards)
    portions = plan_tokens(tokens, sizes or {}, budget, options, weights=weights)
    return MixedDocuments({name: PackedDocuments(shards, name, context) for name in tokens}, portions, seed)
