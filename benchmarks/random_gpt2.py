"""Language models with random weights: they cost the time of trained ones, and know nothing."""

from torch import nn

from backbone.gpt2 import Backbone
from crosslingual.tokenization.train import blank_gpt2

SMALL = {"context": 1024, "width": 768, "layers": 12, "heads": 12, "vocab_size": 50257}
MEDIUM = {"context": 1024, "width": 1024, "layers": 24, "heads": 16, "vocab_size": 50257}  # the published sizes


def random_gpt2(starter: Backbone, *, context: int, width: int, layers: int, heads: int, vocab_size: int) -> Backbone:
    """Return a GPT-2 with random weights that reads with the starter's tokenizer, on its device, in its dtype."""
    model = blank_gpt2(
        starter.tokenizer, context=context, width=width, layers=layers, heads=heads, vocab_size=vocab_size
    )
    nn.Module.to(model, starter.dtype)  # in place; transformers' own has no types
    return Backbone.from_parts(model, starter.tokenizer, name="random", device=str(starter.device))


def random_like(starter: Backbone) -> Backbone:
    """Return a GPT-2 of the starter's own size with random weights."""
    own = starter.model.config
    return random_gpt2(
        starter,
        context=own.n_positions,
        width=own.n_embd,
        layers=own.n_layer,
        heads=own.n_head,
        vocab_size=starter.vocabulary_size,
    )
