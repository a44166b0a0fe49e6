"""Training in a new language: the bits per byte of held-out text along the way, what a method costs, and plots."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import cache_path, cached
from scripts._app.cli import remark
from scripts._app.plots import pyplot
from starter_build.starter.transfer import SCRATCH, STARTS, begin

if TYPE_CHECKING:
    from starter_build.datasets.transfer_texts import TransferMaterial

_SHARES = (0.0, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.7, 0.85, 1.0)


@dataclass(frozen=True, kw_only=True)
class TransferSchedule:
    """How models are trained on."""

    steps: int = 200
    """Optimizer steps."""
    batch: int = 12
    """Rows of a step."""
    context: int = 128
    """Tokens of a row."""
    lr: float = 4e-3
    """Peak learning rate of what was transferred."""
    scratch_lr: float = 1e-3
    """Of a model from nothing."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """What a model learned."""

    method: str
    language: str
    seed: int
    steps: tuple[int, ...]
    bits: tuple[float, ...]  # bits per byte of the held-out text after these steps
    making: float  # seconds that its embeddings took to make, word vectors and tokenizer not counted

    def at(self, share: float) -> float:
        """Return the bits per byte after a share of all steps."""
        return self.bits[self.steps.index(_step(share, self.steps[-1]))]

    def steps_to(self, bits: float) -> float | None:
        """Return after how many steps these bits per byte were reached, between measurements by a straight line."""
        for number, (step, found) in enumerate(zip(self.steps, self.bits, strict=True)):
            if found <= bits and not number:
                return 0.0
            if found <= bits:
                earlier, before = self.steps[number - 1], self.bits[number - 1]
                return earlier + (step - earlier) * (before - bits) / max(before - found, 1e-9)
        return None

    def figures(self) -> dict[str, float]:
        """Return what tables show, by name."""
        return {f"{share:.0%}": self.at(share) for share in (0.0, 0.01, 0.1, 1.0)} | {"seconds": self.making}


def learn(material: "TransferMaterial", method: str, seed: int, schedule: TransferSchedule) -> LearningCurve:
    """Begin and train on, or read what an earlier call has kept.

    Args:
        material: The text of the language and what methods are given.
        method: A key of `STARTS`, or `SCRATCH`.
        seed: The seed of what is drawn and of the order of data.
        schedule: The settings of training.
    """
    from backbone.gpt2 import Backbone

    english = Backbone.from_pretrained("starter", device="cpu", dtype="float32")
    # the tokens stand for all that was made of the same text: the tokenizer, word vectors and verses
    read = (english.digest, material.rows(schedule.context).digest, material.test)
    settings = (material.code, STARTS.get(method), seed, schedule, *read)
    path = cache_path(material.folder / "runs", f"{method}-{seed}", *settings).with_suffix(".json")

    def make() -> dict[str, Any]:
        remark(f"{material.code}: {method}, seed {seed}")
        return asdict(_learn(material, method, seed, schedule, material.test))

    kept = cached(path, make)
    return LearningCurve(**{**kept, "steps": tuple(kept["steps"]), "bits": tuple(kept["bits"])})


def best_rate(
    material: "TransferMaterial", method: str, schedule: TransferSchedule, rates: Sequence[float]
) -> dict[float, float]:
    """Return the final bits per byte of the validation documents for each learning rate."""
    found = {}
    for rate in rates:
        tried = replace(schedule, lr=rate, scratch_lr=rate)
        found[rate] = _learn(material, method, 0, tried, material.validation).bits[-1]
        remark(f"{material.code}: {method}, rate {rate:g}: {found[rate]:.3f}")
    return found


def _learn(
    material: "TransferMaterial", method: str, seed: int, schedule: TransferSchedule, texts: Sequence[str]
) -> LearningCurve:
    from backbone.training.config import TrainConfig
    from crosslingual.language_model.bits_per_byte import score_text
    from crosslingual.language_model.train import train_language_model

    begun = begin(method, material, seed)
    wanted = {_step(share, schedule.steps) for share in _SHARES}
    bits: dict[int, float] = {}
    steps = itertools.count()

    def evaluate(model: Any) -> dict[str, float]:
        step = next(steps)
        if step in wanted:
            bits[step] = score_text(model, material.tokenizer, texts, context=schedule.context).bits_per_byte
        return {}

    evaluate(begun.backbone.model)
    config = TrainConfig(
        steps=schedule.steps, batch_size=schedule.batch, seed=seed, eval_every=1, save_every=0, warmup=0.05,
        lr=schedule.scratch_lr if method == SCRATCH else schedule.lr,
    )  # fmt: skip
    train_language_model(
        begun.backbone.model, material.tokenizer, material.rows(schedule.context), config, evaluate=evaluate
    )
    return LearningCurve(
        method=method, language=material.code, seed=seed, steps=tuple(bits), bits=tuple(bits.values()),
        making=begun.seconds,
    )  # fmt: skip


def _step(share: float, steps: int) -> int:
    return round(share * steps)


def measure_cost(material: "TransferMaterial", method: str) -> dict[str, float]:
    """Return the seconds that a method takes to make the rows, and the most memory in MiB of a process of its own.

    The English model and all that the method is given count for the memory, and not for the seconds.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_cost, material, method).result()


def _cost(material: "TransferMaterial", method: str) -> dict[str, float]:
    from crosslingual.vocabulary_transfer.transfer import peak_memory

    begun = begin(method, material, seed=0)
    return {"seconds": begun.seconds, "MiB of the process": peak_memory() / 2**20}


def draw(runs: Mapping[str, Sequence[LearningCurve]], path: Path) -> None:
    """Draw the mean bits per byte over seeds of each method, a plot for each language."""
    plots = pyplot()
    figure, axes = plots.subplots(1, len(runs), figsize=(5 * len(runs), 4), squeeze=False)
    for axis, (code, own) in zip(axes[0], runs.items(), strict=True):
        for number, method in enumerate(dict.fromkeys(run.method for run in own)):
            curves = [run for run in own if run.method == method]
            mean = [statistics.fmean(values) for values in zip(*(run.bits for run in curves), strict=True)]
            # more methods than colors: the line changes, too
            axis.plot(curves[0].steps, mean, ("-", "--", "-.", ":")[number % 4], label=method)
        axis.set_title(code)
        axis.set_xlabel("steps")
    axes[0][0].set_ylabel("bits per byte of held-out text")
    axes[0][-1].legend(fontsize=7)
    figure.savefig(path, bbox_inches="tight")
    plots.close(figure)
