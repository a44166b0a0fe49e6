"""polygraft tokenizer train en.txt sw.txt --vocab-size 8000 --out tokenizer

Train a tokenizer on text of one or many languages, and print its fertility on each of them.

SOURCES are files of UTF-8 text, a sentence or paragraph a line; .jsonl files of rows like {"text": "...", "language":
"sw"}; either compressed as .gz, .bz2, .xz or .zst; or the folder of a corpus (polygraft corpus build), of which the
held-out part stays held out. The language is the row's, or the file's name without its suffix. The folder opens in
transformers: AutoTokenizer.from_pretrained("tokenizer").

Printed for the first megabyte of each language: bytes per token; fertility, which is tokens per word, or per character
in scripts without spaces between words; the share of unknown tokens.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import atomic_folder, write_json
from backbone.io.settings import check_range
from crosslingual.options import TokenizerOptions
from scripts._app.cli import Json, Seed, check_free, emit_rows, progress, run_file, stage

_SAMPLE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which text, what kind of tokenizer, and where it is kept."""

    sources: tyro.conf.Positional[tuple[Path, ...]]
    """Files of text, and folders of corpora."""
    out: Path
    """Folder of the tokenizer; new or empty."""
    tokenizer: TokenizerOptions
    like: str = ""
    """Model or tokenizer (name on the hub, folder, or starter) whose algorithm and special tokens are taken over."""
    context: int = 1024
    """Longest sequence of the model it is for, in tokens."""
    balance: float = 1.0
    """Temperature T of the languages' shares, which are bytes^(1/T): 1 as they are, above 1 more even."""
    max_bytes: int = 0
    """Bytes of text to train on, drawn at random where there are more; 0: all."""
    seed: Seed = 0
    json: Json = False

    def __post_init__(self) -> None:
        if not self.sources:
            raise UsageError("no text named: give files of UTF-8 text, or the folder of a corpus")
        check_range(self, "balance context", 1)
        check_range(self, "max_bytes", 0)


def main(options: Options) -> int:
    """Train, save, and print a line for each language."""
    check_free(options.out)
    count, sizes, samples = _survey(_read(options, "counting"))
    if not samples:
        raise PolygraftError("there is no text in the sources: give files of UTF-8 text, or the folder of a corpus")
    from crosslingual.language_model.mixture import reading_rates
    from crosslingual.tokenization.fertility import measure

    rates = reading_rates({name: sizes[name] for name in samples}, options.balance, options.max_bytes or None)
    tokenizer = _train(options, rates)
    rows = [
        {"language": name, "texts": count[name], "bytes": sizes[name], "read": round(rates[name], 4)}
        | measure(tokenizer, texts, name).figures()
        for name, texts in samples.items()
    ]
    with atomic_folder(options.out) as folder:
        tokenizer.save_pretrained(folder)
        record = {**asdict(options.tokenizer), "like": options.like, "balance": options.balance, "seed": options.seed}
        write_json(folder / "training.json", {**record, "max_bytes": options.max_bytes, "languages": rows})
    emit_rows(rows, as_json=options.json)
    return 0


def _read(options: Options, label: str) -> Iterator[tuple[str, str]]:
    from scripts._app.text_files import language_texts

    yield from progress(language_texts(options.sources), label=label)


def _survey(texts: Iterator[tuple[str, str]]) -> tuple[Counter[str], Counter[str], dict[str, list[str]]]:
    """Return how many texts and bytes there are of each language, and its first megabyte."""
    from crosslingual.tokenization.byte_bpe import check_unicode

    count: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    samples: dict[str, list[str]] = {}
    for language, text in texts:
        count[language] += 1
        check_unicode(text, f"text {count[language]} of {language}")
        if sizes[language] < _SAMPLE:
            samples.setdefault(language, []).append(text)
        sizes[language] += len(text.encode())
    return count, sizes, dict(sorted(samples.items()))


def _train(options: Options, rates: Mapping[str, float]) -> Any:
    from backbone.checkpoint import language_model_place
    from backbone.hf.loading import load_tokenizer
    from crosslingual.language_model.mixture import reread
    from crosslingual.tokenization.train import train_tokenizer

    name = language_model_place(options.like)
    like = load_tokenizer(name) if name else None
    stage("training the tokenizer")
    texts = reread(_read(options, "reading"), rates, options.seed)
    return train_tokenizer(texts, options.tokenizer, like=like, context=options.context)


if __name__ == "__main__":
    run_file(__file__)
