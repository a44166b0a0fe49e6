"""python -m starter_build --only captioner

Rebuild the small models that ship with the package, step by step, from data that package registries carry.

The steps are language, image-text, captioner, personal, narrator, vocabulary, french and multilingual, in this order,
each on what the first ones have made; --only takes one of them. Every step can be interrupted and goes on when the
command is given again. Needs pip, npm and (for text and images from Debian's packages) apt-get and dpkg; takes some
four hours on two cores.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from scripts._app.cli import Seed, emit, remark, run_file

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


_FOLDERS: dict[Step, str] = {"language": "gpt2", "image-text": "clip"}
"""Where a step's model lies, if not by its own name."""


def _make(step: Step, folder: Path, options: Options) -> Path:
    data, work = options.data.expanduser(), options.work.expanduser()
    if step == "language":
        from starter_build.starter.language import build_language

        how = {"steps": options.steps, "processes": options.processes, "seed": options.seed}
        return build_language(data, work / step, folder, **how)
    if step == "image-text":
        from starter_build.starter.image_text import build_image_text

        return build_image_text(data, work / step, folder, seed=options.seed)
    if step == "personal":
        from starter_build.starter.captioners import build_personal

        return build_personal(data, work, folder, seed=options.seed)
    if step == "narrator":
        from starter_build.starter.narrator import build_narrator

        return build_narrator(data, work, folder, seed=options.seed)
    if step == "french":
        from starter_build.starter.transfer import build_french

        return build_french(data, work, folder, seed=options.seed)
    if step == "multilingual":
        from starter_build.starter.language import build_multilingual

        return build_multilingual(data, work / step, folder, minutes=options.minutes, seed=options.seed)
    if step == "vocabulary":
        from starter_build.starter.narrator import build_vocabulary

        return build_vocabulary(data, folder)
    from starter_build.starter.captioners import build_captioner

    return build_captioner(data, work, folder, seeds=tuple(range(options.seed, options.seed + 3)))


if __name__ == "__main__":
    run_file(__file__)
