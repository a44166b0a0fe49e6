"""From what was found or written to the figures of the benchmark's tables."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from multimodal.metrics.caption import score, score_each
from multimodal.metrics.personalization import Interval, bootstrap
from video.evaluation import hit_ranks
from video.metrics import recall
from video.vocabulary.vectors import Hits

SHOWN = ("first_1", "first_5", "any_1", "any_5", "cider_d", "bleu_1", "bleu_2")


@dataclass(frozen=True, kw_only=True, eq=False)
class NarrationRun:
    """What one system with one seed said of the videos of one part, from one vocabulary."""

    names: Sequence[tuple[str, ...]]
    """The right narrations of each video, the first name first."""
    concepts: Sequence[str]
    """What each video is about."""
    said: Sequence[str]
    hits: Hits
    rows: Mapping[str, int]
    """Of the texts of the vocabulary."""

    def take(self, kept: Sequence[int]) -> "NarrationRun":
        """Return what was said of these videos alone."""
        return replace(
            self,
            names=[self.names[row] for row in kept],
            concepts=[self.concepts[row] for row in kept],
            said=[self.said[row] for row in kept],
            hits=Hits(self.hits.scores[kept], self.hits.rows[kept]),
        )

    def figures(self) -> dict[str, float]:
        """Return recall of the first name and of any right one, and the metrics of what was said against all."""
        words = score(*self._scored())
        found = {
            f"{kind}_{at}": recall(hit_ranks([self.hits], self._right(kind)), at)
            for kind in ("first", "any")
            for at in (1, 5)
        }
        return found | {name: words[name] or 0.0 for name in ("cider_d", "bleu_1", "bleu_2")}

    def each(self, figure: str) -> list[float]:
        """Return a figure (`any_1`, `any_5`, `first_1`, `first_5` or `cider_d`) of each video."""
        if figure == "cider_d":
            found = score_each(*self._scored())
            return [found[str(at)]["cider_d"] for at in range(len(self.said))]
        kind, _, at = figure.partition("_")
        return [float(rank <= int(at)) for rank in hit_ranks([self.hits], self._right(kind)).tolist()]

    def _right(self, kind: str) -> list[list[int]]:
        wanted = [own[:1] if kind == "first" else own for own in self.names]
        return [[self.rows[name] for name in own if name in self.rows] for own in wanted]

    def _scored(self) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
        said = {str(at): text for at, text in enumerate(self.said)}
        return said, {str(at): own for at, own in enumerate(self.names)}


def difference(ours: Sequence[NarrationRun], others: Sequence[NarrationRun], figure: str) -> Interval:
    """Return how much better ours is in a figure, the mean over seeds, with a 95 % bootstrap interval over concepts."""
    first, second = (_mean_each(runs, figure) for runs in (ours, others))
    by_concept: dict[str, list[float]] = {}
    for concept, one, other in zip(ours[0].concepts, first, second, strict=True):
        by_concept.setdefault(concept, []).append(one - other)
    return bootstrap(by_concept, samples=2000)


def _mean_each(runs: Sequence[NarrationRun], figure: str) -> list[float]:
    return [statistics.fmean(values) for values in zip(*(run.each(figure) for run in runs), strict=True)]
