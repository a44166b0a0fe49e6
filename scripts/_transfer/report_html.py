"""The report of a transfer as a self-contained HTML page: tables, and one figure as inline SVG."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from crosslingual.arrays import Array
from scripts._app.plots import inline_svg, pyplot
from scripts._transfer.output import alignment_sentence, sample_rows, script_rows, shares

if TYPE_CHECKING:
    from scripts._transfer.output import Transferred

_TEMPLATE = Path(__file__).with_name("report.html")
_BLUE, _ORANGE = "#3b6ea5", "#d9822b"


def as_page(transferred: "Transferred", facts: Mapping[str, Any]) -> str:
    """Return the page; every text in it is escaped."""
    # tokens, file names and settings are strings of others; the figure alone is not escaped again after matplotlib
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        facts=facts,
        alignment=facts["alignment"] and alignment_sentence(facts["alignment"]),
        figure=_figure(transferred, facts),
        missing=shares(facts, "without_vector"),
        scripts=script_rows(facts),
        samples=sample_rows(facts),
        settings=transferred.settings,
    )


def _figure(transferred: "Transferred", facts: Mapping[str, Any]) -> str:
    matrix = transferred.mixing.matrix
    mixed = np.flatnonzero(np.diff(matrix.indptr) > 1)
    count = 3 if len(mixed) else 2
    figure, axes = pyplot().subplots(count, figsize=(6.4, 3.6 * count), layout="constrained")
    names = list(facts["origins"])[::-1]
    bars = axes[0].barh(names, [facts["origins"][name] for name in names], color=_BLUE)
    axes[0].bar_label(bars, fmt="{:,.0f}", padding=3)
    axes[0].margins(x=0.12)
    axes[0].set(title="How the rows were made", xlabel="rows")
    old, new = _norms(transferred.source.model), _norms(transferred.result.model)
    bins = np.linspace(0, max(1e-12, old.max(), new.max()), 61)
    for found, color, name in ((old, _BLUE, "old rows"), (new, _ORANGE, "new rows")):
        axes[1].hist(found, bins=bins, density=True, histtype="step", linewidth=1.6, color=color, label=name)
    axes[1].set(title="Length of the rows, old and new", xlabel="Euclidean norm", ylabel="density")
    axes[1].legend()
    if len(mixed):
        heaviest = matrix[mixed].max(axis=1).toarray().ravel()
        axes[2].hist(heaviest, bins=np.linspace(0, max(1, heaviest.max()), 41), color=_BLUE)
        axes[2].set(title="How much a row leans on its heaviest source", xlabel="weight", ylabel="rows")
    return inline_svg(figure)


def _norms(model: Any) -> Array:
    rows = model.get_input_embeddings().weight.detach().float().cpu().numpy()
    norms: Array = np.linalg.norm(rows.astype(np.float64), axis=1)
    return norms
