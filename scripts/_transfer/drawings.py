"""The plots of a transfer's report, each an inline SVG."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crosslingual.options import AlignmentOptions
from crosslingual.transfer.mixing_matrix import Mixing
from crosslingual.transfer.transfer import Evidence
from crosslingual.vectors.char_ngrams import Array
from crosslingual.vectors.dictionary import Matches
from crosslingual.vectors.procrustes import align, unit
from scripts._app.plots import inline_svg, pyplot

_READ, _FITTED, _SHOWN = 100_000, 5_000, 40  # pairs of the dictionary, and of these the most frequent words
_BLUE, _ORANGE = "#3b6ea5", "#d9822b"
_SIZE = (6.4, 3.2)


def draw_origins(origins: Mapping[str, int]) -> str:
    """Draw how many rows each way of making them has made."""
    plots = pyplot()
    names = list(origins)[::-1]
    figure, axes = plots.subplots(figsize=(6.4, 0.6 + 0.32 * len(names)))
    bars = axes.barh(names, [origins[name] for name in names], color=_BLUE)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.margins(x=0.12)
    axes.set_xlabel("rows")
    return inline_svg(figure)


def draw_weights(mixing: Mixing) -> str | None:
    """Draw the weight of the heaviest source in each row that has several; None if there is no such row."""
    rows = np.flatnonzero(np.diff(mixing.matrix.indptr) > 1)
    if not len(rows):
        return None
    heaviest = mixing.matrix[rows].max(axis=1).toarray().ravel()
    plots = pyplot()
    figure, axes = plots.subplots(figsize=_SIZE)
    axes.hist(heaviest, bins=np.linspace(0, max(1, heaviest.max()), 41), color=_BLUE)
    axes.set_xlabel("weight of the heaviest source token")
    axes.set_ylabel("rows")
    return inline_svg(figure)


def draw_norms(old: Array, new: Array) -> str:
    """Draw how long old and new rows are, both (n, d)."""
    lengths = [np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (old, new)]
    bins = np.linspace(0, max(1e-12, *(float(found.max()) for found in lengths)), 61)
    plots = pyplot()
    figure, axes = plots.subplots(figsize=_SIZE)
    for found, color, name in zip(lengths, (_BLUE, _ORANGE), ("old rows", "new rows"), strict=True):
        axes.hist(found, bins=bins, density=True, histtype="step", linewidth=1.6, color=color, label=name)
    axes.set_xlabel("Euclidean norm")
    axes.set_ylabel("density")
    axes.legend()
    return inline_svg(figure)


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Pairs of words on a plane."""

    words: tuple[tuple[str, str], ...]
    source: Array
    """(n, 2)"""
    target: Array
    """(n, 2)"""


def plane(evidence: Evidence, options: AlignmentOptions) -> Plane | None:
    """Return frequent pairs of the dictionary, aligned, on the two axes along which they vary most (PCA).

    The rotation is fitted to the most frequent 5,000 matches of 100,000 pairs and not refined: for the eye, at little
    cost.

    Args:
        evidence: vectors and dictionary; without them None is returned.
        options: of the alignment.
    """
    source, target, dictionary = evidence.source_vectors, evidence.target_vectors, evidence.dictionary
    if source is None or target is None or dictionary is None:
        return None
    some = replace(dictionary, pairs=dictionary.pairs[:: 1 + len(dictionary.pairs) // _READ])
    matches = some.matched(source, target, repeats=False)
    frequent = np.argsort(matches.source + matches.target, kind="stable")[:_FITTED]
    chosen = matches[frequent]
    x = source.vectors([source.words[number] for number in chosen.source])
    y = target.vectors([target.words[number] for number in chosen.target])
    rows = np.arange(len(chosen))
    fitted = align(x, y, Matches(source=rows, target=rows), _unrefined(options))
    x, y = unit(fitted.source(x))[:_SHOWN], unit(fitted.target(y))[:_SHOWN]
    both = np.concatenate([x, y]).astype(np.float64)
    _, _, axes = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
    placed = (both - both.mean(axis=0)) @ axes[:2].T
    words = tuple(
        (source.words[a], target.words[b]) for a, b in zip(chosen.source[:_SHOWN], chosen.target[:_SHOWN], strict=True)
    )
    return Plane(words=words, source=placed[: len(x)], target=placed[len(x) :])


def _unrefined(options: AlignmentOptions) -> AlignmentOptions:
    return AlignmentOptions(centre=options.centre, normalise=options.normalise, drop_worst=options.drop_worst)


def draw_plane(found: Plane) -> str:
    """Draw each pair as two points and a line."""
    plots = pyplot()
    figure, axes = plots.subplots(figsize=(6.4, 5.2))
    for words, *ends in zip(found.words, found.source, found.target, strict=True):
        axes.plot(*np.transpose(ends), color="#cccccc", linewidth=1, zorder=1)
        for word, place, color in zip(words, ends, (_BLUE, _ORANGE), strict=True):
            axes.text(*place, word, color=color, fontsize=8, parse_math=False, zorder=3)
    for places, color, name in ((found.source, _BLUE, "source"), (found.target, _ORANGE, "target")):
        axes.scatter(*places.T, s=9, color=color, label=name, zorder=2)
    axes.legend()
    axes.set_xlabel("first principal axis")
    axes.set_ylabel("second")
    return inline_svg(figure)


def rows_of(model: Any) -> Array:
    """Return the input embedding of a model, (V, d) float32."""
    rows: Array = model.get_input_embeddings().weight.detach().float().cpu().numpy()
    return rows
