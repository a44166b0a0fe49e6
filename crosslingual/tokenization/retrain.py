"""A new tokenizer like another: of its algorithm, with its special tokens where a model of it expects them.

The recipe of WECHSEL (Minixhofer et al., 2022): the source's tokenizer trained anew on the target's text, as
transformers' ``train_new_from_iterator`` does it, but that special tokens at the end of the source's vocabulary
(GPT-2's end of text, RoBERTa's mask) stay at the end.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, trainers

from backbone.errors import PolygraftError, UsageError
from crosslingual.tokenization.byte_bpe import train_bbpe
from crosslingual.tokenization.options import BYTES, TokenizerOptions
from crosslingual.tokenization.sentencepiece import SentencePieceRecipe, fast_model, pieces_of_model, train_model
from crosslingual.tokenization.training_text import TrainingText


@dataclass(frozen=True, kw_only=True)
class Specials:
    """The special tokens of a tokenizer in the order of their ids."""

    first: tuple[AddedToken, ...]
    """Those before all others: with as many of them, each has the same id in any vocabulary."""
    last: tuple[AddedToken, ...]  # those behind all others

    def __len__(self) -> int:
        return len(self.first) + len(self.last)


def specials_of(tokenizer: Tokenizer) -> Specials:
    """Return the special tokens, those between other tokens among the first."""
    added = sorted(json.loads(tokenizer.to_str())["added_tokens"], key=lambda token: token["id"])
    found = {token.pop("id"): AddedToken(**token) for token in added if token["special"]}
    last = tokenizer.get_vocab_size() - 1
    while last in found and len(found) < last + 1:
        last -= 1
    return Specials(
        first=tuple(token for number, token in found.items() if number <= last),
        last=tuple(token for number, token in found.items() if number > last),
    )


def train_like(source: Tokenizer, texts: Iterable[str], options: TokenizerOptions) -> Tokenizer:
    """Train a tokenizer of the kind of ``source``.

    Args:
        source: byte-level BPE, WordPiece or Unigram.
        texts: any unit; read once.
        options: size, and for byte-level BPE the strategy.

    Raises:
        PolygraftError: there is no text, or the source is of another kind.
        UsageError: the options ask for another algorithm, or for a strategy where the source is no byte-level BPE.
    """
    if options.algorithm != "bbpe" or options.prefix_blank:
        raise UsageError("algorithm and prefix_blank are those of the source's tokenizer: leave them out or it")
    state = json.loads(source.to_str())
    kind = kind_of(state)
    specials = specials_of(source)
    room = options.vocab_size - len(specials.last)
    bytewise = kind == "byte-level BPE" or state["model"].get("byte_fallback")
    _check_size(options, len(specials) + (BYTES if bytewise else 0), kind)
    if kind == "byte-level BPE":
        tokenizer = train_bbpe(texts, options, room, empty=_emptied(state), specials=specials.first)
    elif not options.plain:
        raise UsageError(f"the source's tokenizer is {kind}: strategies and marks go with byte-level BPE alone")
    elif kind == "WordPiece":
        tokenizer = _train_wordpiece(texts, state, room, specials.first)
    else:
        tokenizer = _train_sentencepiece(texts, state, room, specials.first)
    tokenizer.add_special_tokens(list(specials.last))
    return _with_frame(tokenizer, state["post_processor"])


def kind_of(state: dict[str, Any]) -> str:
    """Return the algorithm of a tokenizer file.

    Raises:
        PolygraftError: it cannot be trained anew.
    """
    kind = str(state["model"]["type"])
    if kind == "BPE":
        kind = "byte-level BPE" if "ByteLevel" in _types(state["pre_tokenizer"]) else "sentencepiece's BPE"
    known = kind != "sentencepiece's BPE" or state["model"]["byte_fallback"]
    if known and kind in ("byte-level BPE", "sentencepiece's BPE", "WordPiece", "Unigram"):
        return kind
    raise PolygraftError(
        "the source's tokenizer is of a kind that is not trained anew here: train one of another algorithm without it"
    )


def _types(part: dict[str, Any] | None) -> set[str]:
    """Return what a pre-tokenizer or a sequence of them is made of."""
    if part is None:
        return set()
    return {part["type"], *(name for inner in part.get("pretokenizers", []) for name in _types(inner))}


def _check_size(options: TokenizerOptions, least: int, kind: str) -> None:
    if options.vocab_size < least:
        raise UsageError(
            f"vocab_size is {options.vocab_size}, but {kind} with the source's special tokens needs {least} at least"
        )


def _emptied(state: dict[str, Any]) -> Tokenizer:
    """Return a tokenizer that cuts and decodes the same, without vocabulary."""
    empty: dict[str, dict[str, Any]] = {
        "BPE": {"vocab": {}, "merges": []},
        "WordPiece": {"vocab": {}},
        "Unigram": {"vocab": [[_unknown(state), 0.0]], "unk_id": 0},
    }
    model = {**state["model"], **empty[state["model"]["type"]]}
    frame = {**state, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    return Tokenizer.from_str(json.dumps({**frame, "model": model}))


def _unknown(state: dict[str, Any]) -> str:
    """Return how an unknown token is spelled."""
    model = state["model"]
    return str(model["vocab"][model["unk_id"] or 0][0] if model["type"] == "Unigram" else model["unk_token"])


def _train_wordpiece(
    texts: Iterable[str], state: dict[str, Any], vocab_size: int, specials: Sequence[AddedToken]
) -> Tokenizer:
    tokenizer = _emptied(state)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        continuing_subword_prefix=state["model"]["continuing_subword_prefix"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TrainingText(texts), trainer=trainer)
    return tokenizer


def _train_sentencepiece(
    texts: Iterable[str], state: dict[str, Any], vocab_size: int, specials: Sequence[AddedToken]
) -> Tokenizer:
    """Train by sentencepiece itself, on text as the source normalizes it; the library's own trainer is much weaker."""
    tokenizer = _emptied(state)
    bytewise = bool(state["model"]["byte_fallback"])
    recipe = SentencePieceRecipe(
        algorithm="unigram" if state["model"]["type"] == "Unigram" else "sentencepiece-bpe",
        pieces=vocab_size - len(specials) - (BYTES if bytewise else 0),
        bytewise=bytewise,
        prefix_blank="Metaspace" in _types(state["pre_tokenizer"])
        and '"never"' not in json.dumps(state["pre_tokenizer"]),
    )
    normalizer = tokenizer.normalizer
    text = TrainingText(texts, normalizer.normalize_str if normalizer else None)
    pieces = pieces_of_model(train_model(text, recipe))
    names = [token.content for token in specials]
    tokenizer.model = fast_model(pieces, recipe.algorithm, names, _unknown(state), bytewise=bytewise)
    tokenizer.add_special_tokens(list(specials))
    return tokenizer


def _with_frame(tokenizer: Tokenizer, frame: dict[str, Any] | None) -> Tokenizer:
    """Return the tokenizer with a post-processor, which holds ids, made for other ids."""
    if frame is None:
        return tokenizer
    for part in frame.get("processors", [frame]):
        for name in {"cls", "sep"} & set(part):  # BERT's and RoBERTa's
            part[name] = [part[name][0], tokenizer.token_to_id(part[name][0])]
        for named in part.get("special_tokens", {}).values():  # templates
            named["ids"] = [tokenizer.token_to_id(token) for token in named["tokens"]]
    return Tokenizer.from_str(json.dumps(json.loads(tokenizer.to_str()) | {"post_processor": frame}))
