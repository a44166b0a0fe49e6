"""Inputs of a transfer: vectors, dictionaries and parallel text of two languages."""

import hashlib
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from backbone.errors import PolygraftError
from backbone.io.files import read_data
from crosslingual.arrays import Array
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vectors.word_vectors import WordVectors


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """Sentences and their translations; those with nothing on one side are left out."""

    source: tuple[str, ...]
    target: tuple[str, ...]  # as many as of the source
    name: str  # where they came from

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise PolygraftError(
                f"{self.name} has {len(self.source)} source and {len(self.target)} target sentences, but each sentence "
                "needs its translation on the same line"
            )
        kept = [(a, b) for a, b in zip(self.source, self.target, strict=True) if a.strip() and b.strip()]
        if not kept:
            raise PolygraftError(f"{self.name} holds no sentence with its translation: give two texts of as many lines")
        source, target = zip(*kept, strict=True)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "target", target)

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def read(cls, source: str | Path, target: str | Path) -> "Parallel":
        r"""Read two text files, UTF-8, cut at ``\n``: line n of one is the translation of line n of the other.

        Raises:
            PolygraftError: A file cannot be read, is not UTF-8 or is empty, or one has more lines than the other.
        """
        return cls(
            source=tuple(_lines(Path(source))), target=tuple(_lines(Path(target))), name=f"{source} and {target}"
        )

    @classmethod
    def of(cls, dictionary: Dictionary) -> "Parallel":
        """Return the entries of a dictionary as sentences, each once as it is and once behind a space.

        The second is how a word stands within a sentence, for tokenizers that tell the two apart.
        """
        pairs = [*dictionary.pairs, *((f" {a.strip()}", f" {b.strip()}") for a, b in dictionary.pairs)]
        source, target = zip_longest(*pairs)
        return cls(source=source, target=target, name=dictionary.name)

    @property
    def digest(self) -> str:
        """SHA-256 of the sentences in their order."""
        lines = "".join(f"{a}\t{b}\n" for a, b in zip(self.source, self.target, strict=True))
        return hashlib.sha256(lines.encode("utf-8", "replace")).hexdigest()


def _lines(path: Path) -> list[str]:
    data = read_data(path).removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise PolygraftError(f"{path} is empty: give a text with a sentence on each line")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = data.count(b"\n", 0, error.start) + 1
        raise PolygraftError(f"{path}, line {place} is not UTF-8 ({error.reason}): convert the file to UTF-8") from None
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Data on the two languages besides the tokenizers."""

    source_vectors: WordVectors | None = None
    target_vectors: WordVectors | None = None
    dictionary: Dictionary | None = None  # None: the two vector spaces are one already
    token_vectors: Array | None = None  # (T, a) vectors of the target's tokens, for focus
    parallel: Parallel | None = None  # sentences that say the same, for transtoken
    donor: Array | None = None
    """(T, a) input embeddings of a helper model that has the target's tokenizer, by its ids, for clp and omp."""
