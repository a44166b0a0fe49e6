"""polygraft train narrator clips.jsonl --out runs/narrator

Train a narrator on videos with narrations: frames and a question become a vector that retrieves a narration.

CLIPS is a JSONL file with lines of {"film": "a.mp4", "start": 3.0, "stop": 5.5, "question": "now", "text": "open the
door", "scenario": "cooking"}: the video's path relative to the file, seconds, and a question, which is now, next,
before, overall or free text. Only the path and the text are needed; without times the clip is the whole video. Causal
questions see one side of the moment: next is shown the frames before it, before those after it.

Whole videos are held out: those whose lines are marked "split": "validation", or else a share of the others. They
select the weights that are kept (best recall at 1 among their own narrations, or lower loss where that is equal).
Lines marked "test" are never trained on; evaluate narrate measures on them. Without --steps, --epochs or --minutes the
training makes at most 30 passes. An interrupted run is resumed when the same command is given again; under torchrun it
uses all processes.

--answer generate trains the baseline, which writes narrations word by word with the same language model. --body full
--lr 3e-4 --order frames-first --loss batch --no-learn-temperature --no-residual is the published recipe.
"""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from backbone.errors import PolygraftError
from scripts._app.cli import Device, Json, remark, run_file
from scripts._app.run_folder import Training, begin, frozen_models, is_finished, keep
from video.config import NarratorConfig, check_fps
from video.data.clips import check_share

if TYPE_CHECKING:
    from video.data.clip_features import ClipSet
    from video.data.clips import Clip, Report
    from video.narrator import Narrator


SHOWN = (
    "out", "validation", "causal", "fps", "backbone", "clip", "answer", "body", "max_frames", "steps", "epochs",
    "minutes", "batch_size", "lr", "seed", "cache", "overwrite", "device", "json",
)  # fmt: skip
"""Options of the help page; --config and the command line take all."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to learn from, what to build on, and where to keep it."""

    clips: tyro.conf.Positional[Path]
    """JSONL file of clips."""
    out: Path
    """Folder: the run while it lasts, the checkpoint once it is done."""
    validation: Path | None = None
    """Clips to hold out, in the same form; without it those of CLIPS marked validation, or else --val-share of it."""
    val_share: float = 0.1
    """Share of the videos held out for validation; 0: none, and the last weights are kept."""
    causal: bool = False
    """Also train the causal questions next and before on each timed clip, from the frames before and after it."""
    fps: float = 2.0
    """Frames sampled per second; a clip has at least one."""
    backbone: str = "starter"
    """Language model: starter, a folder, or a name on a hub such as gpt2."""
    clip: str = "starter"
    """Image-text model for frames and narrations: starter, a folder, or MODEL:TAG of open_clip."""
    model: NarratorConfig = field(default_factory=NarratorConfig)
    train: Training = field(default_factory=lambda: Training(eval_every=200, patience=5))
    cache: Path = Path("~/.cache/polygraft/features")
    """Cache folder of video features."""
    overwrite: bool = False
    """Train again where a training is finished, or start anew where one with other settings is not."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        check_fps(self.fps)
        check_share(self.val_share)


def main(options: Options) -> int:
    """Train, or go on training; the folder holds the checkpoint then."""
    if is_finished(options.out) and not options.overwrite:
        remark(f"{options.out} is finished: measure it with evaluate narrate, or train again with --overwrite")
        return 0
    from backbone.device import pick_device
    from backbone.training.distributed import join_world
    from video.narrator import Narrator
    from video.training.train import describe, train_narrator

    world = join_world(pick_device(options.device))
    report = remark if world.first else lambda _: None
    training, held = _clips(options, report)
    narrator = Narrator.build(
        *frozen_models(options.clip, options.backbone, options.device, options.train.seed), options.model
    )
    data, validation = _encoded(options, narrator, training, held, report)
    if world.first and begin(options.out, _settings(options, training, held), overwrite=options.overwrite):
        report(f"going on with the run in {options.out}")
    world.barrier()
    trained = train_narrator(narrator, data, options.train.bounded(), validation=validation, folder=options.out)
    if world.first:
        card = describe(trained, title=options.out.name, source=options.clips.name)
        keep(options, trained.narrator, trained.result, card)
    world.barrier()
    return 0


def _settings(options: Options, training: "list[Clip]", held: "list[Clip]") -> dict[str, Any]:
    """Return what makes it the same run: other data, frozen models or options of learning make another."""
    model = {f"model.{name}": value for name, value in asdict(options.model).items()}
    train = {f"train.{name}": value for name, value in options.train.bounded().identity().items()}
    data = {"data": _digest(training), "held-out data": _digest(held), "fps": options.fps, "causal": options.causal}
    return {"backbone": options.backbone, "clip": options.clip, **data, **model, **train}


def _digest(clips: "list[Clip]") -> str:
    rows = "\0".join(repr((clip.video.name, clip.start, clip.stop, clip.question, clip.text)) for clip in clips)
    return hashlib.sha256(rows.encode()).hexdigest()[:16]


def _clips(options: Options, report: "Report") -> "tuple[list[Clip], list[Clip]]":
    """Return the clips to learn from and those held out; clips for tests are in neither."""
    from video.data.clips import mark_splits, read_clips, with_causal

    share = 0.0 if options.validation else options.val_share
    found = read_clips(options.clips, report=report)
    marked = mark_splits(found, val_share=share, seed=options.train.seed, report=report)
    training = [clip for clip in marked if clip.split == "train"]
    held = [clip for clip in marked if clip.split == "validation"]
    if not training:
        raise PolygraftError(f"no clip of {options.clips} is for training: all are marked for validation or tests")
    if tests := len(marked) - len(training) - len(held):
        report(f"{tests} clips left out: they are for tests")
    if options.validation:
        held = read_clips(options.validation, report=report)
    return (with_causal(training), with_causal(held)) if options.causal else (training, held)


def _encoded(
    options: Options, narrator: "Narrator", training: "list[Clip]", held: "list[Clip]", report: "Report"
) -> "tuple[ClipSet, ClipSet | None]":
    """Return the clips to learn from and those held out with their frames; no video is in both."""
    from video.data.clip_features import gather
    from video.data.feature_cache import VideoCache

    cache = VideoCache(options.cache.expanduser(), narrator.encoder)
    data = gather(training, cache, fps=options.fps, report=report)
    if not held:
        return data, None
    validation = gather(held, cache, fps=options.fps, report=report)
    kept = data.without(validation)
    if len(kept) < len(data):
        report(f"{len(data) - len(kept)} clips left out of training: their videos are held out, as copies")
    if not kept:
        raise PolygraftError(f"no clip of {options.clips} is left to learn from: all its videos are held out")
    return kept, validation


if __name__ == "__main__":
    run_file(__file__)
