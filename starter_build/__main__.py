"""python -m starter_build --only captioner

Rebuild the small models that ship with the package, step by step, from data that package registries carry.

The steps are language, image-text, captioner, personal, narrator, vocabulary, french and multilingual, in this order,
each on what the first ones have made; --only takes one of them. Every step can be interrupted and goes on when the
command is given again. Needs pip, npm and (for text and images from Debian's packages) apt-get and dpkg; takes some
four hours on two cores.
"""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from scripts._app.cli import Seed, emit, remark, run_file
from starter_build.starter import Build

Step = Literal["language", "image-text", "captioner", "personal", "narrator", "vocabulary", "french", "multilingual"]
_STEPS: tuple[Step, ...] = get_args(Step)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to build, and where."""

    only: Step | Literal["all"] = "all"
    """The step to make."""
    out: Path = Path("backbone/starter_models")
    """Folder of the starter models."""
    work: Path = Path("~/.cache/polygraft/starter")
    """Folder of intermediate files and unfinished runs."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    steps: int = 560
    """Optimizer steps of the language model, of 16,384 tokens each."""
    processes: int = 2
    """Processes that train the language model."""
    minutes: float = 62.0
    """Training time of the multilingual model."""
    seed: Seed = 0


def main(options: Options) -> int:
    """Make the steps; one whose folder is there is skipped."""
    # later steps build on the earlier ones of this very folder
    os.environ["POLYGRAFT_STARTER"] = str(options.out.resolve())
    for step in _STEPS if options.only == "all" else (options.only,):
        folder = options.out / _FOLDERS.get(step, step)
        if folder.exists():
            remark(f"{folder} is there: remove it to make it anew")
        else:
            emit(str(_make(step, folder, options)))
    return 0


# where a step's model lies, if not by its own name
_FOLDERS: dict[Step, str] = {"language": "gpt2", "image-text": "clip"}
# the module of a step, if not of its own name
_MODULES: dict[Step, str] = {
    "image-text": "image_text",
    "captioner": "captioners",
    "personal": "captioners",
    "vocabulary": "narrator",
    "french": "transfer",
    "multilingual": "language",
}


def _make(step: Step, folder: Path, options: Options) -> Path:
    # a step imports what it needs alone: only image-text needs timm, for one
    data, work = options.data.expanduser(), options.work.expanduser()
    build = Build(data=data, work=work, out=folder, seed=options.seed)
    own: dict[Step, dict[str, Any]] = {
        "language": {"steps": options.steps, "processes": options.processes},
        "multilingual": {"minutes": options.minutes},
    }
    module = import_module(f"starter_build.starter.{_MODULES.get(step, step)}")
    return Path(getattr(module, f"build_{step.replace('-', '_')}")(build, **own.get(step, {})))


if __name__ == "__main__":
    run_file(__file__)
