"""What the speed of retrieval is measured on: made-up vocabularies on the disk, made-up videos, and who answers.

Neither what frames show nor what a vocabulary says changes the time that an answer takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backbone.checkpoint import FrozenPart
from backbone.generation.config import Decoding
from video.config import QUESTIONS, CodingOptions
from video.frames.reader import read_frames
from video.narrator import Narrator
from video.vocabulary.entries import Counts, Entry
from video.vocabulary.storage import Table
from video.vocabulary.vocabulary import NarrationVocabulary

QUESTION = QUESTIONS["now"]
POSTFIXES = 5_000  # of a vocabulary, as published; an eighth of the narrations where it is small
_PAIRS = 4  # one narration in so many is a prefix with a postfix, as published: 600,000 prefixes to 800,000 narrations
_VERBS = ("cut", "wash", "open", "throw", "paint", "carry", "turn", "hold")
_NOUNS = ("potato", "door", "plank", "hand", "wall", "book", "bowl")
_ROWS = 65_536  # drawn at a time: bounds the memory
_FRAMES_A_SECOND = 10


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """Entries that are written when they are asked for."""

    counts: Counts

    def __len__(self) -> int:
        return self.counts.rows

    def __getitem__(self, row: int, /) -> Entry:
        kind = self.counts.kind(row)
        if kind == "postfix":
            return Entry(text=_postfix(row - self.counts.narrations), kind=kind)
        said = f"{_VERBS[row % len(_VERBS)]} the {_NOUNS[row % len(_NOUNS)]} {row}"
        if kind == "prefix":
            return Entry(text=said, kind=kind)
        return Entry(text=f"{said} {_postfix(row % self.counts.postfixes)}", kind=kind, prefix=said)

    def __iter__(self) -> Iterator[Entry]:
        return (self[row] for row in range(len(self)))


def _postfix(number: int) -> str:
    return f"with the {_NOUNS[number % len(_NOUNS)]} {number}"


def write_vocabulary(folder: Path, narrations: int, width: int, part: FrozenPart, *, seed: int = 0) -> Path:
    """Write a vocabulary of random directions.

    Args:
        folder: A new folder.
        narrations: The number of narrations, 8 or more; postfixes come on top.
        width: The width of the vectors, which have length 1 and half precision.
        part: The text encoder that is said to have made them.
        seed: The seed of the directions.
    """
    pairs = narrations // _PAIRS
    counts = Counts(prefixes=narrations - pairs, pairs=pairs, postfixes=min(POSTFIXES, narrations // 8))
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.empty(counts.rows, width, dtype=torch.float16)
    for start in range(0, counts.rows, _ROWS):
        rows = vectors[start : start + _ROWS]
        rows.copy_(F.normalize(torch.randn(rows.shape, generator=generator), dim=1))
    table = Table(
        counts=counts,
        entries=MadeUp(counts=counts),
        vectors=vectors.numpy(),
        scene_starts=np.zeros(narrations + 1, dtype=np.int64),
        scenes=np.zeros(0, dtype=np.int32),
    )
    return NarrationVocabulary(table, coding=CodingOptions(), text_encoder=part).save_pretrained(folder)


def write_videos(folder: Path, videos: int, seconds: float) -> list[Path]:
    """Write animated images of 320 x 240 pixels in which a square moves over its ground."""
    paths = []
    for number in range(videos):
        frames = []
        for at in range(round(seconds * _FRAMES_A_SECOND)):
            frame = Image.new("P", (320, 240), 20 + number)
            frame.paste(200 + number, (4 * at, 80, 4 * at + 80, 160))
            frames.append(frame)
        frames[0].putpalette([level for level in range(256) for _ in range(3)])
        paths.append(folder / f"{number}.gif")
        frames[0].save(paths[-1], save_all=True, append_images=frames[1:], duration=1000 // _FRAMES_A_SECOND, loop=0)
    return paths


def read_clips(narrator: Narrator, videos: Sequence[Path], times: Sequence[float]) -> list[Tensor]:
    """Read and encode the frames of a clip of each video: (T, dv) each, on the CPU."""
    images = [[frame.image for chunk in read_frames(video, at=times) for frame in chunk] for video in videos]
    pooled = narrator.encoder.encode([image for own in images for image in own]).pooled.cpu()
    return list(torch.split(pooled, [len(own) for own in images]))


def write(narrator: Narrator, tokens: int, frames: Sequence[Tensor]) -> list[str]:
    """Write a narration of so many tokens, no more and no less (random weights end no text), of each clip (T, dv)."""
    exact = Decoding(max_tokens=tokens, min_tokens=tokens)
    batch = narrator.batch(frames, [QUESTION] * len(frames))
    return [row[0].text for row in narrator.generate(batch, exact)]


@torch.no_grad()
def retrieve(narrator: Narrator, vocabulary: NarrationVocabulary, frames: Sequence[Tensor]) -> list[str]:
    """Retrieve a narration for each clip of frames (T, dv)."""
    queries = narrator.query(narrator.batch(frames, [QUESTION] * len(frames)))
    return [row[0].text for row in vocabulary.retrieve(queries)]
