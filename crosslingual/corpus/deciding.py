"""What of a whole language is kept: decided between the passes, by the facts of its texts and not by the texts.

Held in memory are two bytes for each text, and some 40 more for those of one language at a time; where near duplicates
are looked for four more for each, and 8 while a band of signatures is compared. Facts and signatures are mapped from
the disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosslingual.corpus.cleaning import FACT, read_facts, read_signatures
from crosslingual.corpus.compression import Tail, cut_tails
from crosslingual.corpus.duplicates import below, repeats
from crosslingual.corpus.near import WIDTH, clusters
from crosslingual.corpus.options import BuildOptions

Array = np.ndarray[Any, np.dtype[Any]]

FATES = ("train", "heldout", "duplicate", "compressible", "incompressible", "near_duplicate")
"""What becomes of a text that the first pass left: a split, or why it is dropped; in the order of the steps."""

TRAIN, HELDOUT, DUPLICATE, COMPRESSIBLE, INCOMPRESSIBLE, NEAR_DUPLICATE = range(len(FATES))


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of the texts of a language, in their order."""

    fates: Array
    """(n,) uint8, places in `FATES`."""
    sizes: Array
    """(n,) uint32, the texts in the cluster of near duplicates that each belongs to, itself among them."""
    tails: tuple[Tail, ...]
    """Bounds of the compression ratio."""


def decide(parts: Mapping[str, Sequence[Path]], options: BuildOptions, scratch: Path) -> dict[str, Decision]:
    """Decide about the texts of all languages.

    Args:
        parts: the parts of each language, in their order.
        options: what is dropped.
        scratch: a folder for signatures of a language on end.
    """

    def keys() -> Iterator[Array]:
        # read anew each time, so that those of one part are in memory at a time
        return (read_facts(part)["key"] for paths in parts.values() for part in paths)

    if options.exact == "off":
        twice = np.zeros(sum(map(len, keys())), dtype=bool)
    else:
        twice = repeats(keys, drop_all=options.exact == "drop-all")
    decisions: dict[str, Decision] = {}
    start = 0
    for language, paths in parts.items():
        table = np.concatenate([np.empty(0, dtype=FACT), *map(read_facts, paths)])
        fates = np.where(twice[start : start + len(table)], np.uint8(DUPLICATE), np.uint8(TRAIN))
        decisions[language] = _decide(table, fates, paths, options, scratch)
        start += len(table)
    return decisions


def _decide(table: Array, fates: Array, parts: Sequence[Path], options: BuildOptions, scratch: Path) -> Decision:
    tails: list[Tail] = []
    if options.tails:
        kept = np.flatnonzero(fates == TRAIN)
        low, high, tails = cut_tails(table["ratio"][kept], table["size"][kept], options.tails)
        fates[kept[low]] = COMPRESSIBLE
        fates[kept[high]] = INCOMPRESSIBLE
    roots = kept = np.flatnonzero(fates == TRAIN)
    sizes: Array = np.broadcast_to(np.uint32(1), len(table))  # which takes no memory
    if options.near != "off" and len(kept):
        roots = kept[_roots(parts, kept, options.near_similarity, scratch)]
        sizes = np.ones(len(table), dtype=np.uint32)
        sizes[kept] = np.bincount(roots, minlength=len(table))[roots]
        if options.near == "drop":
            fates[kept[roots != kept]] = NEAR_DUPLICATE
            roots = kept = kept[roots == kept]
    # a cluster goes where its first text goes, so that no text is trained on and held out in other words
    fates[kept[_held_out(table["key"][roots], options)]] = HELDOUT
    return Decision(fates=fates, sizes=sizes, tails=tuple(tails))


def _roots(parts: Sequence[Path], kept: Array, similarity: float, scratch: Path) -> Array:
    """Return for each kept text the first kept text of its cluster, as a place among the kept."""
    joined = scratch / "signatures.joined"
    start = 0
    with joined.open("wb") as file:
        for part in parts:
            signed = read_signatures(part)
            inside = kept[(kept >= start) & (kept < start + len(signed))] - start
            file.write(signed[inside].tobytes())
            start += len(signed)
    try:
        return clusters(np.memmap(joined, dtype=np.uint32, mode="r").reshape(-1, WIDTH), similarity)
    finally:
        joined.unlink()


def _held_out(keys: Array, options: BuildOptions) -> Array:
    """Choose by the hash of the text, so that a text stays where it is when a corpus grows.

    Of a small language at least one text is held out, and one is trained on.
    """
    chosen = below(keys, options.heldout, options.split_seed)
    distinct = np.unique(keys)
    if options.heldout and not chosen.any() and len(distinct) > 1:
        chosen = keys == distinct[0]
    if chosen.all() and len(distinct) > 0:
        chosen = np.zeros(len(keys), bool) if len(distinct) == 1 else keys == distinct[0]
    return chosen
