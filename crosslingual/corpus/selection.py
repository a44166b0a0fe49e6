"""Stage 2: deduplication and filter decisions from per-document statistics, one language at a time.

Exact duplicates are found by 64-bit hashes of repaired texts. Memory: a byte for each text, about twenty bytes for
each text of the current language, forty more with near-duplicate search. All else is on disk.

Boilerplate compresses too well, noise too badly (mGPT, Shliazhko et al., 2022). mGPT's thresholds were not published. A
short text compresses badly whatever it says, and an alphabet of two bytes a letter compresses better than one of one
byte, so that thresholds are quantiles within a language and a length.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from crosslingual.arrays import Array, mix
from crosslingual.corpus.clean import read_facts, read_signatures
from crosslingual.corpus.minhash import WIDTH, clusters
from crosslingual.options import BuildOptions

_RANGE = 1 << 20  # keys that are compared at a time, about
_MOST_BITS = 8  # files are open at a time, of which a process may have some hundreds
_PLACED = np.dtype([("key", "<u8"), ("place", "<u8")])


def find_repeats(keys: Iterable[Array], count: int, scratch: Path, *, drop_all: bool) -> Array:
    """Return which texts go so that none stands twice, (count,) bool.

    Keys are sorted into files by their range and compared a range at a time, so that beside the answer no more than
    some millions are held in memory. The disk holds 16 bytes for each meanwhile.

    Args:
        keys: Pieces of (n,) uint64 of `text_key`; the earlier of two equal texts is the first.
        count: How many they are in all.
        scratch: A folder for the files.
        drop_all: Drop every text that stands twice or more, and not all but the first.
    """
    found = np.zeros(count, dtype=bool)
    folder = scratch / "hashes"
    shutil.rmtree(folder, ignore_errors=True)  # of a build that was killed here
    folder.mkdir()
    for path in _spread(keys, folder, min((count // _RANGE).bit_length(), _MOST_BITS)):
        placed = np.fromfile(path, dtype=_PLACED)
        found[placed["place"]] = _repeats(placed["key"], drop_all=drop_all)
    shutil.rmtree(folder)
    return found


def _spread(keys: Iterable[Array], folder: Path, bits: int) -> list[Path]:
    """Write keys and their places into a file for each value of their first bits, which hashes fill alike."""
    paths = [folder / str(number) for number in range(1 << bits)]
    start = 0
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for piece in keys:
            ranges = piece >> np.uint64(32) >> np.uint64(32 - bits)  # in two steps: a shift by all 64 is undefined
            order = np.argsort(ranges, kind="stable")
            placed = np.empty(len(piece), dtype=_PLACED)
            placed["key"], placed["place"] = piece[order], start + order
            bounds = np.searchsorted(ranges[order], np.arange(len(files) + 1, dtype=np.uint64))
            for file, (begin, stop) in zip(files, pairwise(bounds.tolist()), strict=True):
                file.write(placed[begin:stop].tobytes())
            start += len(piece)
    return paths


def _repeats(keys: Array, *, drop_all: bool) -> Array:
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    as_before = np.zeros(len(keys), dtype=bool)
    as_before[1:] = ordered[1:] == ordered[:-1]
    gone = as_before.copy()
    if drop_all:
        gone[:-1] |= as_before[1:]
    result = np.empty(len(keys), dtype=bool)
    result[order] = gone
    return result


def below(keys: Array, share: float, seed: int) -> Array:
    """Return which keys fall among ``share`` of all possible ones, (n,) bool, by a choice that ``seed`` makes."""
    return mix(keys ^ mix(np.array([seed], dtype=np.uint64))) < np.uint64(share * 2**63) * np.uint64(2)


FATES = ("train", "heldout", "duplicate", "compressible", "incompressible", "near_duplicate")
"""What becomes of a text that the first pass left: a split, or why it is dropped; in the order of the steps."""

TRAIN, HELDOUT, DUPLICATE, COMPRESSIBLE, INCOMPRESSIBLE, NEAR_DUPLICATE = range(len(FATES))
DECIDED = np.dtype([("fate", "u1"), ("cluster", "<u4")])
"""A place in `FATES`, and the texts in the cluster of near duplicates that a text belongs to, itself among them."""

_FILE = "decided.bin"


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The bounds of one length of text: sizes from 2^``bucket`` bytes up to twice as many."""

    bucket: int
    documents: int
    low: float  # documents whose compressed size is a smaller share of their size are cut
    high: float  # those with a greater share are cut too


def decide(parts: Mapping[str, Sequence[Path]], options: BuildOptions, scratch: Path) -> dict[str, tuple[Tail, ...]]:
    """Decide about the texts of all languages; what is decided lies in their parts, for `read_decided`.

    Returns:
        For each language the bounds of the compression ratio.
    """
    languages = {language: _Texts(own) for language, own in parts.items()}
    count = sum(texts.count for texts in languages.values())
    twice = np.zeros(count, dtype=bool)
    if options.exact != "off":
        keys = (facts["key"] for texts in languages.values() for facts, _ in texts.facts())
        twice = find_repeats(keys, count, scratch, drop_all=options.exact == "drop-all")
    tails: dict[str, tuple[Tail, ...]] = {}
    start = 0
    for language, texts in languages.items():
        fates = np.where(twice[start : start + texts.count], np.uint8(DUPLICATE), np.uint8(TRAIN))
        tails[language] = _decide(texts, fates, options, scratch)
        start += texts.count
    return tails


def read_decided(part: Path) -> Array:
    """Return what was decided about the texts of a part, (n,) of `DECIDED`."""
    return np.fromfile(part / _FILE, dtype=DECIDED)


class _Texts:
    """The texts of a language, of which one part is read at a time."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._ends = np.cumsum([0, *(len(read_facts(part)) for part in parts)]).tolist()
        self._parts = parts
        self.count: int = self._ends[-1]

    def spans(self) -> Iterator[tuple[Path, slice]]:
        """Yield each part, and where its texts stand among all."""
        for number, part in enumerate(self._parts):
            yield part, slice(*self._ends[number : number + 2])

    def facts(self) -> Iterator[tuple[Array, slice]]:
        """Yield the facts of each part, and where its texts stand among all."""
        return ((read_facts(part), span) for part, span in self.spans())


def _decide(texts: _Texts, fates: Array, options: BuildOptions, scratch: Path) -> tuple[Tail, ...]:
    """Decide about the texts of a language; ``fates``, (n,) uint8, is changed in place."""
    tails = _cut_tails(texts, fates, options.tails) if options.tails else ()
    leaders = fates == TRAIN
    sizes: Array = np.broadcast_to(np.uint32(1), len(fates))  # which takes no memory
    first: Array | slice = slice(None)
    if options.near != "off":
        first, sizes = _clustered(texts, leaders, options.near_similarity, scratch)
        leaders &= first == np.arange(len(first))
        if options.near == "drop":
            fates[(fates == TRAIN) & ~leaders] = NEAR_DUPLICATE
    # a cluster goes where its first text goes, so that no text is trained on and held out in other words
    held = _held_out(texts, leaders, options)[first]
    fates[held & (fates == TRAIN)] = HELDOUT
    for part, span in texts.spans():
        decided = np.empty(span.stop - span.start, dtype=DECIDED)
        decided["fate"], decided["cluster"] = fates[span], sizes[span]
        (part / _FILE).write_bytes(decided.tobytes())
    return tails


def _cut_tails(texts: _Texts, fates: Array, share: float) -> tuple[Tail, ...]:
    def kept(name: str) -> Array:
        return np.concatenate([facts[name][fates[span] == TRAIN] for facts, span in texts.facts()])

    tails = find_tails(kept("ratio"), kept("size"), share)
    for facts, span in texts.facts():
        own = fates[span]
        low, high = outside(facts["ratio"], facts["size"], tails)
        own[low & (own == TRAIN)] = COMPRESSIBLE
        own[high & (own == TRAIN)] = INCOMPRESSIBLE
    return tails


def _clustered(texts: _Texts, among: Array, similarity: float, scratch: Path) -> tuple[Array, Array]:
    """Return the first text of the cluster of each text, (n,) int64, and the size of the cluster, (n,) uint32."""
    joined = scratch / "signatures.joined"
    with joined.open("wb") as file:
        for part, span in texts.spans():
            file.write(read_signatures(part)[among[span]].tobytes())
    places = np.flatnonzero(among)
    first = np.arange(len(among))
    if len(places):
        first[places] = places[clusters(np.memmap(joined, dtype=np.uint32, mode="r").reshape(-1, WIDTH), similarity)]
    joined.unlink()
    return first, np.bincount(first, minlength=len(first))[first].astype(np.uint32)


def _held_out(texts: _Texts, among: Array, options: BuildOptions) -> Array:
    """Choose by the hash of the text, so that a text stays where it is when a corpus grows; return (n,) bool.

    Of a small language at least one text is held out, and one is trained on.
    """
    held = np.zeros(texts.count, dtype=bool)
    for facts, span in texts.facts():
        held[span] = among[span] & below(facts["key"], options.heldout, options.split_seed)
    if not (options.heldout and among.any()) or (held.any() and (held != among).any()):
        return held
    keys = np.concatenate([facts["key"] for facts, _ in texts.facts()])
    least = among & (keys == keys[among].min())
    return least if (least != among).any() else np.zeros_like(least)


_BUCKETS = 32  # sizes are below 2^32


def find_tails(ratios: Array, sizes: Array, share: float) -> tuple[Tail, ...]:
    """Return the bounds of each length: at most ``share`` of its texts falls at each end; ties stay.

    Fewer than 1 / ``share`` texts of a length all stay.

    Args:
        ratios: The `compression_ratio` of each text, (n,) float32.
        sizes: The bytes of each, at least 1, (n,).
        share: A share between 0 and 0.5.
    """
    buckets, tails = _bucket(sizes), []
    for bucket in np.unique(buckets).tolist():
        own = np.sort(ratios[buckets == bucket])
        cut = int(share * len(own))
        tails.append(Tail(bucket=bucket, documents=len(own), low=float(own[cut]), high=float(own[-1 - cut])))
    return tuple(tails)


def _bucket(sizes: Array) -> Array:
    return np.frexp(sizes.astype(np.float64))[1] - 1


def outside(ratios: Array, sizes: Array, tails: Sequence[Tail]) -> tuple[Array, Array]:
    """Return which texts are too compressible, and which too incompressible, (n,) bool each."""
    low, high = np.zeros(_BUCKETS, dtype=np.float32), np.full(_BUCKETS, np.inf, dtype=np.float32)
    for tail in tails:
        low[tail.bucket], high[tail.bucket] = tail.low, tail.high
    buckets = _bucket(sizes)
    return ratios < low[buckets], ratios > high[buckets]
