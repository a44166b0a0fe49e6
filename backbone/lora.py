"""A frozen body that works with other weights for a while: tuned copies, or low-rank changes, that are kept apart.

Nothing of the frozen model changes. Whoever runs it through `Adapted` sees the tuned weights, everybody else the frozen
ones, at the same time and on the same memory.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backbone.errors import PolygraftError
from backbone.generation.kv_cache import LanguageModel
from backbone.gpt2 import Backbone

Tuning = Literal["frozen", "low-rank", "full"]
_DOT = "/"  # parameter dictionaries take no names with dots


class LowRank(nn.Module):
    """Changes of rank r to every matrix of the body's layers (Hu et al., 2021, "LoRA", section 4.1).

    They begin as no change at all. The change of a matrix is ``a @ b * scale``.
    """

    def __init__(self, backbone: Backbone, rank: int, *, scale: float = 2.0) -> None:
        super().__init__()
        self.scale = scale
        self.a, self.b = nn.ParameterDict(), nn.ParameterDict()
        for name, matrix in _matrices(backbone).items():
            rows, columns = matrix.shape
            key = name.replace(".", _DOT)
            self.a[key] = nn.Parameter(torch.randn(rows, rank) * rows**-0.5)  # so that x @ a has the size of x
            self.b[key] = nn.Parameter(torch.zeros(rank, columns))

    def weights(self, backbone: Backbone) -> dict[str, Tensor]:
        """Return the changed matrices by their names in the body."""
        found = {}
        for name, matrix in _matrices(backbone).items():
            key = name.replace(".", _DOT)
            found[name] = matrix + (self.a[key] @ self.b[key] * self.scale).to(matrix)
        return found


class FullCopy(nn.Module):
    """All weights of the body but the word embeddings, to be tuned: they begin as they are."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        words = backbone.model.get_input_embeddings().weight
        self.copies = nn.ParameterDict(
            {
                name.replace(".", _DOT): nn.Parameter(tensor.detach().float().clone())
                for name, tensor in backbone.model.base_model.named_parameters()
                if tensor is not words
            }
        )

    def weights(self, backbone: Backbone) -> dict[str, Tensor]:
        """Return the tuned weights by their names in the body."""
        return {name.replace(_DOT, "."): copy.to(backbone.dtype) for name, copy in self.copies.items()}


class Untouched(nn.Module):
    """No change."""

    def weights(self, backbone: Backbone) -> dict[str, Tensor]:
        """Return nothing."""
        return {}


def build_tuning(backbone: Backbone, tuning: Tuning, rank: int) -> LowRank | FullCopy | Untouched:
    """Return the trainable change of a body.

    Raises:
        PolygraftError: Its layers hold no matrix that a low rank could change.
    """
    if tuning == "frozen":
        return Untouched()
    return FullCopy(backbone) if tuning == "full" else LowRank(backbone, rank)


@dataclass(frozen=True, kw_only=True)
class Adapted(LanguageModel):
    """A backbone that runs with other weights."""

    backbone: Backbone
    weights: dict[str, Tensor]

    def hidden(
        self, embeds: Tensor, mask: Tensor | None = None, *, positions: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        """See `LanguageModel`."""
        return self.backbone.hidden(embeds, mask, positions=positions, cache=cache, weights=self.weights)


def _matrices(backbone: Backbone) -> dict[str, Tensor]:
    """Return the matrices of the body's layers by name: what is 2-D and no embedding table."""
    body = backbone.model.base_model
    tables = {id(module.weight) for module in body.modules() if isinstance(module, nn.Embedding)}
    found = {name: p.detach() for name, p in body.named_parameters() if p.ndim == 2 and id(p) not in tables}
    if not found:
        raise PolygraftError(f"{backbone.name} has no matrix in its layers that a low rank could change")
    return found
