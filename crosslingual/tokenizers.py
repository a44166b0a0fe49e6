"""Tokenizers for language models: byte-level BPE."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def train_byte_bpe(texts: Iterable[str], vocab_size: int, *, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer like GPT-2's (Radford et al., 2019, section 2.2) on ``texts``.

    The end-of-text token is the last id, as in GPT-2, and serves as beginning, end and padding; id 0 is an ordinary
    byte. Each text is read as if a blank stood before it, so that a word at the start of a caption is the same token
    as within a sentence.

    Args:
        texts: training text, any unit.
        vocab_size: ids in all, the end-of-text token included; at least 257.
        context: the longest sequence of the model it is meant for, in tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
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
