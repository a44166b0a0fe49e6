"""polygraft tokenizer compare starter tokenizer --text en.txt sw.txt

Compare tokenizers on the same text, language by language; lower fertility is cheaper.

TEXT are files and corpora as in `polygraft tokenizer train`; a file is a language, and of a corpus the held-out part
is measured. The columns: bytes per token; fertility, which is tokens per word, or per character in scripts without
spaces between words; parity, the tokens of a language divided by those of the --reference, if its file has as many
lines, which then say the same line by line; the share of unknown tokens; the share of words split at a combining mark
(between a letter and its vowel sign); and the share of the vocabulary that the text uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from backbone.errors import UsageError
from scripts._app.cli import Json, emit_rows, progress, run_file

if TYPE_CHECKING:
    from crosslingual.tokenization.fertility import Cut

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which tokenizers, on which text."""

    tokenizers: tyro.conf.Positional[tuple[str, ...]]
    """Names on the hub, folders, tokenizer.json files, or starter."""
    text: tuple[Path, ...]
    """Files of text, each a language, and folders of corpora."""
    reference: Annotated[str, tyro.conf.arg(metavar="LANGUAGE")] = "en"
    """Language that parity is measured by."""
    json: Json = False

    def __post_init__(self) -> None:
        if not self.tokenizers:
            raise UsageError("no tokenizer named: give names on the hub, folders, or starter")
        if not self.text:
            raise UsageError("no text named: give --text with files of UTF-8 text")


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


if __name__ == "__main__":
    run_file(__file__)
