"""Training objectives: next-token prediction, the loss by language on whole documents, and LoRA beside the embeddings.

The operations for one token are counted after Chowdhery et al. (2022, appendix B); LoRA is that of Hu et al. (2021).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from backbone.gpt2 import Backbone
from backbone.lora import LowRank
from backbone.training.losses import group_sums
from crosslingual.language_model.loader import IGNORED, PackedBatch, document_mask
from crosslingual.language_model.sparse_attention import SparseAttention, mask_argument


class LanguageObjective(nn.Module):
    """Next-token prediction with any causal model of transformers, ``model(ids).logits`` being (B, T, V).

    The share of the device's speed is reported where ``context``, the tokens in a row, is given.
    """

    def __init__(self, model: nn.Module, *, context: int = 0, attention: SparseAttention | None = None) -> None:
        super().__init__()
        self.model = model
        self.context = context
        self.attention = attention

    def forward(self, rows: Any) -> tuple[Tensor, ...]:
        """Return (summed cross-entropy in nats, number of tokens) of (B, T + 1) rows."""
        rows = rows.to(next(self.model.parameters()).device, non_blocking=True)
        inputs, targets = rows[:, :-1], rows[:, 1:]
        logits = self.model(inputs, use_cache=False).logits.float()
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return loss, torch.tensor(float(targets.numel()), device=loss.device)

    def begin_step(self, progress: float) -> None:
        """Let the dense tail begin when it is due."""
        if self.attention:
            self.attention.begin_step(progress)

    def work(self) -> float | None:
        """Return the operations for one token."""
        return training_work(self.model, self.context) if self.context else None


def training_work(model: Any, context: int) -> float:
    """Return the operations for one token: 6 for each weight of a matrix product, and attention.

    A look-up in an embedding is no product, the output layer is one, tied or not. A weight that is not trained costs 4:
    what is below it still needs gradients. Attention is counted dense whatever the mask, as it is computed.
    """
    config = model.config
    heads = int(config.num_attention_heads)
    width = heads * int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    # forward: two products, a key and a query each
    attended = 4.0 * int(config.num_hidden_layers) * width * context
    trained, frozen = _products(model)
    return 6.0 * trained + 4.0 * frozen + 3 * attended


def _products(module: nn.Module) -> tuple[int, int]:
    """Return how many weights of matrix products are trained, and how many are not."""
    counts = [0, 0]
    for owner in module.modules():
        if not isinstance(owner, nn.Embedding):
            for weight in owner.parameters(recurse=False):
                if weight.ndim == 2:
                    counts[not weight.requires_grad] += weight.numel()
    return counts[0], counts[1]


class LowRankObjective(nn.Module):
    """Another objective, with low-rank changes in the place of the body's matrices; the embeddings are trained as well.

    What requires gradients of the base's model, which is that of the backbone, is trained in place.
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


class DocumentObjective(LanguageObjective):
    """Next-token prediction in which no token looks beyond its own document.

    Documents that share a row do not see one another, and positions begin anew with each (Zhao et al., 2024, "Analysing
    The Impact of Sequence Composition on Language Model Pre-Training"). The model takes a 4-D ``attention_mask`` and
    ``position_ids``; ``languages`` are named by number.
    """

    def __init__(
        self, model: Any, languages: Sequence[str], *, context: int = 0, attention: SparseAttention | None = None
    ) -> None:
        super().__init__(model, context=context, attention=attention)
        self.groups = tuple(languages)

    def forward(self, rows: PackedBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return (summed cross-entropy in nats, number of tokens, (languages, 2) the same for each language)."""
        device = next(self.model.parameters()).device
        inputs, targets, documents, positions, languages = (column.to(device, non_blocking=True) for column in rows)
        mask = mask_argument(self.model, document_mask(documents))
        logits = self.model(inputs, attention_mask=mask, position_ids=positions, use_cache=False).logits.float()
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED)
        counted = targets.flatten() != IGNORED
        spoken = languages[:, None].expand_as(targets).flatten().where(counted, -1)
        return losses.sum(), counted.sum().to(losses.dtype), group_sums(losses, spoken, len(self.groups))
