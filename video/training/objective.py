"""Training batches and objective of a narrator: the projection, with contrastive or language model loss."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from video.data.clip_features import ClipSet
from video.model.projection import NarrationBatch
from video.narrator import Narrator


class NarrationBatches:
    """Clips by number, for `backbone.training.loop.fit`. Batches are as long as their longest clip and narration.

    Args:
        data: Clips with their frames.
        narrator: How it reads frames, questions and narrations.

    Attributes:
        texts: The distinct narrations, in the order of their first clips.
        digest: Names what is shown, asked and answered.
    """

    def __init__(self, data: ClipSet, narrator: Narrator) -> None:
        self._data = data
        self._narrator = narrator
        self.texts = tuple(dict.fromkeys(data.texts))
        numbers = {text: number for number, text in enumerate(self.texts)}
        self._rows = torch.tensor([numbers[text] for text in data.texts], dtype=torch.int64)
        written = narrator.config.answer == "generate"
        tokens = narrator.backbone.encode(self.texts if written else [], max_tokens=narrator.config.max_tokens)
        # 32 bits hold any id; a row a text, where there are any
        self._ids, self._lengths = tokens.ids.to(torch.int32), tokens.mask.sum(dim=1)
        digest = hashlib.sha256(f"{data.digest} {narrator.config.max_frames} {narrator.config.max_question}".encode())
        digest.update(self._ids.contiguous().numpy().data)
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._data)

    def vectors(self) -> Tensor:
        """Return the vectors of ``texts``, (N, D) float16 on the CPU; none where narrations are written."""
        return self._narrator.text_encoder.half(self.texts if self._narrator.config.answer == "retrieve" else [])

    def collate(self, indices: Sequence[int]) -> NarrationBatch:
        """Return the batch of these clips, on the CPU."""
        rows = self._rows[list(indices)]
        clips = self._narrator.batch(
            [self._data.frames(index) for index in indices], [self._data.clips[index].asked for index in indices]
        )
        if not len(self._ids):
            none = torch.zeros(len(rows), 0)
            return NarrationBatch(clips=clips, rows=rows, ids=none.long(), mask=none.bool())
        lengths = self._lengths[rows]
        width = int(lengths.max())
        return NarrationBatch(
            clips=clips, rows=rows, ids=self._ids[rows, :width].long(), mask=torch.arange(width) < lengths[:, None]
        )


class NarrationObjective(nn.Module):
    """The projection with its loss; frozen models are no submodules.

    Args:
        narrator: Its projection is trained in place.
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
