"""The report of a transfer as one HTML page, which loads nothing from anywhere."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from crosslingual.options import AlignmentOptions
from scripts._transfer.drawings import draw_norms, draw_origins, draw_plane, draw_weights, plane, rows_of
from scripts._transfer.report_text import alignment_sentence, sample_rows, script_rows

if TYPE_CHECKING:
    from scripts._transfer.output import Transferred

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
        transferred: the model and what is known of it.
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
