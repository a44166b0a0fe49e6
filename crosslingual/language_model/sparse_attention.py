"""Sparse attention for training: who may look where, as masks that are laid over a model of transformers.

The fixed pattern is that of ruGPT-3 XL, whose trainer mGPT took over (DeepSpeed's ``fixed`` sparsity; Child et al.,
2019, "Generating Long Sequences with Sparse Transformers", section 4.2), in every other layer. It changes what is
learned, not the time: a mask costs what dense attention costs.
"""

import inspect
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from backbone.errors import PolygraftError
from backbone.training.distributed import repeated_blocks
from crosslingual.options import AttentionOptions

_PERIOD = 4  # of sliding: each fourth layer is dense


def fixed_pattern(length: int, heads: int, *, block: int = 16, window: int = 128) -> Tensor:
    """Return where each position may look, (heads, length, length) bool: [h, q, k] is whether q may look at k.

    A position looks back within its own window, and at one block of each earlier window: of the last blocks of a
    window, head 0 sees the last, head 1 the one before it, and so on, over and over.
    """
    place = torch.arange(length)
    blocks, windows = place // block, place // window
    in_window = window // block
    summary = in_window - 1 - torch.arange(heads) % in_window
    is_summary = (blocks % in_window)[None, :] == summary[:, None]  # (heads, k)
    within = windows[:, None] == windows[None, :]
    earlier = windows[:, None] > windows[None, :]
    causal = place[:, None] >= place[None, :]
    return causal & (within | (earlier & is_summary[:, None, :]))


def sliding_pattern(length: int, *, window: int = 128) -> Tensor:
    """Return where each position may look, (1, length, length) bool: at itself and ``window - 1`` positions before."""
    place = torch.arange(length)
    distance = place[:, None] - place[None, :]
    return ((distance >= 0) & (distance < window))[None]


def sparse_layers(options: AttentionOptions, layers: int) -> list[int]:
    """Return the numbers of the layers, from 0, whose attention is sparse."""
    match options.attention:
        case "alternating":
            return list(range(0, layers, 2))
        case "sliding":
            # the last layer is dense: what is predicted from has seen everything
            return [layer for layer in range(layers - 1) if layer % _PERIOD != _PERIOD - 1]
        case _:
            return []


def mask_argument(model: Any, allowed: Tensor) -> Tensor:
    """Return ``allowed`` (..., q, k) as the model's attention takes it: bool, or 0 and very negative to be added."""
    if getattr(model.config, "_attn_implementation", "eager") != "eager":
        return allowed
    least = torch.finfo(torch.float32).min
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, least)


class SparseAttention:
    """Narrows where the layers of a model look, while it is in training mode and the dense tail has not begun.

    A hook before the attention of each sparse layer lays the pattern over the mask that is there: the model's own
    code, its saved form and every other use of it stay as they are.

    Raises:
        PolygraftError: The layers of the model take no mask.
    """

    def __init__(self, model: Any, options: AttentionOptions) -> None:
        self.options = options
        self.sparse = options.attention != "dense"
        self._model = (model,)  # in a tuple, so that a module that has this one does not have the model twice
        self._heads = int(model.config.num_attention_heads)
        self._pattern = lru_cache(maxsize=2)(self._make_pattern)
        blocks = repeated_blocks(model)
        wanted = [_attention_of(blocks[layer], model) for layer in sparse_layers(options, len(blocks))]
        self._handles = [module.register_forward_pre_hook(self._narrow, with_kwargs=True) for module in wanted]

    def begin_step(self, progress: float) -> None:
        """Note how far the run is, from 0 to 1, which decides whether attention is sparse."""
        self.sparse = self.options.attention != "dense" and progress <= 1 - self.options.dense_tail

    def close(self) -> None:
        """Leave the model as it was found."""
        for handle in self._handles:
            handle.remove()

    def _make_pattern(self, length: int, device: torch.device) -> Tensor:
        options = self.options
        if options.attention == "sliding":
            return sliding_pattern(length, window=options.window).to(device)
        return fixed_pattern(length, self._heads, block=options.block, window=options.window).to(device)

    def _narrow(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if not (self.sparse and module.training):
            return None
        states: Tensor = args[0] if args else kwargs["hidden_states"]
        pattern = self._pattern(states.shape[1], states.device)[None]
        return args, {**kwargs, "attention_mask": self._over(kwargs.get("attention_mask"), pattern)}

    def _over(self, mask: Tensor | None, pattern: Tensor) -> Tensor:
        """Lay the pattern (1, heads or 1, q, k) over the mask (B, 1, q, k) of the model; None: none but causality."""
        if mask is None:
            return mask_argument(self._model[0], pattern)
        if mask.dtype == torch.bool:
            return mask & pattern
        return mask.masked_fill(~pattern, torch.finfo(mask.dtype).min)


def _attention_of(block: nn.Module, model: Any) -> nn.Module:
    for child in block.children():
        if "attention_mask" in inspect.signature(child.forward).parameters:
            return child
    raise PolygraftError(f"the layers of {type(model).__name__} take no attention mask: leave --attention dense")
