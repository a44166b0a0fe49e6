"""The line between what a vocabulary can say and what it cannot, drawn for one narrator from its held-out clips."""

import torch

from video.data.clip_features import ClipSet
from video.narrator import Narrator
from video.vocabulary.exact_search import Hits, search
from video.vocabulary.novelty import NEIGHBOURS, CalibratedMargin

LEAST = 8
"""Held-out clips below which no line is drawn."""


def draw_line(narrator: Narrator, held: ClipSet, texts: tuple[str, ...], *, batch_size: int = 64) -> CalibratedMargin:
    """Return what tells new from known: each held-out clip is asked about with its narrations there, and without them.

    Args:
        narrator: trained; it retrieves.
        held: clips that it has not learned from.
        texts: what else the vocabulary holds; those of the clips are added.
        batch_size: clips at a time.

    Raises:
        PolygraftError: there are no clips, or not enough texts.
    """
    queries = []
    with torch.no_grad():
        for start in range(0, len(held), batch_size):
            rows = range(start, min(start + batch_size, len(held)))
            asked = [held.clips[row].asked for row in rows]
            queries.append(narrator.query(narrator.batch([held.frames(row) for row in rows], asked)).cpu())
    vocabulary = tuple(dict.fromkeys([*texts, *held.texts]))
    own = torch.tensor([vocabulary.index(text) for text in held.texts])
    hits = search(narrator.text_encoder.half(vocabulary), torch.cat(queries), NEIGHBOURS + 1)
    return CalibratedMargin.fit(hits.scores[:, :NEIGHBOURS], _without(hits, own)[:, :NEIGHBOURS])


def _without(hits: Hits, own: torch.Tensor) -> torch.Tensor:
    """Return the scores of all hits but each query's own row; where that is none of them, of all but the last."""
    kept = hits.rows != own[:, None]
    kept[kept.all(dim=1), -1] = False
    return hits.scores[kept].reshape(len(own), -1)
