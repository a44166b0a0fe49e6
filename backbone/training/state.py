"""Training state: parameters, EMA, best weights, optimizer state."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from backbone.training.config import TrainConfig
from backbone.training.distributed import trainable_tensors, whole
from backbone.training.optim import STATE_KEYS, MovingAverage, build_optimizers


@dataclass
class Best:
    """The best evaluated weights so far."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    """Evaluations since."""


class Learned:
    """The trainable parameters of a module and all that is kept about them.

    Args:
        module: after it was made parallel, so that its parameters are the ones that are trained.
        config: which optimiser, and whether an average is kept.
    """

    def __init__(self, module: nn.Module, config: TrainConfig) -> None:
        self.parameters = trainable_tensors(module)
        self.optimizers = build_optimizers(module, config)
        self.average = MovingAverage(self.parameters, config.ema)
        self.best = Best()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that changes with training, by the name it is saved under; nothing is copied."""
        tensors = {f"model.{name}": p.detach() for name, p in self.parameters.items()}
        tensors |= {f"average.{name}": t for name, t in self.average.average.items()}
        tensors |= {f"best.{name}": t for name, t in self.best.tensors.items()}
        names = {id(p): name for name, p in self.parameters.items()}
        for optimizer, parameter in self._optimized():
            state = optimizer.state[parameter]
            for key in STATE_KEYS[type(optimizer)]:
                # a parameter that the loss does not touch has no state, which is a state of zeros
                found = state[key] if key in state else torch.zeros_like(parameter)
                tensors[f"optimizer.{names[id(parameter)]}.{key}"] = found
        return tensors

    def lay_out(self, step: int, best: dict[str, float] | None, stale: int) -> None:
        """Make room for the state after ``step``, all zeros, as the optimisers' first step would make it."""
        zeros = {name: torch.zeros_like(p) for name, p in self.parameters.items()} if best else {}
        self.best = Best(zeros, best or {}, stale)
        for optimizer, parameter in self._optimized():
            state = optimizer.state[parameter]
            state.update({key: torch.zeros_like(parameter) for key in STATE_KEYS[type(optimizer)]})
            if isinstance(optimizer, torch.optim.AdamW):
                state["step"] = torch.tensor(float(step), device=parameter.device)

    def _optimized(self) -> Iterator[tuple[torch.optim.Optimizer, Tensor]]:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield optimizer, parameter

    def apply_gradients(self, rate: float) -> None:
        """Make one optimiser step at a learning rate and forget the gradients."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Leave no gradient behind."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def keep_if_best(self, metrics: dict[str, float]) -> None:
        """Keep the weights as they are if their ``score`` is the highest; without one, nothing is kept."""
        if "score" not in metrics:
            return
        if self.best.metrics and metrics["score"] <= self.best.metrics["score"]:
            self.best.stale += 1
            return
        self.best = Best({name: p.detach().clone() for name, p in self.parameters.items()}, dict(metrics))

    @torch.no_grad()
    def settle(self) -> dict[str, Tensor]:
        """Put the weights to keep into the module; return them whole, on the CPU. Every process must call."""
        for name, value in (self.best.tensors or self.average.average).items():
            self.parameters[name].copy_(value)
        return {name: whole(p.detach()).cpu().clone() for name, p in self.parameters.items()}
