"""A tiny narrator, clips for it to learn from, and videos of coloured frames, all made in milliseconds."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backbone.clip import ImageEncoder
from backbone.gpt2 import Backbone
from tests.backbone.tiny import tiny_backbone
from tests.backbone.tiny_clip import tiny_image_encoder
from video.config import NarratorConfig
from video.data.clip_features import ClipSet
from video.data.clips import Clip
from video.data.feature_cache import SpanFeatures
from video.narrator import Narrator

VERBS = ("cut", "wash", "open", "throw", "paint", "carry")
NOUNS = ("a potato", "the door", "a plank", "two hands", "the red wall", "an old book")
TEXTS = tuple(f"{verb} {noun}" for verb in VERBS for noun in NOUNS)


@cache
def parts() -> tuple[ImageEncoder, Backbone]:
    return tiny_image_encoder(), tiny_backbone()


def tiny_config(**changes: Any) -> NarratorConfig:
    small = {"max_frames": 6, "max_question": 24, "max_tokens": 12, "rank": 2}
    return NarratorConfig(**(small | changes))


def tiny_narrator(seed: int = 0, **changes: Any) -> Narrator:
    torch.manual_seed(seed)
    return Narrator.build(*parts(), tiny_config(**changes))


def random_frames(lengths: Sequence[int], *, seed: int = 0, width: int = 24) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(length, width, generator=generator), dim=1) for length in lengths]


def moved(narrator: Narrator, *, seed: int = 5) -> Narrator:
    """Give every trained weight a push, so that nothing is at its start (where the vector is the mean frame alone)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in narrator.projection.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return narrator


def clip_set(frames: Sequence[Tensor], texts: Sequence[str], questions: Sequence[str] | str = "now") -> ClipSet:
    """Return clips with these frames, each of a video of its own."""
    asked = [questions] * len(texts) if isinstance(questions, str) else questions
    features = SpanFeatures(
        times=tuple(tuple(n / 2 for n in range(len(own))) for own in frames),
        videos=tuple(f"{number:064}" for number in range(len(frames))),
        unreadable={},
        encoded=0,
        read=lambda video, times: frames[int(video)][[round(2 * time) for time in times]].half(),
    )
    clips = tuple(
        Clip(video=Path(f"{number}.mp4"), text=text, question=question, id=str(number))
        for number, (text, question) in enumerate(zip(texts, asked, strict=True))
    )
    return ClipSet(clips=clips, features=features, encoder=parts()[0].digest)


def planted_set(*, copies: int = 1, noise: float = 0.3, seed: int = 0, rotate: bool = True) -> ClipSet:
    """Return clips whose frames are noisy text vectors, turned so that only who learns the turn finds the texts."""
    texts = [text for _ in range(copies) for text in TEXTS]
    vectors = spread_texts(TEXTS).repeat(copies, 1)
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(99)))
    frames = []
    for vector in vectors @ turn if rotate else vectors:
        blur = torch.randn(int(torch.randint(1, 5, (1,), generator=generator)), 24, generator=generator)
        frames.append(F.normalize(vector + noise * F.normalize(blur, dim=1), dim=1))
    return clip_set(frames, texts)


def spread_texts(texts: Sequence[str]) -> Tensor:
    """Return the text vectors without what all share, as a random text tower says nearly the same of all texts."""
    vectors = parts()[0].encode_text(texts)
    return F.normalize(vectors - vectors.mean(dim=0), dim=1)


def write_video(path: Path, colours: Sequence[str], *, seconds: float = 1.0) -> Path:
    """Write an animated GIF that shows each colour for so long."""
    frames = [Image.new("RGB", (32, 24), colour) for colour in colours]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1000 * seconds), loop=0)
    return path


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path
