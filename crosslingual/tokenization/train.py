"""Tokenizers for language models: training, loading, and an untrained model for one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from backbone.errors import PolygraftError
from crosslingual.tokenization.byte_bpe import train_bbpe
from crosslingual.tokenization.options import UNKNOWN, TokenizerOptions
from crosslingual.tokenization.retrain import train_like
from crosslingual.tokenization.sentencepiece import train_sentencepiece
from crosslingual.tokenization.training_text import TrainingText

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
        texts: training text, any unit; read once.
        options: size, algorithm, strategy.
        like: the fast tokenizer of a model that is to have the new one.
        context: the longest sequence of the model it is meant for, in tokens.

    Raises:
        PolygraftError: there is too little text for the size, or none, or ``like`` cannot be trained anew.
        UsageError: the options do not fit ``like``.
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
        trained = train_sentencepiece(TrainingText(texts), options.algorithm, options.vocab_size - 1)
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
    return _wrapped(train_like(source, texts, options), context, roles | manners)


def _wrapped(tokenizer: Tokenizer, context: int, settings: dict[str, Any]) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=context, **settings
    )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer saved by its ``save_pretrained``."""
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(str(folder))
    return tokenizer


def blank_gpt2(
    tokenizer: PreTrainedTokenizerFast, *, context: int, width: int, layers: int, heads: int, vocab_size: int = 0
) -> GPT2LMHeadModel:
    """Return an untrained GPT-2 for ``tokenizer``: no dropout, special ids as the tokenizer has them.

    The config names no padding id: rows of packed text have no padding, and transformers would search each for it.

    Args:
        tokenizer: decides the vocabulary.
        context: positions.
        width: of the hidden states.
        layers: transformer blocks.
        heads: attention heads; divides ``width``.
        vocab_size: rows of the embedding where they are to be more than the tokenizer has ids.
    """
    config = GPT2Config(
        vocab_size=vocab_size or len(tokenizer), n_positions=context, n_embd=width, n_layer=layers, n_head=heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return GPT2LMHeadModel(config)
