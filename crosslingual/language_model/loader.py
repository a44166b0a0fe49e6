"""Loader of packed rows, also of several languages mixed to a token budget: a batch depends only on its row numbers."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbone.errors import PolygraftError
from backbone.training.sampler import SampleOrder
from crosslingual.language_model.mixture import MixtureOptions, Portion, plan_tokens
from crosslingual.language_model.packing import Piece, pack_pieces
from crosslingual.language_model.token_shards import TokenShards

IGNORED = -100  # target of a place that has no token
Array = np.ndarray[Any, np.dtype[Any]]


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
    """The documents of a language in rows without padding; every token is predicted once. Satisfies `Batches`.

    Args:
        shards: the tokens.
        language: one of its languages.
        context: tokens predicted in each row.
    """

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

    One epoch is the whole plan: a language of 2.5 passes has every row twice, and half of its rows once more.

    Args:
        languages: the rows of each language, of one context.
        portions: of `plan_mixture`, for the same languages.
        seed: chooses the rows of the last pass.
    """

    def __init__(self, languages: Mapping[str, PackedDocuments], portions: Mapping[str, Portion], seed: int) -> None:
        if languages.keys() != portions.keys():
            raise PolygraftError(
                f"rows are given for {', '.join(languages)}, but the mixture is of {', '.join(portions)}: give the same"
            )
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

    A language without text has no part.

    Args:
        shards: the text.
        context: tokens in a row.
        budget: tokens; where all languages are read as often as may be, the stream is shorter.
        options: by what rule languages share the stream.
        sizes: bytes of each language, where the rule counts anything but tokens.
        weights: of the rule ``weights``.
        seed: chooses what is read once more than the rest.

    Raises:
        PolygraftError: see `crosslingual.language_model.mixture.plan_tokens`.
    """
    tokens = count_tokens(shards)
    portions = plan_tokens(tokens, sizes or {}, budget, options, weights=weights)
    return MixedDocuments({name: PackedDocuments(shards, name, context) for name in tokens}, portions, seed)
