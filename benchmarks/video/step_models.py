"""Where narrators learn the order of steps, and what they answer is kept, so that nothing is done twice."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from backbone.clip import ImageEncoder
from backbone.device import seed_everything
from backbone.gpt2 import Backbone
from backbone.io.files import atomic_file
from backbone.training.config import TrainConfig
from backbone.training.loop import fit
from benchmarks.common import cache_path, cached, random_gpt2
from benchmarks.video.step_data import SHOWN, Procedure, StepTable, step_clips
from benchmarks.video.step_tasks import (
    Asked,
    Choice,
    Reader,
    StepPair,
    answer_choices,
    answer_pairs,
    choices,
    mean_reader,
    narrator_reader,
    nearest_reader,
    order_scores,
    pairs,
    place_scores,
)
from multimodal.metrics.personalization import Interval, bootstrap
from scripts._app.cli import remark
from starter_build.datasets.splits import Side
from video.config import NarratorConfig
from video.narrator import Narrator
from video.training.train import NarrationBatches, NarrationObjective
from video.vocabulary.vectors import TextEncoder

Answers = Mapping[str, Mapping[str, Sequence[float]]]  # by task and recipe, how far each answer was right

MEAN, NEAREST, PLACE = (
    "cosine with the mean of the steps shown",
    "cosine with the nearest step shown",
    "ridge to places",
)
OURS, RANDOM = "narrator, GPT-2", "narrator, GPT-2 with random weights"
ADAPTER, LINEAR = "no language model, 2-layer transformer", "no language model, linear map"
BOTH: tuple[Asked, ...] = ("next", "before")


@dataclass(frozen=True, kw_only=True)
class StepSystem:
    """A narrator to train."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # what differs from the defaults of `NarratorConfig`
    lr: float = 3e-3  # peak learning rate, by AdamW, chosen on the validation recipes
    random: bool = False  # whether its language model has random weights in place of the starter's

    @property
    def config(self) -> NarratorConfig:
        """The narrator's options."""
        # as published: steps stand in the frames' place, and all figures were measured so
        return NarratorConfig(max_frames=SHOWN, order="frames-first", **self.settings)

    @property
    def lessons(self) -> Sequence[Sequence[Asked]]:
        """What its narrators are asked: without a language model none reads questions, so there are two."""
        return [[asked] for asked in BOTH] if self.config.body == "none" else [BOTH]


_TUNED = {"body": "low-rank", "rank": 8, "adapter_layers": 0, "retrieval": "mean"}
SYSTEMS: dict[str, StepSystem] = {
    OURS: StepSystem(settings=_TUNED),
    RANDOM: StepSystem(settings=_TUNED, random=True),
    ADAPTER: StepSystem(settings={"body": "none", "adapter_layers": 2}, lr=1e-3),
    LINEAR: StepSystem(settings={"body": "none", "adapter_layers": 0}),
}


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The questions about the recipes of one side."""

    choices: Sequence[Choice]
    pairs: Sequence[StepPair]

    def take(self, read: Reader, vectors: torch.Tensor, asked: Sequence[Asked] = BOTH) -> dict[str, Any]:
        """Return how far each answer is right; orders need both questions."""
        own = [choice for choice in self.choices if choice.asked in asked]
        found: dict[str, Any] = dict(answer_choices(own, read, vectors))
        return found | (answer_pairs(self.pairs, order_scores(self.pairs, read, vectors)) if asked == BOTH else {})


class StepExperiment:
    """Recipes, the frozen models, and a work folder.

    Args:
        found: The recipes of all sides.
        encoder: The image-text model; its text side makes vectors of steps.
        backbone: The language model.
        work: The folder where trainings and answers are kept.
        steps: The optimizer steps of a system over both questions, whether one narrator is asked both or two one each.
        batch_size: The clips of a step.
    """

    def __init__(
        self,
        found: Sequence[Procedure],
        encoder: ImageEncoder,
        backbone: Backbone,
        work: Path,
        *,
        steps: int,
        batch_size: int,
    ) -> None:
        self.sides: dict[Side, list[Procedure]] = {"train": [], "validation": [], "test": []}
        for procedure in found:
            self.sides[procedure.side].append(procedure)
        self._encoder, self._backbone, self._work = encoder, backbone, work
        self._steps, self._batch_size = steps, batch_size
        self._made_of = (*found, encoder.text_digest)

    @cached_property
    def table(self) -> StepTable:
        """The steps with their vectors, which are kept."""
        from safetensors.torch import load_file, save_file

        texts = list(dict.fromkeys(step for side in self.sides.values() for p in side for step in p.steps))
        file = cache_path(self._work / "steps", "vectors", *self._made_of).with_suffix(".safetensors")
        if not file.exists():
            remark(f"encoding {len(texts):,} steps")
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(file) as partial:
                save_file({"vectors": TextEncoder.of(self._encoder).half(texts)}, partial)
        rows = {text: row for row, text in enumerate(texts)}
        return StepTable(rows=rows, vectors=load_file(file)["vectors"], encoder=self._encoder.text_digest)

    @cached_property
    def test(self) -> Examination:
        """The questions about the test recipes, whose answers no training recipe holds."""
        return self._examination("test")

    @cached_property
    def _validation(self) -> Examination:
        return self._examination("validation")

    def _examination(self, side: Side) -> Examination:
        found, known = self.sides[side], self.sides["train"]
        return Examination(choices=choices(found, known, self.table), pairs=pairs(found, known, self.table))

    def baselines(self) -> dict[str, list[Answers]]:
        """Return the answers of who knows no order, and of who knows where in a recipe a step like this stands."""
        vectors, test = self.table.vectors, self.test
        places = answer_pairs(test.pairs, place_scores(test.pairs, self.sides["train"], self.table))
        readers = {MEAN: mean_reader(vectors), NEAREST: nearest_reader(vectors)}
        found: dict[str, list[Answers]] = {name: [test.take(read, vectors)] for name, read in readers.items()}
        return found | {PLACE: [places]}

    def answers(self, name: str, seed: int) -> Answers:
        """Return what a system answers in the test; it is trained if it was not, and its answers are kept."""
        settings = (SYSTEMS[name], seed, self._steps, self._batch_size, self._backbone.digest, *self._made_of)
        path = cache_path(self._work / "steps", f"{name}-{seed}", *settings)

        def make() -> Answers:
            narrators = self._trained(name, seed, path)
            return self.test.take(narrator_reader(narrators, self.table.vectors), self.table.vectors)

        found: Answers = cached(path.with_suffix(".json"), make)
        return found

    def _trained(self, name: str, seed: int, run: Path) -> dict[Asked, Narrator]:
        system = SYSTEMS[name]
        found: dict[Asked, Narrator] = {}
        for lesson in system.lessons:
            remark(f"{name}, seed {seed}: {' and '.join(lesson)}")
            seed_everything(seed)
            backbone = random_gpt2(self._backbone) if system.random else self._backbone
            narrator = Narrator.build(self._encoder, backbone, system.config)
            steps = max(1, self._steps // len(system.lessons))
            pause = max(1, steps // 4)
            config = TrainConfig(
                steps=steps, batch_size=self._batch_size, lr=system.lr, eval_every=pause, save_every=pause, seed=seed
            )
            self._fit(narrator, lesson, config, run / "-".join(lesson))
            found |= dict.fromkeys(lesson, narrator)
        return found

    def _fit(self, narrator: Narrator, lesson: Sequence[Asked], config: TrainConfig, run: Path) -> None:
        # the weights that do best on validation recipes are kept
        vectors = self.table.vectors
        batches = NarrationBatches(step_clips(self.sides["train"], self.table, lesson), narrator)
        texts = vectors[[self.table.rows[text] for text in batches.texts]]
        read = narrator_reader(dict.fromkeys(lesson, narrator), vectors)

        def evaluate() -> dict[str, float]:
            narrator.projection.eval()
            right = {task: accuracy(own) for task, own in self._validation.take(read, vectors, lesson).items()}
            narrator.projection.train()
            return right | {"score": statistics.fmean(right.values())}

        result = fit(NarrationObjective(narrator, texts), batches, config, folder=run, evaluate=evaluate)
        narrator.projection.eval()
        remark(f"validation {result.metrics['score']:.3f} after {result.seconds / 60:.1f} minutes")


# Figures


def accuracy(by_recipe: Mapping[str, Sequence[float]]) -> float:
    """Return the share of right answers."""
    return statistics.fmean(right for own in by_recipe.values() for right in own)


def pooled(runs: Sequence[Answers], task: str, found: Sequence[Procedure]) -> dict[str, list[float]]:
    """Return by group of recipes how far each answer to a task is right, the mean over runs with different seeds."""
    groups: dict[str, list[float]] = {}
    for procedure in found:
        columns = zip(*(run[task].get(procedure.id, ()) for run in runs), strict=True)
        groups.setdefault(procedure.group, []).extend(map(statistics.fmean, columns))
    return {group: own for group, own in groups.items() if own}


def interval(runs: Sequence[Answers], task: str, found: Sequence[Procedure]) -> Interval:
    """Return the accuracy in a task with its 95 % interval over groups of recipes."""
    return bootstrap(pooled(runs, task, found))


def difference(ours: Sequence[Answers], others: Sequence[Answers], task: str, found: Sequence[Procedure]) -> Interval:
    """Return how much higher our accuracy is, on the same questions, with its 95 % interval over groups of recipes."""
    first, second = pooled(ours, task, found), pooled(others, task, found)
    return bootstrap({group: [a - b for a, b in zip(own, second[group], strict=True)] for group, own in first.items()})
