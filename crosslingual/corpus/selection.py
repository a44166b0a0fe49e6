"""Stage 2: deduplication and filter decisions from per-document statistics, one language at a time.

Memory: one bit for each text, about six bytes for each text of the current language, forty more with near-duplicate
search. Statistics, signatures and decisions are on disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosslingual.corpus.clean import read_facts, read_signatures
from crosslingual.corpus.compression import Tail, find_tails, outside
from crosslingual.corpus.exact_dedup import Repeats, below, find_repeats
from crosslingual.corpus.minhash import WIDTH, clusters
from crosslingual.corpus.options import BuildOptions

Array = np.ndarray[Any, np.dtype[Any]]
FATES = ("train", "heldout", "duplicate", "compressible", "incompressible", "near_duplicate")
"""What becomes of a text that the first pass left: a split, or why it is dropped; in the order of the steps."""

TRAIN, HELDOUT, DUPLICATE, COMPRESSIBLE, INCOMPRESSIBLE, NEAR_DUPLICATE = range(len(FATES))
DECIDED = np.dtype([("fate", "u1"), ("cluster", "<u4")])
"""A place in `FATES`, and the texts in the cluster of near duplicates that a text belongs to, itself among them."""

_FILE = "decided.bin"


def decide(parts: Mapping[str, Sequence[Path]], options: BuildOptions, scratch: Path) -> dict[str, tuple[Tail, ...]]:
    """Decide about the texts of all languages; what is decided lies in their parts, for `read_decided`.

    Args:
        parts: the parts of each language, in their order.
        options: what is dropped.
        scratch: a folder for what is sorted.

    Returns:
        For each language the bounds of the compression ratio.
    """
    languages = {language: _Texts(own) for language, own in parts.items()}
    count = sum(texts.count for texts in languages.values())
    twice = Repeats(count)
    if options.exact != "off":
        keys = (facts["key"] for texts in languages.values() for facts, _ in texts.facts())
        twice = find_repeats(keys, count, scratch, drop_all=options.exact == "drop-all")
    tails: dict[str, tuple[Tail, ...]] = {}
    start = 0
    for language, texts in languages.items():
        fates = np.where(twice.between(start, start + texts.count), np.uint8(DUPLICATE), np.uint8(TRAIN))
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
    """Decide about the texts of a language.

    Args:
        texts: these.
        fates: (n,) uint8, changed in place.
        options: what is dropped.
        scratch: a folder for signatures on end.
    """
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
    def kept() -> Iterator[tuple[Array, Array]]:
        for facts, span in texts.facts():
            own = facts[fates[span] == TRAIN]
            yield own["ratio"], own["size"]

    tails = find_tails(kept, share)
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
