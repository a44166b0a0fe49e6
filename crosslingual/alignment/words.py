"""Text as words, each the tokens that a tokenizer cuts it into: what is aligned, and what is counted for tokens."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from tokenizers import Tokenizer

from crosslingual.tokenization.vocabulary import Vocabulary

Word = tuple[int, ...]  # ids of the tokens of a word
_BATCH = 1000  # texts whose tokens are in memory as the library holds them
# Thai, Lao, Burmese, Khmer, kana, Chinese characters: what stands between spaces is no word
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")


@dataclass(frozen=True, kw_only=True)
class WordReader:
    """Reads words with a tokenizer."""

    vocabulary: Vocabulary
    backend: Tokenizer | None  # the fast tokenizer below; None for others, whose words begin with a mark alone

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "WordReader":
        """Return the reader of a tokenizer, which is left as it is."""
        backend = getattr(vocabulary.tokenizer, "backend_tokenizer", None)
        return cls(vocabulary=vocabulary, backend=None if backend is None else _copied(backend.to_str()))

    def read(self, texts: Sequence[str]) -> list[list[Word]]:
        """Return the words of each text.

        A word begins where the tokenizer cuts text before it looks for tokens, or with a token that is marked as
        beginning one. In scripts without spaces each token is a word.
        """
        starts = self.vocabulary.starts.tolist()
        cut = [_glued(ids, places, starts) for ids, places in self._tokens(texts)]
        unspaced = self._unspaced({word for words in cut for word in words if len(word) > 1})
        if not unspaced:
            return cut
        return [
            list(chain.from_iterable([(token,) for token in word] if word in unspaced else [word] for word in words))
            for words in cut
        ]

    def _tokens(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[int | None]]]:
        """Yield ids and, where the tokenizer tells, which word of the text each belongs to."""
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            if self.backend is None:
                untold: list[int | None] = [0]
                yield from ((ids, untold * len(ids)) for ids in self.vocabulary.read(batch))
            else:
                encodings = self.backend.encode_batch(batch, add_special_tokens=False)
                yield from ((one.ids, one.word_ids) for one in encodings)

    def _unspaced(self, words: set[Word]) -> set[Word]:
        if not words:
            return words  # some versions of transformers decode no words as one text
        texts = self.vocabulary.tokenizer.batch_decode([list(word) for word in words])
        return {word for word, text in zip(words, texts, strict=True) if _UNSPACED.search(text)}

    @property
    def merges(self) -> frozenset[str]:
        """Tokens that byte-pair encoding makes of shorter ones; none for other kinds of tokenizer."""
        if self.backend is None:
            return frozenset()
        model = json.loads(self.backend.to_str())["model"]
        return frozenset(map(_result, model["merges"])) if model["type"] == "BPE" else frozenset()

    def without(self, tokens: Iterable[str]) -> "WordReader":
        """Return a reader that writes these tokens, all of them `merges`, in shorter ones. Ids stay what they are."""
        assert self.backend is not None
        unwanted = set(tokens)
        state = json.loads(self.backend.to_str())
        model = state["model"]
        model["merges"] = [merge for merge in model["merges"] if _result(merge) not in unwanted]
        model["ignore_merges"] = False  # else whole words would be looked up past the merges
        return replace(self, backend=_copied(json.dumps(state)))


def _copied(state: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(state)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _result(merge: str | list[str]) -> str:
    # older files join the two parts with a space
    return merge.replace(" ", "", 1) if isinstance(merge, str) else "".join(merge)


def _glued(ids: Sequence[int], places: Sequence[int | None], starts: Sequence[bool]) -> list[Word]:
    """Join the tokens of each word."""
    words: list[list[int]] = []
    before: int | None = -1
    for token, place in zip(ids, places, strict=True):
        if place != before or place is None or starts[token]:
            words.append([])
        words[-1].append(token)
        before = place
    return [tuple(word) for word in words]
