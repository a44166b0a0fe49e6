"""Training objective of a captioner: the mapper, with the loss of the frozen language model."""

import torch
from torch import Tensor, nn

from backbone.errors import PolygraftError
from multimodal.batches import CaptionBatch
from multimodal.captioner import Captioner
from multimodal.model.user_mapper import ImageInput
from multimodal.profile.tensors import UserBatch


class CaptionObjective(nn.Module):
    """The mapper, judged by the frozen language model, which is no submodule.

    Args:
        captioner: The captioner, whose mapper is trained in place.

    Raises:
        PolygraftError: it takes features that are not normalised, which batches do not hold.
    """

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        if not captioner.config.normalize:
            raise PolygraftError("a captioner whose image features are not normalised, as ClipCap's, is not trained on")
        self.mapper = captioner.mapper
        self.backbone = captioner.backbone
        self.config = captioner.config
        self._captioner = captioner
        self._prefix_norm = torch.zeros(())

    def forward(self, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch and its number of tokens."""
        batch = batch.to(self.backbone.device)
        image = ImageInput(pooled=batch.pooled, grid=batch.grid)
        user = self._dropped(batch.user) if batch.user is not None else None
        prefix = self._captioner.prefix_of(image, user)
        self._prefix_norm = prefix.embeds.detach().norm(dim=-1).mean()
        tokens = self._captioner.token_scores(prefix, batch.ids, batch.mask)
        return -tokens.sum(), torch.tensor(len(tokens), device=tokens.device)

    def _dropped(self, user: UserBatch) -> UserBatch:
        if not self.training or not self.config.user_dropout:
            return user
        return user.only(torch.rand(len(user.known), device=user.known.device) >= self.config.user_dropout)

    def health(self) -> dict[str, float]:
        """Return the length of the last prefixes over that of word embeddings: near 1 is healthy."""
        return {"prefix_over_embedding": float(self._prefix_norm) / self.backbone.embedding_norm}
