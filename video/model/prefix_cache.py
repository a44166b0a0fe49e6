"""Questions that are asked again and again: what the language model makes of one is kept for the next clips."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.generation.kv_cache import LanguageModel, branched, positions_from_mask
from backbone.lora import Adapted
from video.data.batches import ClipBatch
from video.model.projection import Prompt


class Questions:
    """Runs a language model over prompts; where these begin with the question, its keys and values are kept.

    A video's clips are all asked the same, so that only the first of them pays for the question: of some fifteen
    positions of a clip of four frames five remain. Kept are the questions of one batch, while the weights stay.
    """

    def __init__(self) -> None:
        self._weights: dict[str, Tensor] | None = None
        self._asked = torch.empty(0, 0, dtype=torch.int64)
        self._cache: Any = None

    def hidden(self, model: LanguageModel, prompt: Prompt, batch: ClipBatch) -> Tensor:
        """Return the last hidden states of the prompts' ends, (B, n, d); with gradients where they are wanted.

        Args:
            model: the language model.
            prompt: of B clips.
            batch: the clips that it was made of.
        """
        if torch.is_grad_enabled() or not prompt.asked:
            return model.hidden(prompt.embeds, prompt.mask)
        cache = self._states(model, prompt, batch)
        positions = positions_from_mask(prompt.mask)[:, prompt.asked :]
        return model.hidden(prompt.embeds[:, prompt.asked :], prompt.mask, positions=positions, cache=cache)

    def _states(self, model: LanguageModel, prompt: Prompt, batch: ClipBatch) -> Any:
        """Return a cache with each clip's question, computed once for all that ask the same."""
        # with one column more, that all share, since a batch of which nothing is asked has none
        words = F.pad(batch.question.masked_fill(~batch.asked, -1), (1, 0))
        asked, rows = torch.unique(words, dim=0, return_inverse=True)
        weights = model.weights if isinstance(model, Adapted) else None
        if self._cache is None or weights is not self._weights or not torch.equal(asked, self._asked):
            first = torch.stack([(rows == row).nonzero()[0, 0] for row in range(len(asked))])
            cache = model.new_cache()
            model.hidden(prompt.embeds[first, : prompt.asked], prompt.mask[first, : prompt.asked], cache=cache)
            self._weights, self._asked, self._cache = weights, asked, cache
        return branched(self._cache, rows)
