"""NarratorConfig: arguments, checkpoint config and command-line flags of a narrator; imports no torch."""

from dataclasses import dataclass
from typing import Literal

import tyro

from backbone.errors import UsageError

QUESTIONS = {
    "now": "What is the action in the video?",
    "next": "What is the next action in the video?",
    "before": "What is the previous action in the video?",
    "overall": "What is the overall activity in the video?",
}
"""The four questions of VLog's release, word for word, so that weights trained with them keep their meaning."""

LEAST_TEMPERATURE = 0.01
"""A learned one stops there, as in CLIP."""

_COUNTS = ("visual_tokens", "max_frames", "max_question", "max_tokens")


@dataclass(frozen=True, kw_only=True)
class NarratorConfig:
    """The trained part of a narrator: what leads frames into the language model and its answer out again."""

    answer: Literal["retrieve", "generate"] = "retrieve"
    """One vector that retrieves a narration; or the narration's words one by one, the baseline."""
    retrieval: Literal["mean", "eos", "learned"] = "mean"
    """The token whose last hidden state becomes the vector: the frames' mean, the end of text, or a learned one."""
    order: Literal["question-first", "frames-first"] = "question-first"
    """What the language model reads first: the question, which is then computed once for all clips with the same one;
    or the frames, as published."""
    body: Literal["frozen", "low-rank", "full", "none"] = "low-rank"
    """The language model: frozen; with trained low-rank changes (LoRA); fully tuned, as published; or not used, so that
    the frames alone give the vector."""
    rank: int = 8
    """Rank of the changes, where body is low-rank."""
    adapter_layers: int = 0
    """Layers of the temporal transformer between the frames and the language model; 0: none."""
    residual: bool = True
    """Add the mean of the frames to the vector, where frames and texts lie in one space."""
    visual_tokens: int = 1
    """Prefix vectors per frame."""
    max_frames: int = 32
    """Largest number of frames per clip; longer clips are sampled evenly."""
    max_question: int = 24
    """Largest number of tokens of a question."""
    max_tokens: int = 32
    """Tokens of a training narration, where answers are generated."""
    loss: Literal["vocabulary", "batch"] = "vocabulary"
    """Negatives of the contrastive loss: all training texts, or those of the batch (symmetric InfoNCE)."""
    temperature: float = 0.05
    """Temperature of the softmax over cosine similarities."""
    learn_temperature: bool = True
    """Learn the temperature, starting from that value; off: fixed, as published."""
    novelty: tyro.conf.Suppress[tuple[float, ...]] = ()
    """Novelty detector, see `video.vocabulary.novelty.CalibratedMargin`: weights of best
    score and margin, bias, threshold; learned from held-out clips. Empty: nothing was held out."""
    image_width: tyro.conf.Suppress[int] = 0
    """Width of the image features; read from the image encoder."""
    text_width: tyro.conf.Suppress[int] = 0
    """Width of the language model; read from it."""
    vector_width: tyro.conf.Suppress[int] = 0
    """Width of the text vectors; read from the text encoder."""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            _at_least(name, getattr(self, name), 1)
        _at_least("rank", self.rank, 1)
        _at_least("adapter_layers", self.adapter_layers, 0)
        if not LEAST_TEMPERATURE <= self.temperature <= 1:
            raise UsageError(f"temperature is {self.temperature}, allowed is {LEAST_TEMPERATURE} to 1")
        if len(self.novelty) not in (0, 4):
            raise UsageError(f"novelty has {len(self.novelty)} numbers, allowed is 4 or none")
        if self.answer == "generate" and self.body == "none":
            raise UsageError("answer generate needs the language model: body none contradicts it")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} is {value}, allowed is {least} or more")
