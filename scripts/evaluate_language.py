"""polygraft evaluate language starter heldout.txt

Evaluate language models on text, in bits per byte.

MODEL is a folder, a name on a hub, starter, starter-fr or starter-multilingual. TEXT are UTF-8 files: each file is a
document, and so is each row of a .jsonl file with a "text". Bits per byte compare any two models; perplexity compares
models with the same tokenizer. Each document starts from the end-of-text token; with --stride below --context, windows
overlap, so that every token has some context.

With --by-language there is a line for each language and one for their mean. The language is a row's own, or the file's
name without its suffix; each line of a text file is then a document. TEXT may also be the folder of a corpus
(polygraft corpus build), whose held-out part is measured:

    polygraft evaluate language runs/mine corpus --by-language
"""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.errors import UsageError
from backbone.io.settings import check_range
from scripts._app.cli import Device, Json, emit, load_with_context, run_file, tell
from scripts._app.text_files import held_out_texts, read_documents

if TYPE_CHECKING:
    from crosslingual.language_model.bits_per_byte import TextScore

Score = Callable[[Sequence[str]], "TextScore"]
_RATES = ("bits_per_byte", "bits_per_byte_low", "bits_per_byte_high")
_AMOUNTS = ("documents", "bytes", "tokens")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which model, which text, and how it is cut."""

    model: tyro.conf.Positional[str]
    """Language model: starter, a folder, or a name on a hub."""
    texts: tyro.conf.Positional[tuple[Path, ...]]
    """Files of text; `-`: standard input."""
    context: int = 0
    """Tokens fed at once; 0: as many as the model takes, 1,024 at most."""
    stride: int = 0
    """Tokens by which windows move on; 0: the context, so that they do not overlap."""
    batch_size: int = 8
    """Windows per batch."""
    by_language: bool = False
    """Measure each language separately."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.texts:
            raise UsageError("no text to measure with: give files, or - for standard input")
        check_range(self, "context stride", 0)
        check_range(self, "batch_size", 1)


def main(options: Options) -> int:
    """Print the figures: one a line or as one object, or a line for each language."""
    texts = held_out_texts(options.texts) if options.by_language else {"": read_documents(options.texts)}
    from crosslingual.language_model.bits_per_byte import score_text

    backbone, context = load_with_context(options.model, options.device, options.context)

    def score(documents: Sequence[str]) -> "TextScore":
        return score_text(
            backbone.model, backbone.tokenizer, documents,
            context=context, stride=options.stride, batch_size=options.batch_size, bar=True,
        )  # fmt: skip

    if options.by_language:
        _tell_languages(texts, score, options)
    else:
        tell({"model": options.model, **score(texts[""]).figures()}, as_json=options.json, digits=5)
    return 0


def _tell_languages(texts: dict[str, list[str]], score: Score, options: Options) -> None:
    """Print a line for each language as soon as it is measured, then the mean over languages."""
    if not options.json:
        emit("\t".join(("language", *_RATES, *_AMOUNTS)))
    found = []
    for language, documents in sorted(texts.items()):
        figures = score(documents).figures()
        found.append(figures["bits_per_byte"])
        if options.json:
            emit(json.dumps({"model": options.model, "language": language, **figures}, ensure_ascii=False))
        else:
            rates = [f"{figures[name]:.5g}" for name in _RATES]
            emit("\t".join([language, *rates, *(str(figures[name]) for name in _AMOUNTS)]))
    mean = statistics.fmean(found)
    if options.json:
        emit(json.dumps({"model": options.model, "language": "mean", "bits_per_byte": mean, "languages": len(found)}))
    else:
        emit(f"mean\t{mean:.5g}")


if __name__ == "__main__":
    run_file(__file__)
