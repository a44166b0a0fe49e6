"""The report of a transfer on the terminal: tables with the coverage by script, or one JSON object."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from crosslingual.options import Drawn
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing

if TYPE_CHECKING:
    from scripts._transfer.output import Transferred


_COPIED = {"special", "identical", "byte"}
_NAMES = {"CJK": "HAN", "IDEOGRAPHIC": "HAN"}


@dataclass(frozen=True, kw_only=True)
class ScriptCoverage:
    """The tokens of one script, or of none."""

    script: str
    """As in the names of Unicode's characters, in small letters: latin, cyrillic, han; or digits, signs, bytes."""
    tokens: int
    copied: int  # rows that the source has too
    made: int  # rows that a method made of others
    drawn: int  # rows left to chance or to the mean


def by_script(mixing: Mixing, vocabulary: Vocabulary) -> list[ScriptCoverage]:
    """Return the coverage of each script, the one with most tokens first.

    Args:
        mixing: from the old tokens to the new ones.
        vocabulary: the new one.
    """
    counts: dict[str, Counter[str]] = {}
    for row, (piece, text) in enumerate(zip(vocabulary.pieces, vocabulary.texts, strict=True)):
        script = "no token" if piece is None else "special" if piece in vocabulary.special else script_of(text)
        counts.setdefault(script, Counter())[_kind(mixing.origin(row))] += 1
    rows = [
        ScriptCoverage(
            script=script, tokens=found.total(), copied=found["copied"], made=found["made"], drawn=found["drawn"]
        )
        for script, found in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row.tokens, row.script))


def script_of(text: str) -> str:
    """Return the script that most letters of a text are of, or what else it is made of."""
    if "\ufffd" in text:
        return "bytes"
    letters = Counter(_script(letter) for letter in text if unicodedata.category(letter).startswith("L"))
    if letters:
        return letters.most_common(1)[0][0]
    return "digits" if any(letter.isnumeric() for letter in text) else "signs"


@cache
def _script(letter: str) -> str:
    # a character's name begins with its script: CYRILLIC SMALL LETTER A, HANGUL SYLLABLE GAG
    first = unicodedata.name(letter, "unnamed").split()[0].split("-")[0]
    return _NAMES.get(first, first).lower()


def _kind(origin: str) -> str:
    if origin in _COPIED:
        return "copied"
    return "drawn" if origin in get_args(Drawn) else "made"


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
