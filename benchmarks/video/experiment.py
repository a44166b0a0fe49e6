"""Where the benchmark's narrators are trained and their answers kept, so that nothing is done twice."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from backbone.io.files import atomic_folder, read_json, write_json
from benchmarks.common import file_name
from benchmarks.video.distractors import cut, distractors, fill
from benchmarks.video.systems import SYSTEMS, NarrationSchedule, NarrationSystem, train_system, untrained
from benchmarks.video.tables import NarrationRun
from benchmarks.video.vocabularies import BenchmarkVocabulary, described, embed, name_list
from scripts._app.cli import remark
from starter_build.datasets.emoji_clips import Part, Videos, emoji_clips, encode, part, plain_names
from starter_build.datasets.splits import load_splits
from starter_build.datasets.voices import spoken
from video.vocabulary.narrations import clean
from video.vocabulary.vectors import TextEncoder, search

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from video.data.clip_features import ClipSet
    from video.narrator import Narrator

WITHOUT_EMOJI = "without-emoji"
"""The image-text model of `benchmarks.video.encoder`."""

_BATCH = 64
_HITS = 20
"""Texts looked at for each video: equals of the right one must be among them to count as ties."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What a trained narrator says of the videos."""

    queries: dict[str, Tensor]
    """By part (F, D): the vector that retrieves; the vector of the text that was written where it is written."""
    said: dict[str, list[str]]
    """By part: what was written; nothing where narrations are retrieved."""
    facts: dict[str, float]
    """Trained parameters, steps, seconds, and figures on the validation videos."""


@dataclass(kw_only=True, eq=False)
class NarrationExperiment:
    """The videos, the frozen models, and a work folder."""

    videos: Videos
    names: list[str]
    """Every name of every emoji, moving or not, those of the videos first."""
    frozen: "tuple[ImageEncoder, Backbone]"
    folder: Path
    data: Path
    schedule: NarrationSchedule
    distractors: Path | None = None

    @classmethod
    def open(
        cls,
        data: Path,
        work: Path,
        clip: str,
        *,
        schedule: NarrationSchedule,
        device: str,
        distractors: Path | None = None,
    ) -> "NarrationExperiment":
        """Load the frozen models and encode the videos; missing packages are fetched under `data`.

        Args:
            data: where fetched packages are kept.
            work: where all else is kept.
            clip: an image-text model, or `WITHOUT_EMOJI`.
            schedule: how narrators are trained.
            device: where.
            distractors: further narrations for the large vocabulary.
        """
        from backbone.clip import ImageEncoder
        from backbone.gpt2 import Backbone
        from video.data.feature_cache import VideoCache

        if clip == WITHOUT_EMOJI:
            from benchmarks.video.encoder import benchmark_encoder

            clip = str(benchmark_encoder(data, work / "narration"))
        encoder, backbone = ImageEncoder.from_pretrained(clip, device=device), Backbone.from_pretrained(device=device)
        emoji, moving = spoken(data), emoji_clips(data)
        videos = encode(part(moving, emoji, load_splits()), VideoCache(work / "features", encoder))
        named = [video.names for video in moving] + [plain_names(e.texts) for e in emoji if "cldr-name" in e.texts]
        return cls(
            videos=videos, names=name_list(map(clean, own) for own in named), frozen=(encoder, backbone),
            folder=work / "narration", data=data, schedule=schedule, distractors=distractors,
        )  # fmt: skip

    @property
    def texts(self) -> TextEncoder:
        """The frozen text tower."""
        return TextEncoder.of(self.frozen[0])

    # Narrators

    def answers(self, name: str, seed: int) -> Answers:
        """Train a system and let it speak of all held-out videos, or read what it said."""
        system = SYSTEMS[name]
        folder = self.folder / "answers" / self._key(name, system, seed)
        if not folder.exists():
            remark(f"{name}, seed {seed}")
            answers = self._trained_answers(system, seed, self.folder / "runs" / folder.name)
            with atomic_folder(folder) as partial:
                save_file(answers.queries, partial / "queries.safetensors")
                write_json(partial / "said.json", {"said": answers.said, "facts": answers.facts})
            shutil.rmtree(self.folder / "runs" / folder.name, ignore_errors=True)
        record = read_json(folder / "said.json")
        return Answers(queries=load_file(folder / "queries.safetensors"), said=record["said"], facts=record["facts"])

    def _key(self, name: str, system: NarrationSystem, seed: int) -> str:
        models = [part.digest for part in self.frozen]
        data = [self.videos.validation.digest, self.videos.lessons[self.schedule.lesson].digest]
        schedule = asdict(self.schedule) if system.learns else ()
        record = repr((asdict(system.config), system.near, schedule, models, data, seed))
        return f"{file_name(name, seed)}-{hashlib.sha256(record.encode()).hexdigest()[:12]}"

    def _trained_answers(self, system: NarrationSystem, seed: int, run: Path) -> Answers:
        narrator, facts = untrained(system, self.frozen, seed=seed), {}
        if system.learns:
            trained = train_system(system, self.videos, self.frozen, run, schedule=self.schedule, seed=seed)
            narrator, facts = (
                trained.narrator,
                trained.result.metrics
                | {
                    "parameters": sum(p.numel() for p in trained.narrator.projection.parameters() if p.requires_grad),
                    "steps": trained.result.steps,
                    "seconds": trained.result.seconds,
                },
            )
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
        sources = distractors(self.data, self.distractors, forbidden=set(self.names))
        texts = fill(self.names, sources, cut(sources["recipe steps"]), entries)
        return self.embedded(texts), described(sources, len(self.names), len(texts))

    def embedded(self, texts: Sequence[str]) -> BenchmarkVocabulary:
        """Return texts with their vectors, which are kept."""
        made = embed(texts, self.texts, self.folder / "vectors")
        if made.encoded > 1000:
            remark(f"encoded {made.encoded:,} texts in {made.seconds / 60:.1f} minutes")
        return made.vocabulary

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
