"""What each language's transfer is made of: text, tokenizer, tokens, word vectors, dictionary, parallel verses.

Made once in the work folder, from documents that are not held out; held-out documents are for the figures alone.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.io.files import atomic_folder
from crosslingual.options import VectorTraining
from crosslingual.vectors.word_vectors import split_words
from scripts._app.cli import remark
from starter_build.datasets.documents import held_out
from starter_build.datasets.languages import dictionary_files, language_documents, parallel_verses
from starter_build.datasets.segmentation import LongestMatch
from starter_build.datasets.text import english_documents

if TYPE_CHECKING:
    from crosslingual.language_model.packed_tokens import PackedTokens
    from crosslingual.vectors.dictionary import Dictionary
    from crosslingual.vectors.word_vectors import WordVectors
    from crosslingual.vocabulary_transfer.inputs import Parallel

VOCABULARY = 8192
"""As the starter's own tokenizer."""
_TEST_BYTES = 60_000
_VALIDATION_SHARE = 0.005
# short n-grams since most tokens are short; Chinese words have one to three characters
LATIN = VectorTraining(epochs=5, model="skipgram", negatives=5, shortest=3, longest=5, buckets=200_000)
_HAN = replace(LATIN, shortest=1, longest=3)


@dataclass(frozen=True, kw_only=True)
class TransferMaterial:
    """One language."""

    code: str
    data: Path
    """Where fetched packages are kept."""
    work: Path
    """Where all else is kept."""

    @property
    def folder(self) -> Path:
        """Of this language."""
        return self.work / self.code

    @cached_property
    def training(self) -> list[str]:
        """Documents that are not held out."""
        return [document.text for document in self._documents if not held_out(document)]

    @cached_property
    def validation(self) -> list[str]:
        """A few of them that no language model learns from: they choose learning rates."""
        return random.Random(0).sample(self.training, max(8, round(_VALIDATION_SHARE * len(self.training))))

    @cached_property
    def test(self) -> list[str]:
        """Held-out documents, some 60 kB drawn at random; neither they nor their English were seen by any model."""
        texts = [document.text for document in self._documents if held_out(document)]
        random.Random(0).shuffle(texts)
        taken, size = [], 0
        for text in texts:
            if size < _TEST_BYTES:
                taken.append(text)
                size += len(text.encode())
        return taken

    @cached_property
    def _documents(self) -> list[Any]:
        return list(language_documents(self.data, self.code))

    @cached_property
    def tokenizer(self) -> Any:
        """Byte-level BPE like the starter's, of the same size."""
        from crosslingual.tokenization.train import load_tokenizer, train_byte_bpe

        folder = self.folder / "tokenizer"
        if not folder.exists():
            remark(f"{self.code}: training the tokenizer")
            with atomic_folder(folder) as partial:
                train_byte_bpe(self.training, VOCABULARY, context=256).save_pretrained(partial)
        return load_tokenizer(folder)

    def rows(self, context: int) -> "PackedTokens":
        """The tokens to learn from, cut into rows; those of validation documents are not among them."""
        from crosslingual.language_model.packed_tokens import PackedTokens, pack

        path = self.folder / "tokens.npy"
        if not path.exists():
            kept = set(self.validation)
            pack((text for text in self.training if text not in kept), self.tokenizer, path)
        return PackedTokens.open(path, context)

    @cached_property
    def vectors(self) -> "WordVectors":
        """Word vectors of this language."""
        return train_vectors(
            self._words(self.training), self.folder / "vectors.bin", _HAN if self.code == "zh" else LATIN
        )

    @cached_property
    def english_vectors(self) -> "WordVectors":
        """Word vectors of English, trained on the text of the starter's language model."""
        path = self.work / "english.bin"
        texts = (document.text for document in english_documents(self.data) if not held_out(document))
        return train_vectors(split_lines(texts), path, LATIN)

    @cached_property
    def token_vectors(self) -> Any:
        """FOCUS's auxiliary vectors of the tokens of this language, trained on the tokenized text."""
        from crosslingual.vocabulary_transfer.methods import own_vectors, token_texts

        options = VectorTraining(width=300, epochs=3, model="cbow", negatives=10, min_count=10, shortest=3, longest=6)
        texts = token_texts(self.tokenizer, self.training)
        return own_vectors(self.tokenizer, train_vectors(texts, self.folder / "tokens.bin", options))

    @cached_property
    def dictionary(self) -> "Dictionary":
        """All pairs of English and this language, English first."""
        from crosslingual.vectors.dictionary import Dictionary

        found = [Dictionary.open(path, reverse=reverse) for path, reverse in dictionary_files(self.data, self.code)]
        return Dictionary(pairs=tuple(pair for one in found for pair in one.pairs), name=f"English-{self.code}")

    @cached_property
    def parallel(self) -> "Parallel":
        """Verses in English and in this language, cut into words."""
        from crosslingual.vocabulary_transfer.inputs import Parallel

        english, other = parallel_verses(self.data, self.code)
        return Parallel(source=tuple(english), target=tuple(self._segmented(other)), name=f"verses of {self.code}")

    def _words(self, texts: Iterable[str]) -> Iterable[str]:
        return split_lines(self._segmented(texts))

    def _segmented(self, texts: Iterable[str]) -> Iterable[str]:
        if self.code != "zh":
            return texts
        cut = LongestMatch(word for _, word in self.dictionary.pairs)
        return (cut(text) for text in texts)


def split_lines(texts: Iterable[str]) -> Iterator[str]:
    """Return the lines of texts with a space between words and punctuation; Chinese has to be cut into words before."""
    return split_words((line for text in texts for line in text.splitlines()), characters=False)


def train_vectors(texts: Iterable[str], path: Path, options: VectorTraining) -> "WordVectors":
    """Train word vectors, or open those that an earlier call has kept.

    Args:
        texts: lines of words with spaces between.
        path: of the file.
        options: how.
    """
    from crosslingual.vectors.word_vectors import WordVectors, train

    if path.exists():
        return WordVectors.open(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remark(f"training word vectors: {path.name}")
    return train(texts, path, options)
