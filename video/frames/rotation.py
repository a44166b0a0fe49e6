"""Which way up a frame is, as telephones video on their side and say so beside the pixels."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

# What a display matrix does to an image, by the signs of its a, b, c and d, and what Pillow calls that.
_TURNS = {
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_SIDEWAYS = frozenset(turn for (a, *_), turn in _TURNS.items() if not a)


def turn_of(side_data: Iterable[Any]) -> Image.Transpose | None:
    """Return how a frame with this side data of PyAV is to be turned; None: it is upright."""
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":  # nine 32-bit numbers, the first two rows of it with 16 binary places
            a, b, _, c, d = (round(number / 65536) for number in np.frombuffer(data, dtype=np.int32)[:5].tolist())
            return _TURNS.get((a, b, c, d))
    return None


def turned_size(size: tuple[int, int], turn: Image.Transpose | None) -> tuple[int, int]:
    """Return the size of an image after it was turned."""
    return size[::-1] if turn in _SIDEWAYS else size
