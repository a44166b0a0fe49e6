"""Training a begun model on in its language, with the bits per byte of held-out text along the way."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from backbone.io.files import read_json, write_text
from benchmarks.common import file_name
from scripts._app.cli import remark
from starter_build.starter.transfer import SCRATCH, begin

if TYPE_CHECKING:
    from starter_build.datasets.transfer_texts import TransferMaterial

_SHARES = (0.0, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.7, 0.85, 1.0)


@dataclass(frozen=True, kw_only=True)
class TransferSchedule:
    """How models are trained on."""

    steps: int = 200
    """Optimiser steps."""
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
    bits: tuple[float, ...]
    """Bits per byte of the held-out text after these steps."""
    making: float
    """Seconds that its embeddings took to make, word vectors and tokenizer not counted."""
    facts: dict[str, Any]

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
    """Begin and train on, or read what an earlier call has kept."""
    key = hashlib.sha256(json.dumps(asdict(schedule), sort_keys=True).encode()).hexdigest()[:8]
    path = material.folder / "runs" / f"{file_name(method, seed)}-{key}.json"
    if not path.exists():
        remark(f"{material.code}: {method}, seed {seed}")
        learned = _learn(material, method, seed, schedule, material.test)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(asdict(learned)) + "\n")
    kept = read_json(path)
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
    wanted = sorted({_step(share, schedule.steps) for share in _SHARES})
    bits: dict[int, float] = {}

    def measure(model: Any, step: int) -> None:
        bits[step] = score_text(model, material.tokenizer, texts, context=schedule.context).bits_per_byte

    calls = 0

    def evaluate(model: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls in wanted:
            measure(model, calls)
        return {}

    measure(begun.backbone.model, 0)
    config = TrainConfig(
        steps=schedule.steps, batch_size=schedule.batch, seed=seed, eval_every=1, save_every=0, warmup=0.05,
        lr=schedule.scratch_lr if method == SCRATCH else schedule.lr,
    )  # fmt: skip
    train_language_model(
        begun.backbone.model, material.tokenizer, material.rows(schedule.context), config, evaluate=evaluate
    )
    return LearningCurve(
        method=method, language=material.code, seed=seed, steps=tuple(sorted(bits)),
        bits=tuple(bits[step] for step in sorted(bits)), making=begun.seconds, facts=begun.facts,
    )  # fmt: skip


def _step(share: float, steps: int) -> int:
    return round(share * steps)
