"""The output of a transfer: its folder, written all or nothing, and the report for the terminal.

The folder has transformers' files, transfer.json, digests and a card; the report tables with the coverage by script, or
one JSON object.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from backbone.checkpoint import ModelCard, made_with, write_card
from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from backbone.hf.loading import save_model
from backbone.hf.stored_models import write_kin
from backbone.io.files import atomic_folder, is_free, write_json, write_text
from crosslingual.options import Drawn
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from scripts._app.cli import check_file, stage
from scripts._app.run_folder import TRANSFER
from scripts._transfer.options import Options


def check_places(options: Options) -> None:
    """Refuse an --out, --save-mixing or --report that is taken or in no folder, and a report without matplotlib."""
    if not is_free(options.out):
        if not (options.out / TRANSFER).is_file():
            raise PolygraftError(f"{options.out} holds something else than a transferred model: choose another --out")
        if not options.overwrite:
            raise PolygraftError(f"{options.out} holds a transferred model already: --overwrite replaces it")
    if options.save_mixing is not None and not is_free(options.save_mixing):
        raise PolygraftError(f"{options.save_mixing} exists already and is not replaced: choose another --save-mixing")
    if options.report is not None:
        if options.report.parent != options.out:  # which is made
            check_file("report", options.report, overwrite=options.overwrite)
        from scripts._app.plots import pyplot

        pyplot()


_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """A model in its new language, and what there is to tell of it."""

    source: Backbone  # the model it was made from
    result: Backbone
    mixing: Mixing
    report: Mapping[str, Any]  # A `crosslingual.vocabulary_transfer.transfer.TransferReport` as JSON
    settings: Mapping[str, Any]  # how the rows were made


def keep(transferred: Transferred, options: Options, page: str | None) -> None:
    """Write the model's folder, all of it or as it was, and then the page and the mixing where they are asked for."""
    stage("writing")
    try:
        with atomic_folder(options.out, replace=options.overwrite) as partial:
            save_model(transferred.result.model, transferred.result.tokenizer, partial)
            record = _record(transferred, options)
            write_json(partial / TRANSFER, record)
            write_kin(partial, transferred.result.body_digest, (transferred.source.digest, *transferred.source.kin))
            count = sum(tensor.numel() for tensor in transferred.result.model.parameters())
            weights = f"{count:,} parameters, those of the vocabulary new, all others as they were."
            write_card(partial, _card(record, title=options.out.name), weights=weights)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PolygraftError(f"the model {options.out} could not be saved: {reason}") from error
    if options.save_mixing is not None:
        transferred.mixing.save_pretrained(options.save_mixing)
    if options.report is not None and page is not None:
        write_text(options.report, page)


def _record(transferred: Transferred, options: Options) -> dict[str, Any]:
    source, settings = transferred.source, dict(transferred.settings)
    digests = {side: settings.pop(f"{side}_vocabulary_sha256") for side in ("source", "target")}
    return made_with(
        {
            "format": _FORMAT,
            "source": {"model": source.name, "sha256": source.digest, "vocabulary_sha256": digests["source"]},
            "target": {
                "tokenizer": options.tokenizer or options.donor or [str(path) for path in options.text],
                "sha256": transferred.result.digest,
                "vocabulary_sha256": digests["target"],
            },
            "body_sha256": transferred.result.body_digest,
            "settings": settings,
            "report": transferred.report,
        }
    )


def _card(record: Mapping[str, Any], *, title: str) -> ModelCard:
    report, settings, source = record["report"], record["settings"], record["source"]
    rows = "\n".join(f"| {origin} | {count:,} |" for origin, count in report["origins"].items())
    score = report["alignment"]
    aligned = (
        f"\n\nHeld-out words of the dictionary translated rightly by the aligned vectors: {score['precision']:.1%} of "
        f"{score['words']} (by chance {score['chance']:.2%})."
        if score
        else ""
    )
    return ModelCard(
        title=title,
        summary=f"`{source['model']}` with another vocabulary: {report['target_tokens']:,} tokens in the place of "
        f"{report['source_tokens']:,}, embeddings made of the old ones (method {settings['init']}), and the same body.",
        data=f"The model it was made from has the SHA-256 `{source['sha256']}`; nothing was trained. Its licence and "
        "those of the word vectors, dictionary and text that are named in `transfer.json` hold for this model too.",
        use="Train it on in the new language: the embeddings are a start, no end. Parts that were trained on a model "
        f"with this body (SHA-256 `{record['body_sha256']}`) fit it.",
        limits="It has not seen the new language yet.",
        metrics=f"Rows by origin:\n\n| origin | rows |\n|---|---|\n{rows}{aligned}",
        licence="other",
    )


_COPIED = {"special", "identical", "byte"}
_NAMES = {"CJK": "HAN", "IDEOGRAPHIC": "HAN"}


def by_script(mixing: Mixing, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Return the coverage of each script, the one with most tokens first.

    A row has the ``script`` as in the names of Unicode's characters, in small letters (latin, cyrillic, han; or digits,
    signs, bytes), its ``tokens``, and how many of them were ``copied`` from the source, ``made`` of other rows by a
    method, or ``drawn``, which is left to chance or to the mean.
    """
    counts: dict[str, Counter[str]] = {}
    for row, (piece, text) in enumerate(zip(vocabulary.pieces, vocabulary.texts, strict=True)):
        script = "no token" if piece is None else "special" if piece in vocabulary.special else script_of(text)
        counts.setdefault(script, Counter())[_kind(mixing.origin(row))] += 1
    rows = [
        {"script": script, "tokens": found.total(), **{name: found[name] for name in ("copied", "made", "drawn")}}
        for script, found in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row["tokens"], row["script"]))


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


def as_dict(transferred: Transferred, out: Path) -> dict[str, Any]:
    """Return all that is reported, as JSON."""
    vocabulary = Vocabulary.of(transferred.result.tokenizer)
    return {
        "out": str(out),
        "model": transferred.source.name,
        "method": transferred.settings["init"],
        "body_sha256": transferred.result.body_digest,
        **transferred.report,
        "scripts": by_script(transferred.mixing, vocabulary),
    }


def as_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the report."""
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
    yield from table(("rows made by", "tokens", "share"), shares(facts, "origins"))
    if missing := shares(facts, "without_vector"):
        yield ""
        yield from table(("without vector", "tokens", "share"), missing)
    yield ""
    yield from table(("script", "tokens", "copied", "made", "drawn"), script_rows(facts))
    if facts["samples"]:
        yield ""
        yield from (f"{token}  {origin}  {sources}" for token, origin, sources in sample_rows(facts))


def shares(facts: Mapping[str, Any], name: str) -> list[tuple[str, ...]]:
    """Return the cells of a table of counts: their names, the counts, and their shares of all tokens."""
    total = max(1, facts["target_tokens"])
    return [(key, f"{count:,}", f"{count / total:.1%}") for key, count in facts[name].items()]


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
