"""What training changes: parameters, their optimisers and learning rates, their average, the best so far."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from backbone.training.config import TrainConfig
from backbone.training.distributed import repeated_blocks, trainable_tensors, whole

# Optimiser state that a resumed run needs, by optimiser; AdamW's step counter is the run's own.
STATE_KEYS: dict[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.AdamW: ("exp_avg", "exp_avg_sq"),
    torch.optim.Muon: ("momentum_buffer",),
}
_NO_DECAY = (nn.LayerNorm, nn.RMSNorm, nn.Embedding)


def build_optimizers(module: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return the optimisers of ``module``'s trainable parameters, each parameter in exactly one.

    Muon (Jordan et al., 2024) takes the hidden matrices; its updates are scaled to AdamW's root mean square
    (Liu et al., 2025, "Muon is Scalable for LLM Training", eq. 4), so one rate serves both and the
    orientation of a matrix does not matter.
    """
    matrices, decayed, plain = _sort_parameters(module, config.optimizer == "muon")
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = []
    if any(group["params"] for group in groups):
        betas = (config.beta1, config.beta2)
        optimizers.append(torch.optim.AdamW([g for g in groups if g["params"]], lr=config.lr, betas=betas, fused=True))
    if matrices:
        optimizers.append(
            torch.optim.Muon(matrices, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


def _sort_parameters(module: nn.Module, muon: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Split trainable parameters into Muon's matrices, AdamW's decayed ones and AdamW's undecayed ones."""
    matrices: list[Tensor] = []
    decayed: list[Tensor] = []
    plain: list[Tensor] = []
    seen: set[int] = set()
    blocks = {id(p) for block in repeated_blocks(module) for p in block.parameters()}
    # Embeddings first: a head tied to an embedding is an embedding.
    owners = sorted(module.modules(), key=lambda m: not isinstance(m, _NO_DECAY))
    for owner in owners:
        for name, parameter in owner.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            # a matrix that is no weight of a layer is a table of learned vectors, such as queries: an embedding too
            if parameter.ndim < 2 or isinstance(owner, _NO_DECAY) or not name.endswith("weight"):
                plain.append(parameter)
            elif muon and parameter.ndim == 2 and id(parameter) in blocks:
                matrices.append(parameter)
            else:
                decayed.append(parameter)
    return matrices, decayed, plain


def rate_at(progress: float, config: TrainConfig) -> float:
    """Return the learning rate at ``progress`` (0: start, 1: end of the run)."""
    if progress < config.warmup:
        return config.lr * progress / config.warmup
    return config.lr * (config.floor + (1 - config.floor) * _share_at(progress, config))


def _share_at(progress: float, config: TrainConfig) -> float:
    """Return how much of the way from floor to peak the rate stands after the warm-up."""
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "wsd":
        return min(1.0, max(0.0, 1 - progress) / config.decay) if config.decay else 1.0
    rest = (progress - config.warmup) / max(1 - config.warmup, 1e-9)  # the warm-up may be all of it
    return 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))


class MovingAverage:
    """Exponential moving average of parameters; with decay 0 it keeps nothing and changes nothing."""

    def __init__(self, parameters: dict[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.parameters = parameters
        self.average = {name: p.detach().clone() for name, p in parameters.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights after step number ``step`` (counted from 1)."""
        # The warm-up keeps the random start out of a short run's average.
        decay = min(self.decay, step / (step + 9))
        for name, average in self.average.items():
            average.lerp_(self.parameters[name].detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the weights' place for the length of a with-block."""
        own = {name: self.parameters[name].detach().clone() for name in self.average}
        self._copy(self.average)
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, source: dict[str, Tensor]) -> None:
        for name, value in source.items():
            self.parameters[name].copy_(value)


@dataclass
class Best:
    """The best evaluated weights so far."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0  # evaluations since


class Learned:
    """The trainable parameters of a module and all that is kept about them."""

    def __init__(self, module: nn.Module, config: TrainConfig) -> None:
        self.parameters = trainable_tensors(module)  # of the module once it is parallel: the ones that are trained
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
