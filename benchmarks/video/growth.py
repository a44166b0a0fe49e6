"""What is new to a vocabulary, and whether its growth finds more than it breaks.

The names of half of the test concepts are left out of a vocabulary of the videos' names. Videos that the margin calls
new (the right ones and false alarms alike) are asked about, a video at a time, and what passes the test of
`video.update.update.decide` enters. Then all test videos are looked for again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from benchmarks.video.vocabularies import BenchmarkVocabulary, name_list, names_of_things
from starter_build.datasets.documents import hash_share
from starter_build.datasets.emoji_clips import Part
from video.timeline.query import Segment
from video.update.update import Decision, grow
from video.vocabulary.narrations import NarrationRow, collect
from video.vocabulary.novelty import NEIGHBOURS, CalibratedMargin, FixedThreshold, Novelty, auroc
from video.vocabulary.vectors import search
from video.vocabulary.vocabulary import NarrationVocabulary

if TYPE_CHECKING:
    from benchmarks.video.experiment import NarrationExperiment, NarrationRun

_MISSING = 0.5  # share of the concepts whose names are left out


class Gap(NamedTuple):
    """A vocabulary without the names of some of the videos."""

    vocabulary: BenchmarkVocabulary
    missing: Tensor  # (F,) bool: which videos it has no right name of


@dataclass(frozen=True, kw_only=True, eq=False)
class Grown:
    """The videos before and after a growth."""

    before: "NarrationRun"
    after: "NarrationRun"
    missing: Tensor  # (F,) bool
    asked: int  # videos that were called new
    proposed: int
    admitted: int


def gap(experiment: "NarrationExperiment", which: Part) -> Gap:
    """Leave the names of some concepts of a part out of the names of all videos; a hash of the concept draws them."""
    videos = experiment.videos.parts[which]
    missing = torch.tensor([hash_share("missing", concept) < _MISSING for concept in videos.concepts])
    every = [own for part in experiment.videos.parts.values() for own in part.names]
    every += [lesson.texts for lesson in experiment.videos.lessons.values()]
    out = {name for own, gone in zip(videos.names, missing.tolist(), strict=True) if gone for name in own}
    kept = [name for name in name_list(every) if name not in out]
    held = set(kept)
    # a video counts as missing where nothing right is left, whichever video its names went with
    absent = torch.tensor([held.isdisjoint(own) for own in videos.names])
    return Gap(experiment.embedded(kept), absent)


def calibrated(experiment: "NarrationExperiment", queries: dict[str, Tensor]) -> CalibratedMargin:
    """Learn from both kinds of validation videos what novelty looks like."""
    known, novel = [], []
    parts: tuple[Part, ...] = ("validation fresh", "validation known")
    for which in parts:
        there = gap(experiment, which)
        scores = search(there.vocabulary.vectors, queries[which], NEIGHBOURS).scores
        known.append(scores[~there.missing])
        novel.append(scores[there.missing])
    return CalibratedMargin.fit(torch.cat(known), torch.cat(novel))


def noticed(rule: Novelty, there: Gap, queries: Tensor) -> dict[str, float]:
    """Return how well a rule tells the videos of a part that the vocabulary has no name of.

    Returns:
        ``AUROC``; ``caught``, the share of these that it calls new; ``false alarms``, the share of the others.
    """
    scores = search(there.vocabulary.vectors, queries, NEIGHBOURS).scores
    flagged, newness = rule.is_novel(scores).float(), rule.novelty(scores)
    return {
        "AUROC": auroc(newness[~there.missing], newness[there.missing]),
        "caught": float(flagged[there.missing].mean()),
        "false alarms": float(flagged[~there.missing].mean()),
    }


def rules(experiment: "NarrationExperiment", queries: dict[str, Tensor]) -> dict[str, Novelty]:
    """Return the rules that are compared."""
    return {"best cosine below 0.4": FixedThreshold(), "calibrated margin": calibrated(experiment, queries)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Phrases:
    """A proposer as `video.update.proposers.Library`, which proposes the closest of a list of phrases."""

    phrases: BenchmarkVocabulary
    name: str = "phrases"
    keep: int = 8

    def propose(self, segment: Segment) -> Sequence[str]:
        """Return the closest phrases."""
        rows = search(self.phrases.vectors, segment.query[None], self.keep).rows[0].tolist()
        return [self.phrases.texts[row] for row in rows]


def grown(experiment: "NarrationExperiment", which: Part, queries: Tensor, rule: Novelty) -> Grown:
    """Let the vocabulary of a gap grow by the videos of a part; names of things from WordNet are proposed.

    Args:
        experiment: The videos and models.
        which: The part.
        queries: The queries of its videos, (F, D).
        rule: The rule that calls them new.
    """
    there, videos = gap(experiment, which), experiment.videos.parts[which]
    new = rule.is_novel(search(there.vocabulary.vectors, queries, NEIGHBOURS).scores).nonzero().flatten().tolist()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "vocabulary"
        rows = (NarrationRow(text) for text in there.vocabulary.texts)
        vocabulary = NarrationVocabulary.build(collect(rows), encoder=experiment.texts)
        vocabulary.save_pretrained(folder)
        proposer = Phrases(phrases=experiment.embedded(names_of_things(experiment.data)))
        decisions: list[Decision] = []
        for row in new:
            segment = Segment(video=videos.videos[row].code, start=0.0, stop=3.0, query=queries[row])
            flagged = grow(folder, [segment], proposer, experiment.texts)
            decisions += flagged.decisions
        texts = [entry.text for entry in NarrationVocabulary.from_pretrained(folder).entries("narrations")]
    return Grown(
        before=experiment.found(which, queries, there.vocabulary),
        after=experiment.found(which, queries, experiment.embedded(texts)),
        missing=there.missing,
        asked=len(new),
        proposed=len(decisions),
        admitted=sum(decision.outcome == "admitted" for decision in decisions),
    )
