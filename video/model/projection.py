"""The trained part of a narrator: frames into the language model, its output into the space of text vectors.

With the contrastive losses that train it, and a cache of the language model's states for repeated questions.

Shapes: B clips, T frames, L tokens of a question, N distinct texts, dv width of frames, d of the language model, D of
text vectors. All text and query vectors have length 1.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from backbone.generation.kv_cache import LanguageModel, branched, positions_from_mask
from backbone.gpt2 import Backbone, Calibration
from backbone.lora import Adapted, FullCopy, LowRank, Untouched, build_tuning
from video.config import LEAST_TEMPERATURE, NarratorConfig

_ADAPTER_HEADS = 4


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """The frames of B clips, and the question of each."""

    frames: Tensor  # (B, T, dv) float32, L2-normalised, in their order
    mask: Tensor  # (B, T) bool, false at padding, which may stand anywhere
    question: Tensor  # (B, L) int64; L may be 0
    asked: Tensor  # (B, L) bool, likewise

    def to(self, device: torch.device) -> "ClipBatch":
        """Return the batch on ``device``."""
        return ClipBatch(**{name: part.to(device, non_blocking=True) for name, part in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class NarrationBatch:
    """B clips with their narrations, given as rows of a table of texts and, where they are to be written, as tokens."""

    clips: ClipBatch
    rows: Tensor  # (B,) int64, the row of each clip's narration among the distinct texts
    ids: Tensor  # (B, T) int64 tokens with the end of text, padded on the right; T is 0 where narrations are retrieved
    mask: Tensor  # (B, T) bool, true where a token is real

    def to(self, device: torch.device) -> "NarrationBatch":
        """Return the batch on ``device``."""
        own = {name: getattr(self, name).to(device, non_blocking=True) for name in ("rows", "ids", "mask")}
        return NarrationBatch(clips=self.clips.to(device), **own)


class Prompt(NamedTuple):
    """What the language model reads of B clips: frames, question, end of text and, if there is one, retrieval token."""

    embeds: Tensor  # (B, S, d)
    mask: Tensor  # (B, S) bool, false at padding; the last position is always real
    asked: int
    """How many positions of the beginning hold the question alone: the same for all clips that are asked the same."""


class Projection(nn.Module):
    """VLog's projectors (Lin and Shou, 2025, section 3.1), with what may be trained beside them.

    Args:
        config: What is built.
        backbone: The language model, whose word embeddings give vectors their length.
    """

    def __init__(self, config: NarratorConfig, backbone: Backbone) -> None:
        super().__init__()
        self.config = config
        width = config.text_width
        self.adapter = _adapter(config.image_width, config.adapter_layers)
        self.times = _times(config.max_frames, config.image_width) if config.adapter_layers else None
        self.frames: nn.Module = nn.Identity()
        self.tuning: Untouched | LowRank | FullCopy = Untouched()
        if config.body != "none":
            self.frames = nn.Linear(config.image_width, width * config.visual_tokens)
            self.calibration = Calibration(width, backbone.embedding_norm)
            self.tuning = build_tuning(backbone, config.body, config.rank)
        if config.answer == "retrieve":
            start = torch.tensor([config.temperature]).log()  # of one number, since FSDP2 takes no scalars
            self.temperature = nn.Parameter(start, requires_grad=config.learn_temperature)
            self.out = nn.Linear(config.image_width if config.body == "none" else width, config.vector_width)
            if config.retrieval == "learned" and config.body != "none":
                self.token = nn.Parameter(torch.randn(width) * backbone.embedding_norm / width**0.5)
            if self.is_residual:
                nn.init.zeros_(self.out.weight)
                nn.init.zeros_(self.out.bias)

    @property
    def scale(self) -> Tensor:
        """One over the temperature; for narrators that retrieve."""
        return (-self.temperature).exp().clamp(max=1 / LEAST_TEMPERATURE)

    @property
    def is_residual(self) -> bool:
        """Whether the mean of the frames is added: it can only where it is as wide as text vectors."""
        return self.config.residual and self.config.image_width == self.config.vector_width

    def adapted(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Let frames (B, T, dv) see one another in their order; as they are where there is no adapter."""
        if self.adapter is None or self.times is None:
            return frames
        # layer norms make rows as long as the root of their width: frames of length 1 would be lost among them
        placed = frames * frames.shape[2] ** 0.5 + self.times(positions_from_mask(mask))
        mixed: Tensor = self.adapter(placed, src_key_padding_mask=~mask)
        return mixed

    def prompt(self, frames: Tensor, mask: Tensor, question: Tensor, asked: Tensor, end: Tensor) -> Prompt:
        """Put the parts one behind another (section 3.1): frames first, or the question, and the retrieval token last.

        Padding stays where it is, under the mask: the language model counts real positions alone.

        Args:
            frames: (B, T, dv).
            mask: (B, T) bool, false at padding.
            question: (B, L, d) embedded tokens.
            asked: (B, L) bool, likewise.
            end: (d,) the embedded end of text.
        """
        tokens = self.config.visual_tokens
        visual = self.calibration(self.frames(frames).unflatten(2, (tokens, -1))).flatten(1, 2).to(question)
        seen = mask.repeat_interleave(tokens, dim=1)
        words, video = (question, asked), (visual, seen)
        stop = (end.expand(len(frames), 1, -1), seen[:, :1] | True)
        token = []
        if self.config.answer == "retrieve" and self.config.retrieval != "eos":
            token.append((self._retrieval_token(visual, seen)[:, None], stop[1]))
        if self.config.order == "frames-first":
            before, after = [], [words, stop, *token]
        elif token:
            before, after = [words, stop], token
        else:
            before, after = [words], [stop]
        embeds, masks = zip(*before, video, *after, strict=True)
        return Prompt(torch.cat(embeds, dim=1), torch.cat(masks, dim=1), sum(part.shape[1] for part, _ in before))

    def _retrieval_token(self, visual: Tensor, seen: Tensor) -> Tensor:
        if self.config.retrieval == "learned":
            return self.token.to(visual).expand(len(visual), -1)
        return masked_mean(visual, seen)

    def vector(self, hidden: Tensor, mean: Tensor) -> Tensor:
        """Return the query vector of length 1.

        Args:
            hidden: (B, d) last hidden state of the retrieval token; (B, dv) the mean frame where no body is used.
            mean: (B, dv) the mean of the frames.

        Returns:
            (B, D) float32.
        """
        found: Tensor = self.out(hidden.float()).float()  # under autocast half of it would be lost
        if self.is_residual:
            found = found + F.normalize(mean.float(), dim=-1)
        return F.normalize(found, dim=-1)


def masked_mean(rows: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the real rows: (B, S, d) and (B, S) -> (B, d); padding has no part in it."""
    weights = mask[..., None].float()
    mean: Tensor = (rows.float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return mean.to(rows)


def _adapter(width: int, layers: int) -> nn.TransformerEncoder | None:
    if not layers:
        return None
    layer = nn.TransformerEncoderLayer(
        width,
        math.gcd(width, _ADAPTER_HEADS),
        dim_feedforward=2 * width,
        dropout=0.1,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    adapter = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    for parameter in adapter.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)  # the layers are copies of one otherwise
    return adapter


def _times(frames: int, width: int) -> nn.Embedding:
    times = nn.Embedding(frames, width)
    nn.init.normal_(times.weight, std=0.2)
    return times


def batch_loss(queries: Tensor, texts: Tensor, rows: Tensor, scale: Tensor) -> Tensor:
    """Return the symmetric InfoNCE of a batch, summed over its clips, as the release of VLog takes it.

    Two clips with one narration are right answers to each other, where the release has them as wrong ones: the target
    is spread over all of them, and its own entropy taken off, so that a perfect batch has a loss of 0.

    Args:
        queries: (B, D).
        texts: (B, D) of each clip's narration.
        rows: (B,) which narration it is.
        scale: One over the temperature.
    """
    logits = queries @ texts.T * scale
    same = (rows[:, None] == rows[None]).to(logits)
    shared = same.sum(dim=1, keepdim=True)
    forward, backward = (F.cross_entropy(each, same / shared, reduction="sum") for each in (logits, logits.T))
    return forward + backward - 2 * shared.log().sum()


def vocabulary_loss(queries: Tensor, vocabulary: Tensor, rows: Tensor, scale: Tensor, *, chunk: int = 65_536) -> Tensor:
    """Return the cross-entropy of each clip's narration among all N texts, summed over the clips.

    The texts are frozen, so that they can be gone through piece by piece. The logits of a piece are made again for the
    gradient, so that memory holds B times ``chunk`` of them, however many texts there are.

    Args:
        queries: (B, D).
        vocabulary: (N, D), any precision.
        rows: (B,) the narration of each clip.
        scale: One over the temperature.
        chunk: Texts at a time.
    """
    own = (queries * vocabulary[rows].to(queries)).sum(dim=1) * scale
    parts = [vocabulary[start : start + chunk] for start in range(0, len(vocabulary), chunk)]
    pieces = [
        checkpoint(_log_sum, queries, part, scale, use_reentrant=False)
        if len(parts) > 1
        else _log_sum(queries, part, scale)
        for part in parts
    ]
    return (torch.logsumexp(torch.stack(pieces), dim=0) - own).sum()


def _log_sum(queries: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    return torch.logsumexp(queries @ texts.to(queries).T * scale, dim=1)


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
            model: The language model.
            prompt: Of B clips.
            batch: The clips that it was made of.
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
