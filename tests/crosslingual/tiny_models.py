"""Tiny random models of every architecture that a vocabulary can be put on, and a tokenizer that suits each."""

from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tests.crosslingual.tiny_transfer import byte_bpe, roberta_bpe, wordpiece

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def gpt2(size):
    return GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0))


def llama(size):
    return LlamaForCausalLM(LlamaConfig(vocab_size=size, tie_word_embeddings=False, pad_token_id=1, **SIZES))


def roberta(size):
    return RobertaForMaskedLM(RobertaConfig(vocab_size=size, max_position_embeddings=66, pad_token_id=1, **SIZES))


def bert(size):
    return BertForMaskedLM(BertConfig(vocab_size=size, **SIZES))


def t5(size):
    config = T5Config(
        vocab_size=size, d_model=16, num_layers=1, num_heads=2, d_ff=16, d_kv=8, pad_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


MODELS = {
    "gpt2": (gpt2, byte_bpe),
    "llama": (llama, roberta_bpe),
    "roberta": (roberta, roberta_bpe),
    "bert": (bert, wordpiece),
    "t5": (t5, roberta_bpe),
}
