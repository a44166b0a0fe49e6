"""Tokenizers for language models, trained from nothing or like another one, and an untrained model for one.

Like another one is the recipe of WECHSEL (Minixhofer et al., 2022), as transformers' ``train_new_from_iterator`` does
it, but special tokens at the end of the source's vocabulary (GPT-2's end of text) stay at the end.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from backbone.errors import PolygraftError, UsageError
from crosslingual.options import BYTES, UNKNOWN, Algorithm, TokenizerOptions
from crosslingual.tokenization.byte_bpe import TrainingText, train_bbpe
from crosslingual.tokenization.sentencepiece import as_fast, fast_model, pieces_of_model, train_model

END_OF_TEXT = "<|endoftext|>"
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# what else a model reads off its tokenizer
_MANNERS = ("model_input_names", "padding_side", "truncation_side", "clean_up_tokenization_spaces")


def train_tokenizer(
    texts: Iterable[str],
    options: TokenizerOptions,
    *,
    like: PreTrainedTokenizerBase | None = None,
    context: int,
) -> PreTrainedTokenizerFast:
    """Train a tokenizer on ``texts``.

    Without ``like``, the end-of-text token is the last id, as in GPT-2, and serves as beginning, end and padding; and
    what is decoded is what was encoded, bit by bit, but for ``prefix_blank`` and for U+2581 in sentencepiece. With
    ``like``, the new tokenizer is of its algorithm and has its special tokens in the same roles; those before and those
    behind all other tokens stay there, so that with as many tokens every id is the same.

    Args:
        texts: Training text, any unit; read once.
        options: Size, algorithm, strategy.
        like: The fast tokenizer of a model that is to have the new one.
        context: The longest sequence of the model it is meant for, in tokens.

    Raises:
        PolygraftError: There is too little text for the size, or none, or ``like`` cannot be trained anew.
        UsageError: The options do not fit ``like``.
    """
    tokenizer = _trained(texts, options, context) if like is None else _trained_like(like, texts, options, context)
    size = len(tokenizer)
    if size < options.vocab_size and options.strategy != "char":
        # words that GPT-2's pattern cuts at each vowel sign have few different pieces, however long the text
        cure = ", or marks if it has vowel signs" if options.algorithm == "bbpe" and not options.marks else ""
        raise PolygraftError(
            f"the text gives {size} tokens where {options.vocab_size} are asked: give more text or a smaller "
            f"vocab_size{cure}"
        )
    return tokenizer


def train_byte_bpe(texts: Iterable[str], vocab_size: int, *, context: int) -> PreTrainedTokenizerFast:
    """Train byte-level BPE that reads each text as if a space stood before it: see `train_tokenizer`.

    Where the text has too little for ``vocab_size``, the tokenizer is smaller.
    """
    return _trained(texts, TokenizerOptions(vocab_size=vocab_size, prefix_blank=True), context)


def _trained(texts: Iterable[str], options: TokenizerOptions, context: int) -> PreTrainedTokenizerFast:
    if options.algorithm == "bbpe":
        trained = train_bbpe(texts, options, options.vocab_size - 1)
    else:
        pieces = options.vocab_size - 2 - BYTES  # beside the unknown token and the end of text
        trained = as_fast(train_model(TrainingText(texts), options.algorithm, pieces), options.algorithm)
    trained.add_special_tokens([END_OF_TEXT])
    roles = dict.fromkeys(("bos_token", "eos_token", "pad_token"), END_OF_TEXT)
    if options.algorithm != "bbpe":
        roles["unk_token"] = UNKNOWN
    return _wrapped(trained, context, {**roles, "clean_up_tokenization_spaces": False})


def _trained_like(like: Any, texts: Iterable[str], options: TokenizerOptions, context: int) -> PreTrainedTokenizerFast:
    source = getattr(like, "backend_tokenizer", None)
    if source is None:
        raise PolygraftError(f"{type(like).__name__} is no fast tokenizer, and no other is trained anew: load that one")
    roles = {role: str(token) for role in _ROLES if (token := getattr(like, role)) is not None}
    manners = {name: getattr(like, name) for name in _MANNERS}
    if extra := [str(token) for token in like.extra_special_tokens]:
        manners["extra_special_tokens"] = extra
    return _wrapped(_train_like(source, texts, options), context, roles | manners)


def _wrapped(tokenizer: Tokenizer, context: int, settings: dict[str, Any]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=context, **settings
    )


def untrained_gpt2(
    tokenizer: PreTrainedTokenizerFast, *, context: int, width: int, layers: int, heads: int, vocab_size: int = 0
) -> GPT2LMHeadModel:
    """Return an untrained GPT-2 for ``tokenizer``: no dropout, special ids as the tokenizer has them.

    The config names no padding id: rows of packed text have no padding, and transformers would search each for it.
    ``heads`` divides ``width``; ``vocab_size`` asks for more rows of the embedding than the tokenizer has ids.
    """
    config = GPT2Config(
        vocab_size=vocab_size or len(tokenizer), n_positions=context, n_embd=width, n_layer=layers, n_head=heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def _specials_of(tokenizer: Tokenizer) -> tuple[list[AddedToken], list[AddedToken]]:
    """Return the special tokens before or between all others, and those behind all others, by their ids."""
    added = sorted(json.loads(tokenizer.to_str())["added_tokens"], key=lambda token: token["id"])
    found = {token.pop("id"): AddedToken(**token) for token in added if token["special"]}
    last = tokenizer.get_vocab_size() - 1
    while last in found and len(found) < last + 1:
        last -= 1
    return [found[number] for number in found if number <= last], [found[number] for number in found if number > last]


def _train_like(source: Tokenizer, texts: Iterable[str], options: TokenizerOptions) -> Tokenizer:
    """Train a tokenizer of the kind of ``source``: byte-level BPE, WordPiece, Unigram, or sentencepiece's BPE."""
    if options.algorithm != "bbpe" or options.prefix_blank:
        raise UsageError("algorithm and prefix_blank are those of the source's tokenizer: leave them out or it")
    state = json.loads(source.to_str())
    kind = _kind_of(state)
    first, last = _specials_of(source)
    room = options.vocab_size - len(last)
    bytewise = kind == "byte-level BPE" or state["model"].get("byte_fallback")
    least = len(first) + len(last) + (BYTES if bytewise else 0)
    if options.vocab_size < least:
        raise UsageError(
            f"vocab_size is {options.vocab_size}, but {kind} with the source's special tokens needs {least} at least"
        )
    if kind == "byte-level BPE":
        tokenizer = train_bbpe(texts, options, room, empty=_emptied(state), specials=first)
    elif not options.plain:
        raise UsageError(f"the source's tokenizer is {kind}: strategies and marks go with byte-level BPE alone")
    elif kind == "WordPiece":
        tokenizer = _train_wordpiece(texts, state, room, first)
    else:
        tokenizer = _train_sentencepiece(texts, state, room, first)
    tokenizer.add_special_tokens(last)
    return _with_frame(tokenizer, state["post_processor"])


def _kind_of(state: dict[str, Any]) -> str:
    """Return the algorithm of a tokenizer file that can be trained anew."""
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
    if part is None:
        return set()
    return {part["type"], *(name for inner in part.get("pretokenizers", []) for name in _types(inner))}


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
    algorithm: Algorithm = "unigram" if state["model"]["type"] == "Unigram" else "sentencepiece-bpe"
    cut = state["pre_tokenizer"]
    normalizer = tokenizer.normalizer
    text = TrainingText(texts, normalizer.normalize_str if normalizer else None)
    trained = train_model(
        text,
        algorithm,
        vocab_size - len(specials) - (BYTES if bytewise else 0),
        bytewise=bytewise,
        prefix_blank="Metaspace" in _types(cut) and '"never"' not in json.dumps(cut),
    )
    names = [token.content for token in specials]
    tokenizer.model = fast_model(pieces_of_model(trained), algorithm, names, _unknown(state), bytewise=bytewise)
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
