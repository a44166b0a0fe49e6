"""Where the benchmark's narrators are trained and their answers kept, and the figures of what they say."""

import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from backbone.io.files import atomic_folder, read_json, write_json
from benchmarks.common import cache_path
from benchmarks.video.systems import SYSTEMS, NarrationSchedule, NarrationSystem, train_system, untrained
from benchmarks.video.vocabularies import BenchmarkVocabulary, cut, described, distractors, embed, fill, name_list
from multimodal.metrics.caption import score, score_each
from multimodal.metrics.personalization import Interval, bootstrap
from scripts._app.cli import remark
from starter_build.datasets.emoji_clips import Part, Videos, emoji_clips, encode, part, plain_names
from starter_build.datasets.splits import load_splits
from starter_build.datasets.voices import spoken
from video.evaluation import hit_ranks
from video.metrics import recall
from video.vocabulary.narrations import clean
from video.vocabulary.vectors import Hits, TextEncoder, search

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from video.data.clip_features import ClipSet
    from video.narrator import Narrator


@dataclass(frozen=True, kw_only=True, eq=False)
class NarrationRun:
    """What one system with one seed said of the videos of one part, from one vocabulary."""

    names: Sequence[tuple[str, ...]]  # the right narrations of each video, the first name first
    concepts: Sequence[str]  # what each video is about
    said: Sequence[str]
    hits: Hits
    rows: Mapping[str, int]  # of the texts of the vocabulary

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


WITHOUT_EMOJI = "without-emoji"  # the image-text model of `benchmarks.video.encoder`

_BATCH = 64
_HITS = 20  # texts looked at for each video: equals of the right one must be among them to count as ties


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a trained narrator says of the videos."""

    queries: dict[str, Tensor]
    """By part (F, D): the vector that retrieves; the vector of the text that was written where it is written."""
    said: dict[str, list[str]]  # by part: what was written; nothing where narrations are retrieved
    facts: dict[str, float]  # trained parameters, steps, seconds, and figures on the validation videos


@dataclass(kw_only=True, eq=False)
class NarrationExperiment:
    """The videos, the frozen models, and a work folder."""

    videos: Videos
    names: list[str]  # every name of every emoji, moving or not, those of the videos first
    frozen: "tuple[ImageEncoder, Backbone]"
    folder: Path
    data: Path
    schedule: NarrationSchedule

    @classmethod
    def open(
        cls, data: Path, work: Path, clip: str, *, schedule: NarrationSchedule, device: str
    ) -> "NarrationExperiment":
        """Load the frozen models and encode the videos; missing packages are fetched under `data`.

        Args:
            data: The folder of fetched packages.
            work: The folder of all else.
            clip: An image-text model, or `WITHOUT_EMOJI`.
            schedule: The settings of training.
            device: The device to compute on.
        """
        from backbone.clip import ImageEncoder
        from backbone.gpt2 import Backbone
        from video.data.feature_cache import VideoCache

        if clip == WITHOUT_EMOJI:
            from benchmarks.video.encoder import benchmark_encoder

            clip = str(benchmark_encoder(data, work / "narration"))
        encoder, backbone = ImageEncoder.from_pretrained(clip, device=device), Backbone.from_pretrained(device=device)
        emoji, moving = spoken(data), emoji_clips(data)
        videos = encode(*part(moving, emoji, load_splits()), VideoCache(work / "features", encoder))
        named = [video.names for video in moving] + [plain_names(e.texts) for e in emoji if "cldr-name" in e.texts]
        return cls(
            videos=videos, names=name_list(map(clean, own) for own in named), frozen=(encoder, backbone),
            folder=work / "narration", data=data, schedule=schedule,
        )  # fmt: skip

    @property
    def texts(self) -> TextEncoder:
        """The frozen text tower."""
        return TextEncoder.of(self.frozen[0])

    # Narrators

    def answers(self, name: str, seed: int) -> Answers:
        """Train a system and let it speak of all held-out videos, or read what it said."""
        folder = self.answers_path(name, seed)
        if not folder.exists():
            remark(f"{name}, seed {seed}")
            run = self.folder / "runs" / folder.name
            answers = self._trained_answers(SYSTEMS[name], seed, run)
            with atomic_folder(folder) as partial:
                save_file(answers.queries, partial / "queries.safetensors")
                write_json(partial / "said.json", {"said": answers.said, "facts": answers.facts})
            shutil.rmtree(run, ignore_errors=True)
        return Answers(queries=load_file(folder / "queries.safetensors"), **read_json(folder / "said.json"))

    def answers_path(self, name: str, seed: int) -> Path:
        """Return the folder of what a system says, named by all that determines it."""
        models = [part.digest for part in self.frozen]
        asked = [videos.data.digest for videos in self.videos.parts.values()]
        learned = (self.schedule, self.videos.lessons[self.schedule.lesson].digest)
        system = SYSTEMS[name]
        settings = (system, seed, models, asked, learned if system.learns else ())
        return cache_path(self.folder / "answers", f"{name}-{seed}", *settings)

    def _trained_answers(self, system: NarrationSystem, seed: int, run: Path) -> Answers:
        narrator, facts = untrained(system, self.frozen, seed=seed), {}
        if system.learns:
            trained = train_system(system, self.videos, self.frozen, run, schedule=self.schedule, seed=seed)
            narrator, result = trained.narrator, trained.result
            parameters = sum(p.numel() for p in narrator.projection.parameters() if p.requires_grad)
            facts = {**result.metrics, "parameters": parameters, "steps": result.steps, "seconds": result.seconds}
        queries: dict[str, Tensor] = {}
        said: dict[str, list[str]] = {}
        for own, videos in self.videos.parts.items():
            if system.config.answer == "generate":
                said[own] = _written(narrator, videos.data)
                queries[own] = F.normalize(self.texts.half(said[own]).float(), dim=1)
            else:
                queries[own] = _queries(narrator, videos.data)
        return Answers(queries=queries, said=said, facts=facts)

    # What they say

    @cached_property
    def known(self) -> BenchmarkVocabulary:
        """All names of all emoji."""
        return self.embedded(self.names)

    def large(self, entries: int) -> tuple[BenchmarkVocabulary, str]:
        """Return the vocabulary of so many entries, the names first, and what it is made of."""
        sources = distractors(self.data, forbidden=set(self.names))
        texts = fill(self.names, sources, cut(sources["recipe steps"]), entries)
        return self.embedded(texts), described(sources, len(self.names), len(texts))

    def embedded(self, texts: Sequence[str]) -> BenchmarkVocabulary:
        """Return texts with their vectors, which are kept."""
        return embed(texts, self.texts, self.folder / "vectors")

    def own(self, which: Part, *, first: bool) -> BenchmarkVocabulary:
        """Return the names of the videos of a part alone, their first ones or all."""
        names = self.videos.parts[which].names
        return self.embedded(name_list(own[:1] if first else own for own in names))

    def run(self, name: str, seed: int, which: Part, vocabulary: BenchmarkVocabulary) -> NarrationRun:
        """Return what a system finds in a vocabulary for the videos of a part."""
        answers = self.answers(name, seed)
        return self.found(which, answers.queries[which], vocabulary, answers.said.get(which))

    def found(
        self, which: Part, queries: Tensor, vocabulary: BenchmarkVocabulary, said: Sequence[str] | None = None
    ) -> NarrationRun:
        """Return what queries find in a vocabulary; what was written, where something was, is what is said."""
        videos = self.videos.parts[which]
        hits = search(vocabulary.vectors, queries, _HITS)
        best = [vocabulary.texts[row] for row in hits.rows[:, 0].tolist()]
        return NarrationRun(
            names=videos.names, concepts=videos.concepts, said=said or best, hits=hits, rows=vocabulary.rows()
        )


@torch.no_grad()
def _queries(narrator: "Narrator", data: "ClipSet") -> Tensor:
    return torch.cat([narrator.query(_batch(narrator, data, at)).cpu() for at in range(0, len(data), _BATCH)])


def _written(narrator: "Narrator", data: "ClipSet") -> list[str]:
    written = [narrator.generate(_batch(narrator, data, at)) for at in range(0, len(data), _BATCH)]
    return [clean(row[0].text) for rows in written for row in rows]


def _batch(narrator: "Narrator", data: "ClipSet", at: int) -> Any:
    rows = range(at, min(at + _BATCH, len(data)))
    return narrator.batch([data.frames(row) for row in rows], [data.clips[row].asked for row in rows])
