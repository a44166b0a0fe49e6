"""Sentences to tag, and mGPT's way of writing them: ``word_TAG word_TAG``, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backbone.errors import PolygraftError
from crosslingual.evaluation.items import Row, read_rows
from crosslingual.evaluation.items_part import Sentence

_SHAPE = '{"tokens": ["Time", "flies"], "tags": ["NOUN", "VERB"]}'

UNIVERSAL = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
    "SYM", "VERB", "X",
)  # fmt: skip
"""Parts of speech of Universal Dependencies."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What stands around the tagged words of a sentence."""

    begin: str
    head: str
    end: str

    def opening(self, language: str) -> str:
        """Return what a sentence begins with."""
        return f"{self.begin}lang: {language}\n{self.head}: "

    def written(self, sentence: Sentence) -> str:
        """Return a sentence with all its tags, as an example for others."""
        words = " ".join(f"{word}_{tag}" for word, tag in zip(sentence.words, sentence.tags, strict=True))
        return self.opening(sentence.language) + words + self.end


CORRECTED = Layout(begin="", head="Tagged sentence", end="")
PUBLISHED = {
    "pos": Layout(begin="<s>", head="Tagged sentence", end="</s>"),
    "ner": Layout(begin="<s>", head="Sentence", end=" Named Entities: "),
}
"""Of mGPT's notebook on sequence labelling. Its examples of named entities end with what it meant to put before the
entities; kept as it was run."""


def layout_of(task: Literal["pos", "ner"], *, published: bool) -> Layout:
    """Return how a task writes its sentences."""
    return PUBLISHED[task] if published else CORRECTED


def read_sentences(path: Path, *, language: str) -> list[Sentence]:
    """Return the sentences of a JSONL file with ``tokens`` and ``tags``.

    Args:
        path: the file; ``-`` is standard input.
        language: of rows that name none.

    Raises:
        PolygraftError: the file or a row is not as it should be.
    """
    return read_rows(path, _SHAPE, language, _sentence)


def tag_set(task: Literal["pos", "ner"], sentences: Sequence[Sentence]) -> tuple[str, ...]:
    """Return the tags to choose from, in order: for parts of speech the universal ones, if the sentences have no other.

    Raises:
        PolygraftError: there is only one tag.
    """
    found = {tag for sentence in sentences for tag in sentence.tags}
    if task == "pos" and found <= set(UNIVERSAL):
        return UNIVERSAL
    if len(found) < 2:
        raise PolygraftError(f"all words have the tag {', '.join(found)}: there is nothing to choose from")
    return tuple(sorted(found))


def _sentence(row: Row) -> Sentence:
    words, tags = row.texts("tokens"), row.texts("tags")
    if len(words) != len(tags):
        raise PolygraftError(f"{row.place} has {len(words)} tokens and {len(tags)} tags: each token needs one")
    return Sentence(words=words, tags=tags, language=row.language)
