"""polygraft vectors train german.txt --out german.bin

Train word vectors on text with fastText.

TEXT are files of UTF-8, a sentence or paragraph a line; - reads standard input. Words are first separated from
punctuation and Chinese characters from each other, see --no-split. The suffix of --out selects the format: .bin,
fastText's own, with the n-grams that give every string a vector; .vec (text) and .npz, the words alone.

fastText runs ten threads whatever the machine has, since with fewer it leaves numbers unset, so two runs differ a
little; there is no seed that would change that.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.errors import UsageError
from crosslingual.options import VectorTraining
from scripts._app.cli import Json, check_file, run_file, tell

if TYPE_CHECKING:
    from crosslingual.vectors.word_vectors import WordVectors

_ENDINGS = (".bin", ".vec", ".npz")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which text, how it is learned, and where the vectors are kept."""

    text: tyro.conf.Positional[tuple[Path, ...]]
    """Files of text; -: standard input."""
    out: Path
    """File of vectors: .bin, .vec or .npz."""
    training: VectorTraining = field(default_factory=lambda: VectorTraining(model="skipgram", epochs=5))
    no_split: bool = False
    """Split words at spaces only: the text is tokenized already."""
    overwrite: bool = False
    """Replace the file if it is there."""
    json: Json = False

    def __post_init__(self) -> None:
        if not self.text:
            raise UsageError("no text named: give files of UTF-8 text, or - for standard input")
        if self.out.suffix not in _ENDINGS:
            raise UsageError(f"--out {self.out} must end in {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}")


def main(options: Options) -> int:
    """Train, write the file and print what is in it."""
    check_file("out", options.out, overwrite=options.overwrite)
    from crosslingual.vectors.word_vectors import split_words
    from scripts._app.text_files import read_texts

    texts = read_texts(options.text)
    vectors = _train(options, texts if options.no_split else split_words(texts))
    facts = {
        "out": str(options.out),
        "words": len(vectors.words),
        "width": vectors.width,
        "megabytes": round(options.out.stat().st_size / 1e6, 1),
        "most_frequent": " ".join(word for word in vectors.words[:11] if word != "</s>"),
    }
    tell(facts, as_json=options.json)
    return 0


def _train(options: Options, texts: Iterator[str]) -> "WordVectors":
    from crosslingual.vectors.word_vectors import train

    bar = sys.stderr.isatty()
    if options.out.suffix == ".bin":
        return train(texts, options.out, options.training, bar=bar)
    with tempfile.TemporaryDirectory(dir=options.out.parent, prefix=f".{options.out.name}-") as scratch:
        vectors = train(texts, Path(scratch, "vectors.bin"), options.training, bar=bar)
        vectors.save(options.out)
    return vectors


if __name__ == "__main__":
    run_file(__file__)
