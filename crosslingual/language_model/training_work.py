"""Floating-point operations that training a language model takes for a token (Chowdhery et al., 2022, appendix B)."""

from typing import Any

from torch import nn

from backbone.training.mfu import Work
from backbone.training.optim import repeated_blocks


def training_work(model: Any, context: int) -> Work:
    """Return the operations for one token: 6 for each weight of a matrix product, and attention.

    A look-up in an embedding is no product, the output layer is one, tied or not. A weight that is not trained costs 4:
    what is below it still needs gradients. Attention is counted dense whatever the mask, as it is computed.

    Args:
        model: any causal model of transformers.
        context: tokens that are attended to.
    """
    layers = int(model.config.num_hidden_layers)
    attended = 4.0 * layers * _attention_width(model.config) * context  # forward: two products, a key and a query each
    trained, frozen = _products(model)
    in_blocks = sum(sum(_products(block)) for block in repeated_blocks(model))
    return Work(needed=6.0 * trained + 4.0 * frozen + 3 * attended, repeated=2.0 * in_blocks + attended)


def _attention_width(config: Any) -> int:
    heads = int(config.num_attention_heads)
    return heads * int(getattr(config, "head_dim", None) or config.hidden_size // heads)


def _products(module: nn.Module) -> tuple[int, int]:
    """Return how many weights of matrix products are trained, and how many are not."""
    counts = [0, 0]
    for owner in module.modules():
        if not isinstance(owner, nn.Embedding):
            for weight in owner.parameters(recurse=False):
                if weight.ndim == 2:
                    counts[not weight.requires_grad] += weight.numel()
    return counts[0], counts[1]
