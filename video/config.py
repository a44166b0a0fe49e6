"""Configuration of a narrator, and the options of narration and of vocabularies; imports no torch."""

import math
from dataclasses import dataclass
from typing import Literal

import tyro

from backbone.errors import UsageError
from backbone.io.settings import check_range

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
        check_range(self, " ".join(_COUNTS), 1)
        check_range(self, "rank", 1)
        check_range(self, "adapter_layers", 0)
        check_range(self, "temperature", LEAST_TEMPERATURE, 1)
        if len(self.novelty) not in (0, 4):
            raise UsageError(f"novelty has {len(self.novelty)} numbers, allowed is 4 or none")
        if self.answer == "generate" and self.body == "none":
            raise UsageError("answer generate needs the language model: body none contradicts it")


def check_fps(fps: float) -> None:
    """Refuse a number of frames a second that no video has.

    Raises:
        UsageError: It is not above 0, or above 1000.
    """
    if not 0 < fps <= 1000:
        raise UsageError(f"fps is {fps}, allowed is above 0 and up to 1000")


_POSITIVE = ("every", "window")
_NOT_NEGATIVE = ("min_span", "steady", "scene_weight")


@dataclass(frozen=True, kw_only=True)
class NarrateOptions:
    """What is asked of a video's moments, and how their answers become one list."""

    question: str = "now"
    """The question: now, next, before, overall, or free text. next is answered from the frames before a moment, before
    from the frames after it, overall from the whole video."""
    every: float = 1.0
    """Seconds from one moment to the next."""
    window: float = 3.0
    """Seconds of video from which a moment is narrated: around it, or before or after it."""
    cuts: bool = True
    """End spans at cuts, which are detected by the change from one frame to the next; no window crosses a cut. Off: for
    videos without cuts, or encoders that detect false ones."""
    fps: float = 2.0
    """Frames sampled per second."""
    top: int = 1
    """Narrations per span, the most likely first."""
    min_span: float = 1.0
    """Shortest span in seconds; shorter ones are merged into their neighbours."""
    steady: float = 0.1
    """Cost of changing the narration between moments, in cosine similarity summed over moments."""
    scene_weight: float = 0.02
    """Weight of the scene's log-probability, added to the cosine similarity; 0: no scene prior."""
    scene_keep: int = 0
    """Retrieve only narrations of this many most likely scenes; 0: of all."""

    def __post_init__(self) -> None:
        check_fps(self.fps)
        for name in _POSITIVE + _NOT_NEGATIVE:
            value, least = getattr(self, name), "above 0" if name in _POSITIVE else "0 or more"
            if not math.isfinite(value) or value < 0 or (name in _POSITIVE and not value):
                raise UsageError(f"{name} is {value}, allowed is {least}")
        check_range(self, "top", 1)
        if not self.question.strip():
            raise UsageError("the question is empty: give now, next, before, overall or one in its own words")

    @property
    def asked(self) -> str:
        """The question in words."""
        return QUESTIONS.get(self.question, self.question)


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """Which proposals are accepted into a vocabulary."""

    duplicate: float = 0.95
    """Cosine similarity to an existing or accepted sentence from which a proposal is a duplicate."""
    gain: float = 0.06  # found most on validation videos among the values that lost nothing (docs/log.md)
    """Least gain in cosine similarity to the segment over the best existing narration."""
    per_film: int = 20
    """Sentences accepted per video at most, over all its updates."""

    def __post_init__(self) -> None:
        if not 0 < self.duplicate <= 1:
            raise UsageError(f"duplicate is {self.duplicate}, allowed is a cosine above 0 and up to 1")
        if not 0 <= self.gain < 2:
            raise UsageError(f"gain is {self.gain}, allowed is a difference of cosines from 0 to below 2")
        check_range(self, "per_film", 1)


@dataclass(frozen=True, kw_only=True)
class CodingOptions:
    """How narrations are split into prefixes and postfixes."""

    min_share: int = 1
    """A postfix must follow this many narrations (2 to 5 suit large files)."""
    min_base_words: int = 2
    """A prefix that takes a postfix has this many words, so that "open" does not make a postfix of each thing."""
    function_word_guard: bool = True
    """Require that a postfix begins with a function word, such as with, on or into."""

    def __post_init__(self) -> None:
        check_range(self, "min_share min_base_words", 1)
