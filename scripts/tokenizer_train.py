"""polygraft tokenizer train en.txt sw.txt --vocab-size 8000 --out tokenizer

Train a tokenizer on text of one or many languages, and print its fertility on each of them.

SOURCES are files of UTF-8 text, a sentence or paragraph a line; .jsonl files of rows like {"text": "...", "language":
"sw"}; either compressed as .gz, .bz2, .xz or .zst; or the folder of a corpus (polygraft corpus build), of which the
held-out part stays held out. The language is the row's, or the file's name without its suffix. The folder opens in
transformers: AutoTokenizer.from_pretrained("tokenizer").

Printed for the first megabyte of each language: bytes per token; fertility, which is tokens per word, or per character
in scripts without spaces between words; the share of unknown tokens.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import atomic_folder, write_json
from crosslingual.options import TokenizerOptions
from scripts._app.cli import Json, Seed, check_free, emit, progress, run_file, stage

if TYPE_CHECKING:
    from crosslingual.tokenization.fertility import Cut

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
        for name, least in (("balance", 1), ("context", 1), ("max_bytes", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name.replace('_', '-')} is {getattr(self, name)}, allowed is {least} and more")


@dataclass(frozen=True, kw_only=True)
class LanguageSample:
    """What there is of a language."""

    texts: int
    bytes: int
    sample: tuple[str, ...]  # the first texts


def main(options: Options) -> int:
    """Train, save, and print a line for each language."""
    check_free(options.out)
    languages = _survey(_read(options, "counting"))
    if not languages:
        raise PolygraftError("there is no text in the sources: give files of UTF-8 text, or the folder of a corpus")
    from crosslingual.tokenization.fertility import measure
    from crosslingual.tokenization.training_text import reading_rates

    sizes = {name: language.bytes for name, language in languages.items()}
    rates = reading_rates(sizes, options.balance, options.max_bytes or None)
    tokenizer = _train(options, rates)
    cuts = {name: measure(tokenizer, language.sample, name) for name, language in languages.items()}
    rows = [
        {"language": name, "texts": languages[name].texts, "bytes": sizes[name], "read": round(rates[name], 4)}
        | _figures(cut)
        for name, cut in cuts.items()
    ]
    with atomic_folder(options.out) as folder:
        tokenizer.save_pretrained(folder)
        record = {**asdict(options.tokenizer), "like": options.like, "balance": options.balance, "seed": options.seed}
        write_json(folder / "training.json", {**record, "max_bytes": options.max_bytes, "languages": rows})
    _tell(rows, as_json=options.json)
    return 0


def _read(options: Options, label: str) -> Iterator[tuple[str, str]]:
    from scripts._app.text_files import language_texts

    yield from progress(language_texts(options.sources), label=label)


def _survey(texts: Iterator[tuple[str, str]]) -> dict[str, LanguageSample]:
    """Count texts and bytes of each language, and keep its first megabyte."""
    from crosslingual.tokenization.training_text import check_unicode

    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    samples: dict[str, list[str]] = {}
    for language, text in texts:
        count[language] += 1
        check_unicode(text, f"text {count[language]} of {language}")
        if size[language] < _SAMPLE:
            samples.setdefault(language, []).append(text)
        size[language] += len(text.encode())
    return {
        name: LanguageSample(texts=count[name], bytes=size[name], sample=tuple(samples[name])) for name in sorted(count)
    }


def _train(options: Options, rates: Mapping[str, float]) -> Any:
    from backbone.checkpoint import language_model_place
    from backbone.hf.loading import load_tokenizer
    from crosslingual.tokenization.train import train_tokenizer
    from crosslingual.tokenization.training_text import reread

    name = language_model_place(options.like)
    like = load_tokenizer(name) if name else None
    stage("training the tokenizer")
    texts = reread(_read(options, "reading"), rates, options.seed)
    return train_tokenizer(texts, options.tokenizer, like=like, context=options.context)


def _figures(cut: "Cut") -> dict[str, Any]:
    return {
        "bytes_per_token": round(cut.bytes_per_token, 3),
        "fertility": round(cut.fertility, 3),
        "per": "word" if cut.spaced else "character",
        "unknown": round(cut.unknown_rate, 5),
    }


def _tell(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if not as_json:
        emit("\t".join(rows[0]))
    for row in rows:
        emit(json.dumps(row, ensure_ascii=False) if as_json else "\t".join(map(str, row.values())))


if __name__ == "__main__":
    run_file(__file__)
