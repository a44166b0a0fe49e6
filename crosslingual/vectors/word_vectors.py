"""WordVectors: static word vectors of one language from any file format, and their training with fastText.

Shapes: W words of the file, n strings asked for, a numbers in a vector.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from tokenizers import normalizers, pre_tokenizers

from backbone.errors import PolygraftError
from backbone.io.files import atomic_file
from crosslingual.arrays import Array
from crosslingual.options import VectorTraining as VectorTraining
from crosslingual.vectors.fasttext_bin import FastTextFile, is_fasttext, open_fasttext
from crosslingual.vectors.formats import VectorTable, read_table, write_vec

_MANY = 10_000  # strings whose rows are in memory at once


class WordVectors:
    """Words in descending order of frequency, and a vector for each; with n-grams, for any string."""

    def __init__(self, source: FastTextFile | VectorTable, *, name: str) -> None:
        self._source = source
        self.name = name
        self.words = source.words
        self.width: int = source.width if isinstance(source, FastTextFile) else source.rows.shape[1]

    @classmethod
    def open(cls, path: str | Path) -> "WordVectors":
        """Open a file of word vectors; of a fastText ``.bin`` only the word list is read.

        Args:
            path: fastText's ``.bin``, ``.vec`` and ``.vec.gz``, GloVe's text, word2vec's binary format, or an npz
                file with ``words``, ``vectors`` and if need be ``counts``.

        Raises:
            PolygraftError: There is none, it is truncated, quantised, a pickle or holds NaN.
        """
        path = Path(path)
        if not path.exists():
            raise PolygraftError(f"there is no file of word vectors {path}: give a .bin, .vec, .vec.gz or .npz file")
        fasttext_file = path.is_file() and path.suffix not in (".npz", ".gz") and is_fasttext(path)
        return cls(open_fasttext(path) if fasttext_file else read_table(path), name=str(path))

    @property
    def has_ngrams(self) -> bool:
        """Whether strings that are no words have vectors."""
        return isinstance(self._source, FastTextFile) and self._source.ngrams.longest > 0

    @property
    def shortest(self) -> int:
        """Characters of the shortest n-gram, the brackets around a word counted; 0: there are none."""
        return self._source.ngrams.shortest if isinstance(self._source, FastTextFile) else 0

    @cached_property
    def index(self) -> dict[str, int]:
        """The number of each word; of words that are there twice, the first."""
        numbers = dict(zip(self.words, range(len(self.words)), strict=True))
        if len(numbers) < len(self.words):
            numbers = dict(zip(reversed(self.words), range(len(self.words) - 1, -1, -1), strict=True))
        return numbers

    @cached_property
    def counts(self) -> Array:
        """How often each word was seen, (W,) float64; where the file does not say, 1 / rank (Zipf's law)."""
        if self._source.counts is None:
            return 1.0 / np.arange(1, len(self.words) + 1)
        return np.asarray(self._source.counts, dtype=np.float64)

    def vectors(self, strings: Sequence[str]) -> Array:
        """Return a vector for each string, (n, a) float32; zeros for what has none.

        With n-grams, it is fastText's: the mean of the word's own row, if it is a word, and of the rows of its
        n-grams. Without, it is the word's row.

        Raises:
            PolygraftError: A row holds NaN or infinity, or the file cannot be read any more.
        """
        found = np.zeros((len(strings), self.width), dtype=np.float32)
        for start in range(0, len(strings), _MANY):
            part = strings[start : start + _MANY]
            found[start : start + len(part)] = self._some(part)
        return found

    def _some(self, strings: Sequence[str]) -> Array:
        numbers = np.array([self.index.get(string, -1) for string in strings], dtype=np.int64)
        owners = np.flatnonzero(numbers >= 0)
        rows = numbers[owners]
        if isinstance(self._source, VectorTable):
            found = np.zeros((len(strings), self.width), dtype=np.float32)
            found[owners] = self._source.rows[rows]
            return found
        more, buckets = self._source.ngrams.rows(strings)
        owners, rows = np.concatenate([owners, more]), np.concatenate([rows, buckets + len(self.words)])
        wanted, place = np.unique(rows, return_inverse=True)
        read = self._source.read(wanted)
        if not np.isfinite(read).all():
            raise PolygraftError(f"{self.name} holds NaN or infinity among its vectors: train or download it again")
        counts = np.bincount(owners, minlength=len(strings))
        # in float32 and in fastText's order, a word's own row first, so that sums are fastText's to the last bit
        order = np.argsort(owners, kind="stable")
        starts = np.append(0, np.cumsum(counts))
        which = csr_array((np.ones(len(owners), np.float32), place[order], starts), shape=(len(strings), len(wanted)))
        mean: Array = (which @ read) * (1.0 / np.maximum(counts, 1)).astype(np.float32)[:, None]
        return mean

    def save(self, path: str | Path) -> None:
        """Write all words with their whole vectors, without n-grams: ``.vec`` as text, or npz, which keeps the counts.

        Raises:
            PolygraftError: It cannot be written; what was there is then as it was.
        """
        path = Path(path)
        rows = self.vectors(self.words)
        try:
            with atomic_file(path) as partial:
                if path.suffix == ".vec":
                    write_vec(partial, self.words, rows)
                else:
                    with partial.open("wb") as file:
                        np.savez(file, words=np.array(self.words), vectors=rows, counts=self.counts)
        except OSError as error:
            raise PolygraftError(f"{path} cannot be written: {error.strerror or error}") from error


def train(
    texts: Iterable[str], out: str | Path, options: VectorTraining | None = None, *, bar: bool = False
) -> WordVectors:
    """Train word vectors with fastText and open the ``.bin`` file they are written to.

    fastText runs ten threads whatever the machine has: 0.9.3 fills only threads / 10 of its matrix and leaves the rest
    as it finds it, so with fewer it often fails. Two runs therefore differ a little.

    Args:
        texts: Lines of words with spaces between; one sentence or paragraph each.
        out: The file to write.
        options: How they are trained.
        bar: Whether fastText shows its progress on standard error.

    Raises:
        PolygraftError: There is no text, too little of it, fasttext is not installed, or ``out`` cannot be written.
    """
    options = options or VectorTraining()
    try:
        import fasttext
    except ImportError as error:
        raise PolygraftError('training word vectors needs fastText: pip install "polygraft[vectors]"') from error
    out = Path(out)
    try:
        with atomic_file(out) as partial:
            with tempfile.TemporaryDirectory() as scratch:
                text = Path(scratch, "text.txt")
                _write_lines(texts, text)
                partial.touch()  # before the work, not after it
                model = fasttext.train_unsupervised(
                    input=str(text), model=options.model, dim=options.width, epoch=options.epochs,
                    neg=options.negatives, minCount=options.min_count, minn=options.shortest, maxn=options.longest,
                    bucket=options.buckets, ws=options.window, thread=10, verbose=2 * bar,
                )  # fmt: skip
            model.save_model(str(partial))
            _check_whole(partial)
    except OSError as error:
        raise PolygraftError(f"{out} cannot be written: {error.strerror or error}") from error
    except (ValueError, RuntimeError) as error:
        raise PolygraftError(f"fastText cannot train on this text ({error}): give more, or lower min_count") from error
    return WordVectors.open(out)


def _check_whole(path: Path) -> None:
    """Raise OSError if a full disk has cut the file short, of which fastText says nothing."""
    try:
        open_fasttext(path)
    except PolygraftError as error:
        raise OSError("the disk is full") from error


def _write_lines(texts: Iterable[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        empty = True
        for text in texts:
            for line in text.splitlines():
                if line.strip():
                    file.write(line + "\n")
                    empty = False
    if empty:
        raise PolygraftError("there is no text to train word vectors on: give some")


# of all that BERT's normaliser does, spaces around Chinese characters alone
_SEPARATE = normalizers.BertNormalizer(
    clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
)

_CUT = pre_tokenizers.Whitespace()  # letters with their combining marks and digits; or other signs


def split_words(texts: Iterable[str], *, characters: bool = True) -> Iterator[str]:
    """Yield texts with a space between words, punctuation, and Chinese characters, which are words each.

    Languages that are written without spaces in other scripts (Thai, Japanese in kana) are left in long runs: cut such
    text into words before.

    Args:
        texts: Lines, or longer ones, of which line breaks are lost.
        characters: False: leave runs of Chinese characters whole, as text has them that was cut into words before.
    """
    for text in texts:
        pieces = _CUT.pre_tokenize_str(_SEPARATE.normalize_str(text) if characters else text)
        yield " ".join(piece for piece, _ in pieces)
