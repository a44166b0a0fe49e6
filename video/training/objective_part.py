"""What `fit` trains in a narrator: the projection, judged by frozen texts or by the frozen language model."""

from torch import Tensor, nn

from video.data.batches import NarrationBatch
from video.narrator import Narrator


class NarrationObjective(nn.Module):
    """The projection with its loss; frozen models are no submodules.

    Args:
        narrator: its projection is trained in place.
        vocabulary: (N, D) vectors of the distinct texts of the training; (0, 0) where narrations are written.
    """

    def __init__(self, narrator: Narrator, vocabulary: Tensor) -> None:
        super().__init__()
        self.projection = narrator.projection
        self._narrator = narrator
        self._vocabulary = vocabulary.to(narrator.backbone.device)
        self._scale: Tensor | None = None

    def forward(self, batch: NarrationBatch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch and its weight, see `video.narrator.Narrator.loss`."""
        if self._narrator.config.answer == "retrieve":
            self._scale = self.projection.scale.detach()  # only here is it whole under FSDP2
        return self._narrator.loss(batch, self._vocabulary)

    def health(self) -> dict[str, float]:
        """Return the temperature of the last batch, where there is one: one that falls without end overfits."""
        return {} if self._scale is None else {"temperature": float(1 / self._scale)}
