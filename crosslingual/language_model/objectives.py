"""Training low-rank changes to a language model's body beside its embeddings (Hu et al., 2021, "LoRA")."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from backbone.gpt2 import Backbone
from backbone.lora import LowRank
from crosslingual.language_model.packed_tokens import LanguageObjective


class LowRankObjective(nn.Module):
    """Another objective, with low-rank changes in the place of the body's matrices; the embeddings are trained as well.

    Args:
        base: the objective; what of its model requires gradients is trained in place.
        backbone: its model.
        rank: of the changes.
    """

    def __init__(self, base: LanguageObjective, backbone: Backbone, rank: int) -> None:
        super().__init__()
        self.base = base
        self.groups = getattr(base, "groups", ())
        self.changes = LowRank(backbone, rank)
        self.changes.to(backbone.device)
        self._backbone = (backbone,)  # in a tuple it is no submodule
        body = backbone.model.base_model
        self._prefix = next(f"model.{name}." for name, module in base.model.named_modules() if module is body)

    def forward(self, rows: Any) -> tuple[Tensor, ...]:
        """Return what the objective does, see there."""
        changed = self.changes.weights(self._backbone[0])
        given = {self._prefix + name: matrix for name, matrix in changed.items()}
        found: tuple[Tensor, ...] = functional_call(self.base, given, (rows,))
        return found

    def begin_step(self, progress: float) -> None:
        """See `LanguageObjective`."""
        self.base.begin_step(progress)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the changes into the body for the length of a with-block."""
        (backbone,) = self._backbone
        matrices = {name: backbone.model.base_model.get_parameter(name) for name in self.changes.weights(backbone)}
        own = {name: matrix.detach().clone() for name, matrix in matrices.items()}
        self.merge()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, matrix in matrices.items():
                    matrix.copy_(own[name])

    @torch.no_grad()
    def merge(self) -> None:
        """Write the changes into the body for good."""
        (backbone,) = self._backbone
        for name, matrix in self.changes.weights(backbone).items():
            backbone.model.base_model.get_parameter(name).copy_(matrix)
