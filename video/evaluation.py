"""Evaluation of a narrator on held-out clips: narrations, metrics and time.

What is right for a clip are the narrations of all clips that show the same and ask the same, its own first.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from video.data.clip_features import ClipSet
from video.frames.reader import read_frames
from video.metrics import Ranks, coverage, recall, retrieval_figures
from video.narrator import Narrator
from video.vocabulary.vectors import Hits, search
from video.vocabulary.vocabulary import NarrationVocabulary

Progress = Callable[[Sequence[range], str], Iterable[range]]
"""Passes batches on and shows a progress bar with this label."""

AT = (1, 5)


def truths(data: ClipSet) -> list[tuple[str, ...]]:
    """Return the right narrations of each clip, its own first."""
    shown = list(zip(data.features.videos, data.features.times, (clip.asked for clip in data.clips), strict=True))
    groups: dict[tuple[str, tuple[float, ...], str], list[str]] = {}
    for moment, text in zip(shown, data.texts, strict=True):
        groups.setdefault(moment, []).append(text)
    return [tuple(dict.fromkeys([text, *groups[moment]])) for moment, text in zip(shown, data.texts, strict=True)]


class NarratorEvaluator:
    """Runs a narrator on clips and measures it.

    Args:
        narrator: Which.
        data: The clips.
        vocabulary: Where narrations are retrieved from; None: from those of the clips themselves. Nothing to a narrator
            that writes them.
        batch_size: Clips at a time.
        progress: Passes on batches, for a progress bar.

    Raises:
        PolygraftError: The vocabulary has no vectors, or those of another text encoder than the narrator's.
    """

    def __init__(
        self,
        narrator: Narrator,
        data: ClipSet,
        *,
        vocabulary: NarrationVocabulary | None = None,
        batch_size: int = 32,
        progress: Progress = lambda batches, _: batches,
    ) -> None:
        self._narrator, self._data, self._batch_size, self._progress = narrator, data, batch_size, progress
        self._retrieves = narrator.config.answer == "retrieve"
        self._answer = self._find if self._retrieves else self._write
        self._truths = truths(data)
        self._texts = list(dict.fromkeys(data.texts))
        self._vectors = torch.zeros(0, 0)
        self._vocabulary = vocabulary if self._retrieves else None
        if self._vocabulary is not None:
            self._vocabulary.check_encoder(narrator.text_encoder.part)
        elif self._retrieves:
            self._vectors = narrator.text_encoder.half(self._texts).to(narrator.backbone.device)

    def measure(self) -> tuple[list[str], dict[str, float]]:
        """Narrate every clip.

        Returns:
            The narrations, and the figures: ``seconds_per_clip`` from encoded frames to a narration, and where
            narrations are retrieved recalls, see `video.metrics.retrieval_figures`. From a vocabulary that is given,
            there are no plain ones and no mean rank, but its ``coverage``.
        """
        frames = [self._data.frames(index) for index in range(len(self._data))]
        asked = [clip.asked for clip in self._data.clips]
        starts = range(0, len(frames), self._batch_size)
        batches = [slice(start, start + self._batch_size) for start in starts]
        self._answer(frames[batches[0]], asked[batches[0]])  # the first call of all sets things up
        narrations, queries, hits, seconds = [], [], [], 0.0
        for rows in self._progress([range(len(frames))[batch] for batch in batches], "answering"):
            began = time.perf_counter()
            texts, found = self._answer(frames[rows.start : rows.stop], asked[rows.start : rows.stop])
            seconds += time.perf_counter() - began
            narrations += texts
            if found is not None:
                queries.append(found[0].cpu())
                hits.append(found[1])
        figures = {"seconds_per_clip": seconds / len(frames)}
        if self._retrieves:
            figures = self._recalls(torch.cat(queries), hits) | figures
        return narrations, figures

    @torch.no_grad()
    def _find(self, frames: Sequence[Tensor], questions: Sequence[str]) -> tuple[list[str], tuple[Tensor, Hits]]:
        queries = self._narrator.query(self._narrator.batch(frames, questions))
        if self._vocabulary is None:
            hits = search(self._vectors, queries, max(AT))
            return [self._texts[row] for row in hits.rows[:, 0].tolist()], (queries, hits)
        hits = self._vocabulary.search(queries, max(AT))
        entries = (self._vocabulary.entry(row) for row in hits.rows[:, 0].tolist())
        return [entry.text for entry in entries], (queries, hits)

    def _write(self, frames: Sequence[Tensor], questions: Sequence[str]) -> tuple[list[str], None]:
        rows = self._narrator.generate(self._narrator.batch(frames, questions))
        return [row[0].text for row in rows], None

    def _recalls(self, queries: Tensor, hits: Sequence[Hits]) -> dict[str, float]:
        if self._vocabulary is None:
            return retrieval_figures(queries, self._truths, self._texts, self._vectors.cpu(), at=AT)
        wanted = {text for own in self._truths for text in own}
        entries = enumerate(self._vocabulary.entries("narrations"))
        rows = {entry.text: row for row, entry in entries if entry.text in wanted}
        right = [[rows[text] for text in own if text in rows] for own in self._truths]
        first = [[rows[own[0]]] if own[0] in rows else [] for own in self._truths]
        found = {"coverage": coverage(self._truths, rows)}
        for name, each in (("deduplicated", hit_ranks(hits, first)), ("multi_positive", hit_ranks(hits, right))):
            found |= {f"{name}_recall_{at}": recall(each, at) for at in AT}
        return found

    def seconds_end_to_end(self, clips: int) -> float:
        """Return the mean seconds from a video's file to the narration of a clip, one clip at a time.

        Args:
            clips: So many of them, evenly spread, are read and encoded anew.
        """
        chosen = np.unique(np.linspace(0, len(self._data) - 1, min(clips, len(self._data))).round().astype(int))
        began = time.perf_counter()
        for index in chosen.tolist():
            chunks = read_frames(self._data.clips[index].video, at=self._data.features.times[index], reader="pyav")
            images = [frame.image for chunk in chunks for frame in chunk]
            frames = self._narrator.encoder.encode(images).pooled.cpu()
            self._answer([frames], [self._data.clips[index].asked])
        return (time.perf_counter() - began) / len(chosen)


def hit_ranks(hits: Sequence[Hits], right: Sequence[Sequence[int]]) -> Ranks:
    """Return the rank of the best right row among the hits of each query, one more than there are where none is.

    Ties are taken as in `video.metrics`, as far as there are hits.
    """
    found: list[int] = []
    for part in hits:
        for scores, rows in zip(part.scores.tolist(), part.rows.tolist(), strict=True):
            own = set(right[len(found)])
            best = max((score for score, row in zip(scores, rows, strict=True) if row in own), default=None)
            ahead = [row for score, row in zip(scores, rows, strict=True) if best is None or score >= best]
            found.append(1 + sum(row not in own for row in ahead))
    return np.array(found, dtype=np.int64)
