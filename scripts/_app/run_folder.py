"""The ``--out`` folder of a training command: the run while it lasts, the checkpoint once it is done.

A run keeps ``run.json`` (its settings) beside the files of `backbone.training.loop.fit`. The checkpoint replaces the
folder in one step, so that the folder is at any moment an unfinished run or a finished checkpoint.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.checkpoint import CARD, CONFIG, RECORD, TABLES, WEIGHTS, read_header
from backbone.errors import PolygraftError, UsageError
from backbone.io.files import atomic_folder, read_json, write_json
from backbone.training.config import TrainConfig
from scripts._app.cli import tell

if TYPE_CHECKING:
    from backbone.checkpoint import ModelCard
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from backbone.training.loop import FitResult

RUN = "run.json"
TRANSFER = "transfer.json"  # record of a transfer, beside the model's own files
_RUN_PARTS = {RUN, "log.jsonl", "resume", "tensorboard", "embeddings-first", "tokens.npy", "tokens"}
_CHECKPOINT_PARTS = {CARD, CONFIG, RECORD, TABLES, WEIGHTS}
_MODEL_ENDINGS = {".json", ".txt", ".safetensors", ".md", ".model", ".jinja"}


@dataclass(frozen=True, kw_only=True)
class Training(TrainConfig):
    """How the part is trained."""

    def __post_init__(self) -> None:
        self.bounded()

    def bounded(self, passes: float = 30.0) -> TrainConfig:
        """Return the settings, bounded by so many passes where no bound was given."""
        settings = asdict(self)
        if not (self.steps or self.epochs or self.minutes):
            settings["epochs"] = passes
        return TrainConfig(**settings)


def is_finished(folder: Path, *, whole_model: bool = False) -> bool:
    """Return whether ``folder`` is a checkpoint, or a whole language model, and no run is going on in it.

    Args:
        folder: The --out folder of a training.
        whole_model: Whether the training makes a language model in transformers' format and no checkpoint.

    Raises:
        PolygraftError: It holds something else, or a damaged checkpoint, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise PolygraftError(f"{folder} is a file, but --out must be a folder")
    found = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    strange = found - _RUN_PARTS - _CHECKPOINT_PARTS
    if whole_model:
        strange = {name for name in found - _RUN_PARTS if Path(name).suffix not in _MODEL_ENDINGS}
    if strange:
        raise PolygraftError(f"{folder} holds {min(strange)}, which is no part of a training run: choose another --out")
    if CONFIG not in found or RUN in found:
        return False
    if not whole_model:
        read_header(folder)  # a damaged one is refused, and not replaced
    return True


def begin(folder: Path, settings: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Make ``folder`` the place of a run with these settings; return whether it goes on from an earlier call.

    Args:
        folder: The folder that `is_finished` has looked at. A checkpoint in it stays usable until the run is done.
        settings: The settings that make it the same run.
        overwrite: Whether a run with other settings is thrown away.

    Raises:
        UsageError: A run with other settings is unfinished there.
    """
    settings = json.loads(json.dumps(settings, default=str))  # as they are read again: tuples become lists
    if (folder / RUN).is_file():
        before = read_json(folder / RUN)
        names = [name for name in sorted(before.keys() | settings.keys()) if before.get(name) != settings.get(name)]
        changed = [f"{name} {before.get(name)!r} (now {settings.get(name)!r})" for name in names]
        if not changed:
            return True
        if not overwrite:
            raise UsageError(
                f"{folder} holds an unfinished run with {', '.join(changed)}: give the same settings to go on, or "
                "--overwrite to start anew"
            )
        _discard(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RUN, settings)
    return False


def finish(folder: Path, save: Callable[[Path], object]) -> None:
    """Replace the run in ``folder`` by the checkpoint that ``save`` writes into an empty folder."""
    with atomic_folder(folder, replace=True) as partial:
        save(partial)


def keep(options: Any, part: Any, result: "FitResult", card: "ModelCard") -> None:
    """Replace the run in ``options.out`` by the checkpoint of a trained part, and print the figures."""
    figures = {"steps": result.steps, "seconds": round(result.seconds, 1)} | result.metrics
    record = {"options": asdict(options), "figures": figures}
    finish(options.out, lambda folder: part.save_pretrained(folder, card=card, record=record))
    tell({"out": str(options.out), **figures}, as_json=options.json, digits=4)


def frozen_models(clip: str, backbone: str, device: str, seed: int) -> "tuple[ImageEncoder, Backbone]":
    """Return the models that a part is trained on, and seed what is drawn for the part."""
    from backbone.clip import ImageEncoder
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone

    models = ImageEncoder.from_pretrained(clip, device=device), Backbone.from_pretrained(backbone, device=device)
    seed_everything(seed)  # after loading, which may draw numbers of its own
    return models


def _discard(folder: Path) -> None:
    for name in _RUN_PARTS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
