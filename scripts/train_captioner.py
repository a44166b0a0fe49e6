"""polygraft train captioner posts.jsonl --out runs/captioner

Train a captioner on pictures with texts: a mapper from a frozen image encoder into a frozen language model.

Posts are a JSONL file with lines of {"image": "a.jpg", "text": "...", "user": "..."} (pictures relative to the file),
or a folder of pictures with a .txt file beside each. A part is held out before anything else is done: it chooses the
weights that are kept (best CIDEr-D, or lower loss where that is equal) and stops a training whose captions collapse
into one. Without --steps, --epochs or --minutes the training makes 30 passes at most. A run that was interrupted goes
on when the same command is given again; under torchrun it uses all processes.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from backbone.errors import UsageError
from backbone.train_config import TrainConfig
from multimodal.config import CaptionerConfig
from scripts._cli import Device, Json, emit, remark, run_file
from scripts._runs import begin, finish, is_finished

if TYPE_CHECKING:
    from multimodal.captioner import Captioner
    from multimodal.posts import Post, Report
    from multimodal.training import Trained

_PASSES = 30.0


@dataclass(frozen=True, kw_only=True)
class Training(TrainConfig):
    """How the mapper is trained."""

    def __post_init__(self) -> None:
        self.bounded()

    def bounded(self) -> TrainConfig:
        """Return the settings with the bound that holds where none was given."""
        settings = asdict(self)
        if not (self.steps or self.epochs or self.minutes):
            settings["epochs"] = _PASSES
        return TrainConfig(**settings)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to learn from, what to build on, and where to keep it."""

    posts: tyro.conf.Positional[Path]
    """JSONL file of posts, or folder of pictures with .txt files."""
    out: Path
    """Folder: the run while it lasts, the checkpoint once it is done."""
    validation: Path | None = None
    """Posts to hold out, in the same form; without it --val-share of POSTS is."""
    val_share: float = 0.1
    """Share of the pictures (or users) held out; 0: none, and nothing chooses or guards."""
    split_by: Literal["post", "user"] = "post"
    """Whether a picture or a user is never on both sides."""
    backbone: str = "starter"
    """Language model: starter, a folder, or a name on a hub such as gpt2."""
    clip: str = "starter"
    """Image encoder: starter, a folder, or MODEL:TAG of open_clip."""
    model: CaptionerConfig = field(default_factory=CaptionerConfig)
    train: Training = field(default_factory=lambda: Training(eval_every=200, patience=5))
    cache: Path = Path("~/.cache/polygraft/features")
    """Folder of image features, kept between runs."""
    overwrite: bool = False
    """Train again where a training is finished, or start anew where one with other settings is not."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not 0 <= self.val_share < 1:
            raise UsageError(f"val_share is {self.val_share}, allowed is 0 up to, not including, 1")


def main(options: Options) -> int:
    """Train, or go on training; the folder holds the checkpoint then."""
    if is_finished(options.out) and not options.overwrite:
        remark(f"{options.out} is finished: caption with --model {options.out}, or train again with --overwrite")
        return 0
    from backbone.device import pick_device
    from backbone.distributed import join_world

    world = join_world(pick_device(options.device))
    tell = remark if world.first else lambda _: None
    training, held = _posts(options, tell)
    captioner = _untrained(options)
    if world.first and begin(options.out, _settings(options, training, held), overwrite=options.overwrite):
        tell(f"going on with the run in {options.out}")
    world.barrier()
    trained = _train(options, captioner, training, held, tell)
    if world.first:
        _keep(options, trained)
    world.barrier()
    return 0


def _settings(options: Options, training: "list[Post]", held: "list[Post]") -> dict[str, Any]:
    """Return what makes it the same run: other data, frozen models or options of learning make another."""
    model = {f"model.{name}": value for name, value in asdict(options.model).items()}
    train = {f"train.{name}": value for name, value in options.train.bounded().identity().items()}
    data = {"data": _digest(training), "held-out data": _digest(held)}
    return {"backbone": options.backbone, "clip": options.clip, **model, **train, **data}


def _digest(posts: "list[Post]") -> str:
    rows = "\0".join(f"{post.image.name}\0{post.text}" for post in posts)
    return hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _posts(options: Options, tell: "Report") -> "tuple[list[Post], list[Post]]":
    """Return the posts to learn from and those held out."""
    from multimodal.posts import load_posts, split_posts

    posts = load_posts(options.posts, report=tell)
    if options.validation:
        return posts, load_posts(options.validation, report=tell)
    return split_posts(posts, options.val_share, by=options.split_by, seed=options.train.seed)


def _untrained(options: Options) -> "Captioner":
    from backbone.clip import ImageEncoder
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone
    from multimodal.captioner import Captioner

    encoder = ImageEncoder.from_pretrained(options.clip, device=options.device)
    backbone = Backbone.from_pretrained(options.backbone, device=options.device)
    seed_everything(options.train.seed)
    return Captioner.build(encoder, backbone, options.model)


def _train(
    options: Options, captioner: "Captioner", training: "list[Post]", held: "list[Post]", tell: "Report"
) -> "Trained":
    """Encode the pictures and train."""
    from backbone.features import FeatureCache
    from multimodal.batches import gather
    from multimodal.training import train_captioner

    cache = FeatureCache(options.cache.expanduser(), captioner.encoder)
    data = gather(training, cache, report=tell)
    validation = gather(held, cache, report=tell) if held else None
    if validation:
        data, before = data.without(validation), len(data.rows)
        if len(data.rows) < before:
            tell(f"{before - len(data.rows)} captions left out of training: their pictures are held out, as copies")
    return train_captioner(captioner, data, options.train.bounded(), validation=validation, folder=options.out)


def _keep(options: Options, trained: "Trained") -> None:
    """Put the checkpoint in the run's place and print the figures."""
    from multimodal.training import describe

    card = describe(trained, title=options.out.name, source=options.posts.name)
    figures = {"steps": trained.result.steps, "seconds": round(trained.result.seconds, 1)} | trained.result.metrics
    record = {"options": asdict(options), "figures": figures}
    finish(options.out, lambda folder: trained.captioner.save_pretrained(folder, card=card, record=record))
    if trained.collapsed:
        remark("the captioner has collapsed: it says the same about nearly all validation pictures")
    if options.json:
        emit(json.dumps({"out": str(options.out), **figures}))
        return
    for name, value in {"out": options.out, **figures}.items():
        emit(f"{name}\t{value:.4g}" if isinstance(value, float) else f"{name}\t{value}")


if __name__ == "__main__":
    run_file(__file__)
