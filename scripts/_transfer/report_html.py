"""The report of a transfer as a self-contained HTML page with inline SVG plots."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from crosslingual.options import AlignmentOptions
from crosslingual.vectors.char_ngrams import Array
from crosslingual.vectors.dictionary import Matches
from crosslingual.vectors.procrustes import align, unit
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from crosslingual.vocabulary_transfer.transfer import Evidence
from scripts._app.plots import inline_svg, pyplot
from scripts._transfer.report_text import alignment_sentence, sample_rows, script_rows

if TYPE_CHECKING:
    from scripts._transfer.output import Transferred


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
    source: Array  # (n, 2)
    target: Array  # (n, 2)


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


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.15rem; margin-top: 2rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100% }}
th, td {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top;
  overflow-wrap: anywhere }}
.numbers td + td, .numbers th + th {{ text-align: right }}
svg {{ max-width: 100%; height: auto }}
</style></head><body>
"""


def as_page(transferred: "Transferred", facts: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        transferred: The model and its record.
        facts: of `scripts._transfer.report_text.as_dict`.
    """
    title = f"{facts['model']} in another language"
    parts = [_HEAD.format(title=escape(title)), f"<h1>{escape(title)}</h1>", *_facts(facts), *_rows(transferred, facts)]
    parts += [*_alignment(transferred, facts), *_samples(facts), *_settings(transferred.settings), "</body></html>"]
    return "\n".join(parts) + "\n"


def _facts(facts: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ("folder", facts["out"]),
        ("method", facts["method"]),
        ("tokens", f"{facts['source_tokens']:,} before, {facts['target_tokens']:,} now"),
        ("SHA-256 of the body", facts["body_sha256"]),
        ("time", f"{facts['seconds']:.1f} s"),
        ("memory at most", f"{facts['peak_memory'] / 1e6:,.0f} MB"),
    ]
    yield _table((), rows)


def _rows(transferred: "Transferred", facts: Mapping[str, Any]) -> Iterator[str]:
    yield _section("How the rows were made", draw_origins(facts["origins"]))
    total = max(1, facts["target_tokens"])
    if facts["without_vector"]:
        missing = [(reason, f"{count:,}", f"{count / total:.1%}") for reason, count in facts["without_vector"].items()]
        yield _section("Tokens without a vector", _table(("reason", "tokens", "share"), missing, numbers=True))
    yield _section(
        "Coverage by script",
        _table(("script", "tokens", "copied", "made", "drawn"), script_rows(facts), numbers=True),
    )
    if weights := draw_weights(transferred.mixing):
        yield _section("How much a row leans on its heaviest source", weights)
    norms = draw_norms(rows_of(transferred.source.model), rows_of(transferred.result.model))
    yield _section("Length of the rows, old and new", norms)


def _alignment(transferred: "Transferred", facts: Mapping[str, Any]) -> Iterator[str]:
    if not facts["pairs"]:
        return
    counted = f"{facts['pairs']:,} pairs in the dictionary, {facts['matches']:,} matches of word vectors."
    score = f" Alignment: {alignment_sentence(facts['alignment'])}." if facts["alignment"] else ""
    placed = plane(transferred.evidence, AlignmentOptions(**transferred.settings["alignment"]))
    drawn = "" if placed is None else draw_plane(placed)
    yield _section("Alignment of the two languages", f"<p>{escape(counted + score)}</p>{drawn}")


def _samples(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["samples"]:
        yield _section("Samples", _table(("token", "by", "made of"), sample_rows(facts)))


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    yield _section("Settings", _table((), [(name, str(value)) for name, value in settings.items()]))


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """Return a table; everything in it is escaped."""
    lines = [_line("th", head)] if head else []
    lines += [_line("td", row) for row in rows]
    return "\n".join([f'<table class="{"numbers" if numbers else "words"}">', *lines, "</table>"])


def _line(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
