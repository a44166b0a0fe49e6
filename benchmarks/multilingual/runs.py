"""Models trained on a corpus by the commands themselves, and their bits per byte of each language's test documents."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from backbone.io.files import read_json, write_text
from benchmarks.common import file_name
from scripts._app.cli import remark
from starter_build.datasets.multilingual_texts import MultilingualMaterial
from starter_build.processes import polygraft

_KEPT = 12
"""Letters of the digest that tells the settings of runs apart."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is trained, and how."""

    name: str
    """How tables call it."""
    tokenizer: Path
    training: tuple[str, ...]
    """Options of ``polygraft train language`` beside those of the model and the text."""
    size: str = "tiny"
    context: int = 256
    validation: bool = False
    """Measured on what the corpus holds out, to choose by, and not on the test documents."""


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """A trained model's figures."""

    name: str
    seed: int
    bits: Mapping[str, float]
    """Bits per byte by language."""
    bytes_per_token: Mapping[str, float]
    """By language."""

    @property
    def mean(self) -> float:
        """Bits per byte, each language counting the same."""
        return sum(self.bits.values()) / len(self.bits)

    def figures(self) -> Mapping[str, float]:
        """Return what tables show, by name."""
        return {"mean": self.mean, **self.bits}


def run(settings: Settings, seed: int, material: MultilingualMaterial, work: Path, *, threads: int = 0) -> RunOutcome:
    """Train and measure, or read what an earlier call has kept; a training that was interrupted goes on.

    Args:
        settings: of the run.
        seed: of weights and order.
        material: the corpus and the test documents.
        work: folder of runs; of one that is done a small file is kept.
        threads: of the training; 0: as many as there are cores.
    """
    words = [
        "--corpus", material.corpus, "--tokenizer", settings.tokenizer, "--size", settings.size,
        "--context", settings.context, *settings.training, "--seed", seed, "--val-share", 0,
    ]  # fmt: skip
    identity = json.dumps([*map(str, words), settings.validation])
    folder = work / f"{file_name(settings.name, seed)}-{hashlib.sha256(identity.encode()).hexdigest()[:_KEPT]}"
    kept = folder.with_suffix(".json")
    if not kept.exists():
        remark(f"{settings.name}, seed {seed}")
        polygraft("train", "language", *words, "--out", folder, threads=threads)
        texts = [material.corpus] if settings.validation else material.tests()
        measured = polygraft("evaluate", "language", folder, *texts, "--by-language", threads=threads, capture=True)
        languages = [row for row in measured.rows() if "bytes" in row]
        outcome = RunOutcome(
            name=settings.name,
            seed=seed,
            bits={row["language"]: row["bits_per_byte"] for row in languages},
            bytes_per_token={row["language"]: row["bytes"] / row["tokens"] for row in languages},
        )
        write_text(kept, json.dumps(asdict(outcome)) + "\n")
        shutil.rmtree(folder)
    return RunOutcome(**read_json(kept))
