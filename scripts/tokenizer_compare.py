"""polygraft tokenizer compare starter tokenizer --text en.txt sw.txt

Compare tokenizers on the same text, language by language; lower fertility is cheaper.

TEXT are files and corpora as in `polygraft tokenizer train`; a file is a language, and of a corpus the held-out part
is measured. The columns: bytes per token; fertility, which is tokens per word, or per character in scripts without
spaces between words; parity, the tokens of a language divided by those of the --reference, if its file has as many
lines, which then say the same line by line; the share of unknown tokens; the share of words split at a combining mark
(between a letter and its vowel sign); and the share of the vocabulary that the text uses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from backbone.errors import UsageError
from backbone.io.files import atomic_file
from scripts._app.cli import Json, emit_rows, progress, run_file

if TYPE_CHECKING:
    from crosslingual.tokenization.fertility import Cut

Row = dict[str, Any]
_PLOTS = (".svg", ".png", ".pdf")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which tokenizers, on which text."""

    tokenizers: tyro.conf.Positional[tuple[str, ...]]
    """Names on the hub, folders, tokenizer.json files, or starter."""
    text: tuple[Path, ...]
    """Files of text, each a language, and folders of corpora."""
    reference: Annotated[str, tyro.conf.arg(metavar="LANGUAGE")] = "en"
    """Language that parity is measured by."""
    plot: Path | None = None
    """File for a plot of the bytes per token: .svg, .png or .pdf."""
    json: Json = False

    def __post_init__(self) -> None:
        if not self.tokenizers:
            raise UsageError("no tokenizer named: give names on the hub, folders, or starter")
        if not self.text:
            raise UsageError("no text named: give --text with files of UTF-8 text")
        if self.plot is not None and self.plot.suffix not in _PLOTS:
            raise UsageError(f"--plot {self.plot} must end in {', '.join(_PLOTS[:-1])} or {_PLOTS[-1]}")


def main(options: Options) -> int:
    """Measure each tokenizer on each language, and print a line for each pair."""
    from scripts._app.text_files import held_out_texts

    languages = held_out_texts(options.text)
    # documents of a corpus say different things, even where there are as many
    reference = "" if any(path.is_dir() for path in options.text) else options.reference
    rows: list[Row] = []
    from backbone.checkpoint import language_model_place
    from backbone.hf.loading import load_tokenizer
    from crosslingual.tokenization.fertility import measure

    for name in options.tokenizers:
        tokenizer = load_tokenizer(language_model_place(name))
        watched = progress(languages.items(), name)
        cuts = {language: measure(tokenizer, texts, language) for language, texts in watched}
        rows += [_row(name, language, cuts, reference) for language in cuts]
    emit_rows(rows, as_json=options.json)
    if options.plot is not None:
        _draw(rows, options.plot)
    return 0


def _row(tokenizer: str, language: str, cuts: Mapping[str, "Cut"], reference: str) -> Row:
    cut, first = cuts[language], cuts.get(reference)
    figures = cut.figures()
    unknown = figures.pop("unknown")
    parallel = first is not None and first.texts == cut.texts
    return {
        "tokenizer": tokenizer,
        "language": language,
        **figures,
        "parity": round(cut.tokens / first.tokens, 3) if first is not None and parallel else None,
        "unknown": unknown,
        "split_at_mark": None if cut.split_rate is None else round(cut.split_rate, 4),
        "used": round(cut.used_share, 4),
        "vocabulary": cut.vocabulary,
    }


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Plot the bytes per token, a group of bars for each language."""
    from scripts._app.plots import pyplot

    plots = pyplot()
    names = list(dict.fromkeys(row["tokenizer"] for row in rows))
    languages = list(dict.fromkeys(row["language"] for row in rows))
    figure, axes = plots.subplots(figsize=(max(5.0, 0.6 * len(languages) * len(names)), 4))
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        heights = [row["bytes_per_token"] for row in rows if row["tokenizer"] == name]
        places = [at + (number - (len(names) - 1) / 2) * width for at in range(len(languages))]
        axes.bar(places, heights, width, label=name)
    axes.set_xticks(range(len(languages)), languages)
    axes.set_ylabel("bytes per token")
    axes.legend(fontsize=8)
    with atomic_file(path) as partial:
        figure.savefig(partial, bbox_inches="tight")
    plots.close(figure)


if __name__ == "__main__":
    run_file(__file__)
