"""Documents packed into rows of one length: no token is lost, and few documents are cut (Ding et al., 2024).

A document that is longer than a row is cut into whole rows and a rest. The pieces, longest first, each go to the row
with the least room that they fit into. Of the rows that are left with room, the emptiest are cut up to fill the others,
so that all but the last are full.
"""

from collections import defaultdict
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Piece = tuple[int, int]  # the first token of a piece of a document, and its length


def pack_pieces(starts: Array, lengths: Array, room: int) -> list[list[Piece]]:
    """Return the rows as lists of pieces; every token stands in exactly one.

    Args:
        starts: (documents,) the first token of each.
        lengths: (documents,) its tokens.
        room: tokens in a row.
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
