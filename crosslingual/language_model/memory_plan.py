"""Memory that a training would need, computed on meta tensors, which have a shape and no data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from backbone.training.config import TrainConfig
from backbone.training.distributed import repeated_blocks
from crosslingual.language_model.objectives import LanguageObjective

_FLOAT = 4  # bytes: weights, gradients and optimiser state are float32


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Figures of a model and of what its training keeps, independent of the number of devices."""

    parameters: int
    trained: int  # parameters that are trained
    block: int  # parameters of the largest layer
    outside: int  # parameters outside the layers
    hidden: int  # trained weights that Muon would take
    activations: float  # bytes that a micro-batch keeps


def measure_sizes(build: Callable[[], Any], rows: int, context: int, *, mixed: bool, checkpointing: bool) -> Sizes:
    """Return the figures of a model that is never made.

    Args:
        build: Makes a causal model of transformers, with gradients for what is trained; called where tensors have no
            content.
        rows: Of a micro-batch.
        context: Tokens of a row.
        mixed: Whether products are made in bfloat16.
        checkpointing: Whether layers are made twice instead of kept.
    """
    with FakeTensorMode():
        model = build()
        blocks = repeated_blocks(model)
        inside = [sum(parameter.numel() for parameter in block.parameters()) for block in blocks]
        parameters = sum(parameter.numel() for parameter in model.parameters())
        kept = _kept(model, rows, context, mixed=mixed, checkpointing=checkpointing)
        return Sizes(
            parameters=parameters,
            trained=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
            block=max(inside, default=0),
            outside=parameters - sum(inside),
            hidden=sum(p.numel() for block in blocks for p in block.parameters() if p.ndim == 2 and p.requires_grad),
            activations=kept,
        )


def plan_memory(sizes: Sizes, config: TrainConfig, devices: int) -> dict[str, float]:
    """Return the bytes on each of ``devices`` devices at the height of a step, by purpose and in ``total``.

    For whole copies or shards, as ``config.parallel`` says. Among the activations are lower-precision copies of the
    weights, and the gradient of the logits.
    """
    sharded = devices > 1 and config.parallel == "fsdp"
    shards = devices if sharded else 1
    # gathered for use, and their gradients before they are scattered
    whole_weights = sizes.outside + 2 * sizes.block if sharded else 0
    whole_gradients = sizes.outside + sizes.block if sharded else 0
    buckets = sizes.trained if devices > 1 and not sharded else 0  # in which whole copies exchange gradients
    # AdamW keeps two figures a weight, Muon one
    state = 2 * sizes.trained - (sizes.hidden if config.optimizer == "muon" else 0)
    state += sizes.trained if config.ema else 0
    need = {
        "weights": _FLOAT * (sizes.parameters / shards + whole_weights),
        "gradients": _FLOAT * (sizes.trained / shards + buckets + whole_gradients),
        "optimizer": _FLOAT * state / shards,
        "activations": sizes.activations,
    }
    return need | {"total": sum(need.values())}


def _kept(model: Any, rows: int, context: int, *, mixed: bool, checkpointing: bool) -> float:
    """Return the bytes that a forward pass keeps for the backward pass, and the gradient of the logits."""
    tally = _Tally(model)
    objective = LanguageObjective(model.train())
    marks: list[int] = []
    for block in repeated_blocks(model):
        block.register_forward_pre_hook(lambda *_: marks.append(tally.bytes))
        block.register_forward_hook(lambda *_: marks.append(tally.bytes))
    ids = torch.zeros(rows, context + 1, dtype=torch.int64)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed),
        torch.autograd.graph.saved_tensors_hooks(tally.pack, lambda tensor: tensor),
    ):
        loss, _ = objective(ids)
    vocabulary = int(model.config.vocab_size)
    logits = _FLOAT * rows * context * vocabulary
    total = tally.bytes + logits
    if checkpointing:
        layers = [after - before for before, after in zip(marks[::2], marks[1::2], strict=True)]
        inputs = len(layers) * rows * context * int(model.config.hidden_size) * _FLOAT
        total += inputs + max(layers, default=0) - sum(layers)
    del loss
    return float(total)


class _Tally:
    """Adds up what is saved for a backward pass: each storage once, weights not at all."""

    def __init__(self, model: nn.Module) -> None:
        self.bytes = 0
        self._seen = {_storage(parameter) for parameter in model.parameters()}
        self._held: list[Tensor] = []  # so that no storage takes the place of one that is gone

    def pack(self, tensor: Tensor) -> Tensor:
        if _storage(tensor) not in self._seen:
            self._seen.add(_storage(tensor))
            self._held.append(tensor)
            self.bytes += tensor.untyped_storage().nbytes()
        return tensor


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
