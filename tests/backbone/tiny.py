"""A tiny frozen language model, made in memory in milliseconds."""

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from backbone.gpt2 import Backbone
from backbone.hf.vocabulary import replace_vocabulary

END = "<|endoftext|>"
PARAGRAPH = """A cat sits on the mat and looks at the bird. The bird sits on the roof and sings to the cat.
Two dogs run along the beach, and the sea is blue! A child holds a red balloon; the balloon flies over the roof.
The cat looks at the sea, the dogs look at the balloon, and the child sings."""


def tiny_tokenizer(text: str = PARAGRAPH, size: int = 300) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE; ids 0 to 255 are bytes, id 0 is ``!`` as in GPT-2, the last is the end of text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, bos_token=END)


def tiny_model(vocabulary: int = 300, *, seed: int = 0, **overrides: Any) -> GPT2LMHeadModel:
    """Return a random GPT-2 with 2 layers of width 32; its weights are larger than usual, so that tokens differ."""
    options = {"n_layer": 2, "n_embd": 32, "n_head": 4, "n_positions": 64, "initializer_range": 0.3}
    config = GPT2Config(vocab_size=vocabulary, bos_token_id=None, eos_token_id=None, **(options | overrides))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def tiny_backbone(**overrides: Any) -> Backbone:
    """Return a frozen `tiny_model` with its tokenizer; ``seed`` and options of GPT2Config may be overridden."""
    tokenizer = tiny_tokenizer()
    return Backbone.from_parts(tiny_model(len(tokenizer), **overrides), tokenizer, name="tiny")


def predicted_logits(backbone: Backbone, prefix: Tensor, ids: Tensor, **masks: Tensor) -> Tensor:
    """Return the logits that predict each of ``ids`` after a prefix."""
    return backbone.head(backbone.predicting(prefix, ids, **masks))


def with_vocabulary(backbone: Backbone, tokenizer: Any, rows: Tensor, head: Tensor | None = None) -> Backbone:
    """Return a backbone with another vocabulary on the same body."""
    return Backbone(replace_vocabulary(backbone.model, tokenizer, rows, head), tokenizer, name=backbone.name)
