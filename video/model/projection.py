"""The trained part of a narrator: frames into the language model, and its answer out into the space of texts.

Shapes: B clips, T frames, L tokens of a question, dv width of frames, d of the language model, D of text vectors.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.generation.kv_cache import positions_from_mask
from backbone.gpt2 import Backbone
from backbone.lora import FullCopy, LowRank, Untouched, build_tuning
from backbone.prefix_norm import Calibration
from video.config import LEAST_TEMPERATURE, NarratorConfig

_ADAPTER_HEADS = 4


class Prompt(NamedTuple):
    """What the language model reads of B clips: frames, question, end of text and, if there is one, retrieval token."""

    embeds: Tensor
    """(B, S, d)"""
    mask: Tensor
    """(B, S) bool, false at padding; the last position is always real."""
    asked: int
    """How many positions of the beginning hold the question alone: the same for all clips that are asked the same."""


class Projection(nn.Module):
    """VLog's projectors (Lin and Shou, 2025, section 3.1), with what may be trained beside them.

    Args:
        config: what is built.
        backbone: the language model, whose word embeddings give vectors their length.
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
