"""The report of a transfer as a self-contained HTML page: tables, and one figure as inline SVG."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from crosslingual.arrays import Array
from crosslingual.options import AlignmentOptions
from crosslingual.vectors.dictionary import Matches
from crosslingual.vectors.procrustes import align, unit
from crosslingual.vocabulary_transfer.inputs import Evidence
from scripts._app.plots import inline_svg, pyplot
from scripts._transfer.output import alignment_sentence, sample_rows, script_rows, shares

if TYPE_CHECKING:
    from scripts._transfer.output import Transferred

_TEMPLATE = Path(__file__).with_name("report.html")
_READ, _FITTED, _SHOWN = 100_000, 5_000, 40  # pairs of the dictionary, and of these the most frequent words
_BLUE, _ORANGE = "#3b6ea5", "#d9822b"

Pairs = tuple[list[tuple[str, str]], Array, Array]


def as_page(transferred: "Transferred", facts: Mapping[str, Any]) -> str:
    """Return the page; every text in it is escaped."""
    # autoescape: tokens, file names and settings are strings of others
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        facts=facts,
        alignment=facts["alignment"] and alignment_sentence(facts["alignment"]),
        figure=Markup(_figure(transferred, facts)),  # matplotlib escapes the text in it
        missing=shares(facts, "without_vector"),
        scripts=script_rows(facts),
        samples=sample_rows(facts),
        settings=transferred.settings,
    )


def _figure(transferred: "Transferred", facts: Mapping[str, Any]) -> str:
    panels: list[Callable[[Any], None]] = [partial(_draw_origins, facts["origins"])]
    matrix = transferred.mixing.matrix
    mixed = np.flatnonzero(np.diff(matrix.indptr) > 1)
    if len(mixed):
        panels.append(partial(_draw_weights, matrix[mixed].max(axis=1).toarray().ravel()))
    panels.append(partial(_draw_norms, _norms(transferred.source.model), _norms(transferred.result.model)))
    alignment = AlignmentOptions(**transferred.settings["alignment"])
    if pairs := _frequent_pairs(transferred.evidence, alignment):
        panels.append(partial(_draw_pairs, pairs))
    size = (6.4, 3.6 * len(panels))
    figure, axes = pyplot().subplots(len(panels), figsize=size, squeeze=False, layout="constrained")
    for draw, place in zip(panels, axes[:, 0], strict=True):
        draw(place)
    return inline_svg(figure)


def _norms(model: Any) -> Array:
    rows = model.get_input_embeddings().weight.detach().float().cpu().numpy()
    norms: Array = np.linalg.norm(rows.astype(np.float64), axis=1)
    return norms


def _draw_origins(origins: Mapping[str, int], axes: Any) -> None:
    names = list(origins)[::-1]
    bars = axes.barh(names, [origins[name] for name in names], color=_BLUE)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.margins(x=0.12)
    axes.set(title="How the rows were made", xlabel="rows")


def _draw_weights(heaviest: Array, axes: Any) -> None:
    axes.hist(heaviest, bins=np.linspace(0, max(1, heaviest.max()), 41), color=_BLUE)
    axes.set(title="How much a row leans on its heaviest source", xlabel="weight", ylabel="rows")


def _draw_norms(old: Array, new: Array, axes: Any) -> None:
    bins = np.linspace(0, max(1e-12, old.max(), new.max()), 61)
    for found, color, name in ((old, _BLUE, "old rows"), (new, _ORANGE, "new rows")):
        axes.hist(found, bins=bins, density=True, histtype="step", linewidth=1.6, color=color, label=name)
    axes.set(title="Length of the rows, old and new", xlabel="Euclidean norm", ylabel="density")
    axes.legend()


def _draw_pairs(pairs: Pairs, axes: Any) -> None:
    """Draw each pair as two points and a line."""
    words, source, target = pairs
    for both, *ends in zip(words, source, target, strict=True):
        axes.plot(*np.transpose(ends), color="#cccccc", linewidth=1, zorder=1)
        for word, place, color in zip(both, ends, (_BLUE, _ORANGE), strict=True):
            axes.text(*place, word, color=color, fontsize=8, parse_math=False, zorder=3)
    for places, color, name in ((source, _BLUE, "source"), (target, _ORANGE, "target")):
        axes.scatter(*places.T, s=9, color=color, label=name, zorder=2)
    axes.legend()
    axes.set(title="Pairs of the dictionary, aligned", xlabel="first principal axis", ylabel="second")


def _frequent_pairs(evidence: Evidence, options: AlignmentOptions) -> Pairs | None:
    """Return frequent pairs of the dictionary: words and places of both sides, (n, 2) each, on the axes of a PCA."""
    source, target, dictionary = evidence.source_vectors, evidence.target_vectors, evidence.dictionary
    if source is None or target is None or dictionary is None:
        return None
    # fitted to few pairs and not refined: for the eye, at little cost
    some = replace(dictionary, pairs=dictionary.pairs[:: 1 + len(dictionary.pairs) // _READ])
    matches = some.matched(source, target, repeats=False)
    # words stand in order of frequency
    chosen = matches[np.argsort(matches.source + matches.target, kind="stable")[:_FITTED]]
    words = [(source.words[a], target.words[b]) for a, b in zip(chosen.source, chosen.target, strict=True)]
    x, y = source.vectors([a for a, _ in words]), target.vectors([b for _, b in words])
    rows = np.arange(len(words))
    fitted = align(x, y, Matches(source=rows, target=rows), replace(options, refine=0))
    x, y = unit(fitted.source(x))[:_SHOWN], unit(fitted.target(y))[:_SHOWN]
    both = np.concatenate([x, y]).astype(np.float64)
    _, _, axes = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
    placed = (both - both.mean(axis=0)) @ axes[:2].T
    return words[:_SHOWN], placed[: len(x)], placed[len(x) :]
