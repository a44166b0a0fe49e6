"""Token shards: a corpus as memory-mapped files of token ids, one for each shard of text."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbone.errors import PolygraftError
from backbone.io.files import atomic_folder, is_free, read_json, write_json, write_text
from backbone.training.logger import watched
from crosslingual.arrays import Array
from crosslingual.corpus.corpus import Corpus, Split
from crosslingual.language_model.packed_tokens import token_ids

_FORMAT = 1
_SETTINGS, _FACTS, _TOKENS, _ENDS = "tokens.json", "facts.json", "ids.bin", "ends.bin"


@dataclass(frozen=True, kw_only=True)
class TokenShards:
    """The documents of some languages as token ids, each followed by the end-of-text token."""

    folder: Path
    digest: str  # names the content: corpus, split and tokenizer
    bos: int  # the end-of-text token, which also stands before a document
    dtype: str
    shards: dict[str, tuple[str, ...]]  # names of the shards of each language

    @classmethod
    def write(cls, corpus: Corpus, tokenizer: Any, folder: Path, *, split: Split = "train") -> "TokenShards":
        """Tokenize a split of a corpus into ``folder``, or go on where an earlier call was stopped.

        The tokenizer is a fast one of transformers.

        Raises:
            PolygraftError: The folder holds something else, or the tokenizer has no end-of-text token.
        """
        shards = cls._begin(corpus, tokenizer, folder, split)
        texts = {
            name: (language, number) for language, names in shards.shards.items() for number, name in enumerate(names)
        }
        for name in watched(list(texts), "tokenizing"):
            if not (folder / name).exists():
                language, number = texts[name]
                documents = (document.text for document in corpus.documents(language, split, shard=number))
                _write(folder / name, token_ids(tokenizer, documents), shards)
        return cls.open(folder)

    @classmethod
    def _begin(cls, corpus: Corpus, tokenizer: Any, folder: Path, split: Split) -> "TokenShards":
        if tokenizer.eos_token_id is None:
            raise PolygraftError("the tokenizer has no end-of-text token, which parts documents: give it one")
        names = {language: corpus.count_shards(language, split) for language in corpus.languages}
        settings = {
            "format": _FORMAT,
            "digest": _digest(corpus.digest, split, tokenizer.backend_tokenizer.to_str(), str(tokenizer.eos_token_id)),
            "bos": tokenizer.eos_token_id,
            "dtype": "<u2" if len(tokenizer) <= 2**16 else "<u4",
            "shards": {language: [f"{language}-{n:05d}" for n in range(count)] for language, count in names.items()},
        }
        if (folder / _SETTINGS).exists():
            if read_json(folder / _SETTINGS) != settings:
                raise PolygraftError(f"{folder} holds tokens of another corpus or tokenizer: choose another folder")
        elif not is_free(folder):
            raise PolygraftError(f"{folder} exists already and holds no tokens: choose another folder")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / _SETTINGS, json.dumps(settings))
        return cls._of(folder, settings)

    @classmethod
    def open(cls, folder: Path) -> "TokenShards":
        """Open what `write` made.

        Raises:
            PolygraftError: It is not whole, or a file was cut off.
        """
        if not (folder / _SETTINGS).is_file():
            raise PolygraftError(f"{folder} holds no tokens: it has no {_SETTINGS}")
        shards = cls._of(folder, read_json(folder / _SETTINGS))
        for name in (name for names in shards.shards.values() for name in names):
            _check(folder / name, np.dtype(shards.dtype).itemsize)
        return shards

    @classmethod
    def _of(cls, folder: Path, settings: dict[str, Any]) -> "TokenShards":
        if settings.get("format") != _FORMAT:
            raise PolygraftError(f"{folder} is of format {settings.get('format')!r}, but {_FORMAT} is read")
        shards = {language: tuple(names) for language, names in settings["shards"].items()}
        return cls(folder=folder, shards=shards, **{name: settings[name] for name in ("digest", "bos", "dtype")})

    def maps(self, language: str) -> list[tuple[Array, Array]]:
        """Return for each shard its token ids (n,), mapped, and the place after each document (documents,) int64."""
        folders = [self.folder / name for name in self.shards[language]]
        return [
            (np.memmap(folder / _TOKENS, dtype=self.dtype, mode="r"), np.fromfile(folder / _ENDS, dtype="<i8"))
            for folder in folders
        ]


def _write(target: Path, documents: Iterator[list[int]], shards: TokenShards) -> None:
    tokens = count = 0
    with atomic_folder(target) as partial:
        with (partial / _TOKENS).open("wb") as ids, (partial / _ENDS).open("wb") as ends:
            for document in documents:
                ids.write(np.array([*document, shards.bos], dtype=shards.dtype).tobytes())
                tokens += len(document) + 1
                count += 1
                ends.write(np.array([tokens], dtype="<i8").tobytes())
        write_json(partial / _FACTS, {"tokens": tokens, "documents": count})


def _check(folder: Path, width: int) -> None:
    if not (folder / _FACTS).is_file():
        raise PolygraftError(f"{folder} is missing: tokenize the corpus again, which goes on where it was")
    facts = read_json(folder / _FACTS)
    for name, size in ((_TOKENS, facts["tokens"] * width), (_ENDS, facts["documents"] * 8)):
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise PolygraftError(f"{path} is not of {size:,} bytes: remove {folder} and tokenize the corpus again")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
