"""The report of a transfer on the terminal: aligned tables, or one JSON object."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crosslingual.tokenization.vocabulary import Vocabulary
from scripts._transfer.coverage import by_script

if TYPE_CHECKING:
    from scripts._transfer.output import Transferred

_SHOWN = 5  # sources of a sample row that fit on a line


def as_dict(transferred: "Transferred", out: Path) -> dict[str, Any]:
    """Return all that is reported, as JSON."""
    vocabulary = Vocabulary.of(transferred.result.tokenizer)
    return {
        "out": str(out),
        "model": transferred.source.name,
        "method": transferred.settings["init"],
        "body_sha256": transferred.result.body_digest,
        **transferred.report,
        "scripts": [asdict(row) for row in by_script(transferred.mixing, vocabulary)],
    }


def as_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        facts: of `as_dict`.
    """
    yield f"out        {facts['out']}"
    yield f"model      {facts['model']}, {facts['source_tokens']:,} tokens -> {facts['target_tokens']:,}"
    yield f"method     {facts['method']}"
    if facts["pairs"]:
        yield f"dictionary {facts['pairs']:,} pairs, {facts['matches']:,} matches"
    if facts.get("sentences"):
        yield f"parallel   {facts['sentences']:,} sentences"
    if facts["alignment"]:
        yield f"alignment  {alignment_sentence(facts['alignment'])}"
    yield f"time       {facts['seconds']:.1f} s, at most {facts['peak_memory'] / 1e6:,.0f} MB of memory"
    yield ""
    total = max(1, facts["target_tokens"])
    shares = [(name, f"{count:,}", f"{count / total:.1%}") for name, count in facts["origins"].items()]
    yield from table(("rows made by", "tokens", "share"), shares)
    if facts["without_vector"]:
        yield ""
        missing = [(reason, f"{count:,}", f"{count / total:.1%}") for reason, count in facts["without_vector"].items()]
        yield from table(("without vector", "tokens", "share"), missing)
    yield ""
    yield from table(("script", "tokens", "copied", "made", "drawn"), script_rows(facts))
    if facts["samples"]:
        yield ""
        yield from (f"{token}  {origin}  {sources}" for token, origin, sources in sample_rows(facts))


def alignment_sentence(score: Mapping[str, Any]) -> str:
    """Say how well held-out words are translated."""
    return (
        f"precision at 1 is {score['precision']:.1%} on {score['words']:,} held-out words among "
        f"{score['candidates']:,} (by chance {score['chance']:.2%})"
    )


def script_rows(facts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the cells of the table of scripts."""
    names = ("tokens", "copied", "made", "drawn")
    return [(row["script"], *(f"{row[name]:,}" for name in names)) for row in facts["scripts"]]


def sample_rows(facts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return token, origin and sources with their weights of each sample."""
    return [
        (
            _shown(row["token"]),
            row["origin"],
            ", ".join(f"{_shown(token)} {weight:.2f}" for token, weight in row["sources"][:_SHOWN])
            + (", ..." if len(row["sources"]) > _SHOWN else ""),
        )
        for row in facts["samples"]
    ]


def _shown(token: str) -> str:
    """Return a token with its control characters written out, so that it moves no cursor."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in token)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines of columns: the first to the left, numbers to the right."""
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for first, *numbers in cells:
        right = "  ".join(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
        yield f"{first.ljust(widths[0])}  {right}"
