"""The samples of a training: clips with the rows, and perhaps the tokens, of their narrations."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from video.data.batches import NarrationBatch
from video.data.clip_features import ClipSet
from video.narrator import Narrator


class NarrationBatches:
    """Clips by number, for `backbone.training.loop.fit`. Batches are as long as their longest clip and narration.

    Args:
        data: clips with their frames.
        narrator: how it reads frames, questions and narrations.

    Attributes:
        texts: the distinct narrations, in the order of their first clips.
        digest: names what is shown, asked and answered.
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
