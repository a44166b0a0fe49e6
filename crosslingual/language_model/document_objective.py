"""Next-token prediction on rows of whole documents of several languages, with a loss for each language."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from backbone.training.grouped import group_sums
from crosslingual.language_model.loader import IGNORED, PackedBatch, document_mask
from crosslingual.language_model.packed_tokens import LanguageObjective
from crosslingual.language_model.sparse_attention import SparseAttention, mask_argument


class DocumentObjective(LanguageObjective):
    """Next-token prediction in which no token looks beyond its own document.

    Documents that share a row do not see one another, and positions begin anew with each (Zhao et al., 2024, "Analysing
    The Impact of Sequence Composition on Language Model Pre-Training").

    Args:
        model: any causal model of transformers that takes a 4-D ``attention_mask`` and ``position_ids``.
        languages: names, by number.
        context: see `LanguageObjective`.
        attention: likewise.
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
