"""Fine-tuning of a mapper towards captions of a high CIDEr-D: self-critical sequence training.

Rennie et al. (2017), "Self-Critical Sequence Training for Image Captioning" (arXiv 1612.00563), section 3.2: the
log-probability of a sampled caption is raised by as much as its reward exceeds a baseline. The baseline is the mean
reward of the other samples of the image, as in Luo (2020), "A Better Variant of Self-Critical Sequence Training"
(arXiv 2003.09971), section 3.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.gpt2 import Generation
from multimodal.batches import CaptionSet
from multimodal.captioner import Captioner
from multimodal.metrics import ptb
from multimodal.metrics.bleu_cider import CiderD
from multimodal.model.user_mapper import ImageInput

_SAMPLES = 5  # captions sampled of each image, as in Luo (2020)


@dataclass(frozen=True, kw_only=True)
class ImageBatch:
    """B images by their numbers, without captions."""

    images: tuple[int, ...]
    pooled: Tensor  # (B, dv) float32, L2-normalised
    grid: Tensor | None  # (B, n, dg) float32, where the mapper reads it


class ImageBatches:
    """The samples of a training in which captions are not given, but rewarded: one image each."""

    def __init__(self, data: CaptionSet) -> None:
        self._features = data.features
        # an image whose captions were all left out has nothing to be rewarded by
        self._images = sorted(set(data.rows))
        content = f"{data.features.digest}:{data.rows}:{data.texts}"
        self.digest = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()

    def __len__(self) -> int:
        return len(self._images)

    def collate(self, indices: Sequence[int]) -> ImageBatch:
        """Return the batch of these images, on the CPU."""
        images = tuple(self._images[index] for index in indices)
        features = self._features.take(images)
        return ImageBatch(images=images, pooled=features.pooled, grid=features.grid)


class RewardObjective(nn.Module):
    """The mapper, judged by the CIDEr-D of captions sampled with it; the frozen language model is no submodule.

    Args:
        captioner: The captioner, whose mapper is trained in place; one that has learned to caption already.
        data: The images and their captions, which are the references, and the set whose n-grams weigh.

    Raises:
        PolygraftError: the captioner knows users.
    """

    def __init__(self, captioner: Captioner, data: CaptionSet) -> None:
        super().__init__()
        if captioner.config.knows_users:
            raise PolygraftError("a captioner that knows users is not trained towards CIDEr-D: it has one reference")
        self.mapper = captioner.mapper
        self._captioner = captioner
        self._decoding = Decoding(temperature=1.0, num_return=_SAMPLES, max_tokens=captioner.config.max_tokens)
        references = data.references(range(len(data.features)))
        self._cider = CiderD([ptb.tokenize(texts) for texts in references])
        self._reward = 0.0

    def forward(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Return the loss summed over the samples of a batch, and their number."""
        # captions are sampled by the very network whose probabilities are raised: without dropout
        self.mapper.eval()
        backbone = self._captioner.backbone
        prefix = self._captioner.prefix_of(ImageInput(pooled=batch.pooled, grid=batch.grid))
        # the loop seeds the random numbers of each step, so that a resumed run draws the same captions
        decoding = replace(self._decoding, seed=int(torch.randint(2**31, ())))
        drawn = backbone.generate(prefix.embeds.detach(), decoding)
        advantage = self._advantages(batch.images, drawn).to(backbone.device)
        # a sample that is not full was ended, which is a token of it, too
        samples = [[*one.ids, backbone.eos_id][: self._decoding.max_tokens] for row in drawn for one in row]
        padded = backbone.pad(samples)
        ids, mask = padded.ids.to(backbone.device), padded.mask.to(backbone.device)
        repeated = replace(prefix, embeds=prefix.embeds.repeat_interleave(_SAMPLES, dim=0))
        tokens = self._captioner.token_scores(repeated, ids, mask)
        rows = mask.nonzero()[:, 0]
        return -(advantage[rows] * tokens).sum(), torch.tensor(len(ids), device=backbone.device)

    def _advantages(self, images: Sequence[int], drawn: Sequence[Sequence[Generation]]) -> Tensor:
        """Return the reward of each sample less the mean of the others' of its image, (B * samples,) float32."""
        texts = ptb.tokenize([one.text for row in drawn for one in row])
        rewards = torch.tensor(
            [self._cider.values(image, texts[at * _SAMPLES : (at + 1) * _SAMPLES]) for at, image in enumerate(images)]
        )
        self._reward = float(rewards.mean())
        others = (rewards.sum(dim=1, keepdim=True) - rewards) / (_SAMPLES - 1)
        return (rewards - others).flatten()

    def health(self) -> dict[str, float]:
        """Return the mean CIDEr-D of the last samples, which rises in a training that goes well."""
        return {"sampled_cider_d": self._reward}
