"""How spaCy keeps which word has which vector: a msgpack map from the hash of a word to its row."""

import struct

_MASK = 2**64 - 1
_MULTIPLIER = 0xC6A4A7935BD1E995


def key_of(word: str, seed: int = 1) -> int:
    """Return spaCy's key of a word: MurmurHash64A of its UTF-8 bytes."""
    data = word.encode("utf-8", "surrogatepass")
    value = seed ^ (len(data) * _MULTIPLIER & _MASK)
    whole = len(data) // 8 * 8
    for (block,) in struct.iter_unpack("<Q", data[:whole]):
        block = block * _MULTIPLIER & _MASK
        block = (block ^ (block >> 47)) * _MULTIPLIER & _MASK
        value = (value ^ block) * _MULTIPLIER & _MASK
    if len(data) > whole:
        value = (value ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ (value >> 47)) * _MULTIPLIER & _MASK
    return value ^ (value >> 47)


def read_keys(data: bytes) -> dict[int, int]:
    """Read a msgpack map of whole numbers.

    Raises:
        ValueError: it is truncated or something else.
    """
    try:
        count, position = _map_size(data)
        numbers = []
        for _ in range(2 * count):
            number, position = _number(data, position)
            numbers.append(number)
    except (IndexError, struct.error) as error:
        raise ValueError("key2row is truncated") from error
    return dict(zip(numbers[::2], numbers[1::2], strict=True))


def _map_size(data: bytes) -> tuple[int, int]:
    kind = data[0]
    if kind & 0xF0 == 0x80:
        return kind & 0x0F, 1
    if kind in (0xDE, 0xDF):
        size = 2 if kind == 0xDE else 4
        return int.from_bytes(data[1 : 1 + size], "big"), 1 + size
    raise ValueError("key2row is no map")


def _number(data: bytes, position: int) -> tuple[int, int]:
    kind = data[position]
    if kind < 0x80:
        return kind, position + 1
    if kind >= 0xE0:
        return kind - 256, position + 1
    if 0xCC <= kind <= 0xD3:
        size = 1 << (kind - 0xCC) % 4
        field = data[position + 1 : position + 1 + size]
        if len(field) < size:
            raise IndexError
        return int.from_bytes(field, "big", signed=kind >= 0xD0), position + 1 + size
    raise ValueError("key2row holds something else than whole numbers")
