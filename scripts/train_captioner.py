"""polygraft train captioner posts.jsonl --out runs/captioner

Train a captioner on images with texts: a mapper from a frozen image encoder into a frozen language model.

Posts are a JSONL file with lines of {"image": "a.jpg", "text": "...", "user": "..."} (images relative to the file), a
folder of images with a .txt file beside each, or a public data set: --layout flickr reads Flickr8k and Flickr30k
(Kaggle's captions.txt, Flickr8k.token.txt, Karpathy's dataset_flickr8k.json), coco reads captions_*.json; their own
splits are taken where the files hold them. A validation set is held out before anything else is done: it selects the
weights that are kept (best CIDEr-D, or lower loss where that is equal) and stops a training whose captions collapse
into one. Without --steps, --epochs or --minutes the training makes at most 30 passes. An interrupted run is resumed
when the same command is given again; under torchrun it uses all processes.

Where the posts are by two users or more, the captioner is user-aware: it learns to write as each of them does, from
their past posts (--preset default; without users --preset clipcap; paper is the published design). A preset sets those
options that are left at their default. Posts marked "split": "test1" or "test2", or drawn by --test-users and
--test-posts, are never trained on; evaluate caption measures on them. Posts marked "validation" are the validation set,
if there are any.
"""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from backbone.errors import PolygraftError, UsageError
from multimodal.config import CaptionerConfig, Objective, Preset
from multimodal.data.posts import LayoutName
from multimodal.data.splits import Holdout
from multimodal.profile.profile import ContextMode
from scripts._app.cli import Device, Json, remark, run_file
from scripts._app.run_folder import Training, begin, frozen_models, is_finished, keep

if TYPE_CHECKING:
    from backbone.checkpoint import ModelCard
    from multimodal.batches import CaptionSet
    from multimodal.captioner import Captioner
    from multimodal.data.posts import Post, Report
    from multimodal.profile.profile import Context
    from multimodal.training.train import TrainedCaptioner

_OTHER = {"default": " (--preset clipcap: a captioner that knows none)", "clipcap": ""}


SHOWN = (
    "out", "layout", "validation", "test_users", "test_posts", "preset", "backbone", "clip", "from", "objective",
    "mapper", "steps", "epochs", "minutes", "batch_size", "lr", "seed", "overwrite", "device", "json",
)  # fmt: skip
"""Options of the help page; --config and the command line take all."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to learn from, what to build on, and where to keep it."""

    posts: tyro.conf.Positional[Path]
    """JSONL file of posts, folder of images with .txt files, or a public data set."""
    out: Path
    """Folder: the run while it lasts, the checkpoint once it is done."""
    layout: LayoutName = "auto"
    """Layout of the posts; auto: detected."""
    validation: Path | None = None
    """Posts to hold out, in the same form; without it those of POSTS marked validation, or else --val-share of it."""
    holdout: Holdout = field(default_factory=Holdout)
    preset: Preset | None = None
    """Named settings for options left at their default; without it chosen by the posts."""
    context: ContextMode = "leave-one-out"
    """Posts of an author that the model is given: all others, or earlier ones; paper: also the words of the caption
    itself."""
    lend: bool = True
    """Add past captions of other users who write alike, where their images are more similar."""
    backbone: str = "starter"
    """Language model: starter, a folder, or a name on a hub such as gpt2."""
    clip: str = "starter"
    """Image encoder: starter, a folder, or MODEL:TAG of open_clip."""
    start: Annotated[str, tyro.conf.arg(name="from")] = ""
    """Captioner to train on, with its mapper's options and frozen models: a folder, or starter."""
    objective: Objective = "likelihood"
    """What is maximised: the likelihood of the captions; or cider, the CIDEr-D of sampled captions (self-critical
    training), for the last steps of a captioner that is given by --from."""
    model: CaptionerConfig = field(default_factory=CaptionerConfig)
    train: Training = field(default_factory=lambda: Training(eval_every=200, patience=5))
    cache: Path = Path("~/.cache/polygraft/features")
    """Cache folder of image features."""
    overwrite: bool = False
    """Train again where a training is finished, or start anew where one with other settings is not."""
    device: Device = "auto"
    json: Json = False


def main(options: Options) -> int:
    """Train, or go on training; the folder holds the checkpoint then."""
    _check_from(options)
    if is_finished(options.out) and not options.overwrite:
        remark(f"{options.out} is finished: caption with --model {options.out}, or train again with --overwrite")
        return 0
    # torch is imported from here on, so that a finished training is answered at once
    from backbone.device import pick_device, seed_everything
    from backbone.training.distributed import join_world
    from multimodal.captioner import Captioner

    world = join_world(pick_device(options.device))
    report = remark if world.first else lambda _: None
    training, held = _posts(options, report)
    if options.start:
        captioner = Captioner.from_pretrained(options.start, device=options.device)
        options = replace(options, model=captioner.config)
        seed_everything(options.train.seed)
    else:
        options = _decided(options, training, report)
        models = frozen_models(options.clip, options.backbone, options.device, options.train.seed)
        captioner = Captioner.build(*models, options.model)
    # one process writes the folder, and the others wait until it is there
    if world.first and begin(options.out, _settings(options, training, held), overwrite=options.overwrite):
        report(f"going on with the run in {options.out}")
    world.barrier()
    trained = _train(options, captioner, training, held, report)
    if world.first:
        keep(options, trained.captioner, trained.result, _card(options, trained))
        if trained.collapsed:
            remark("the captioner has collapsed: it says the same about nearly all validation images")
    world.barrier()
    return 0


def _check_from(options: Options) -> None:
    if options.objective == "cider" and not options.start:
        raise UsageError("objective cider needs --from: a captioner whose sampled captions are worth a reward")
    own: dict[str, Any] = {"backbone": "starter", "clip": "starter", "preset": None, "model": CaptionerConfig()}
    if options.start and (given := [name for name, value in own.items() if getattr(options, name) != value]):
        raise UsageError(f"{given[0]} cannot be changed with --from, whose captioner has its own: leave it out")


def _settings(options: Options, training: "list[Post]", held: "list[Post]") -> dict[str, Any]:
    """Return what makes it the same run: other data, frozen models or options of learning make another."""
    model = {f"model.{name}": value for name, value in asdict(options.model).items()}
    train = {f"train.{name}": value for name, value in options.train.bounded().identity().items()}
    data = {"data": _digest(training), "held-out data": _digest(held)}
    begun = {"backbone": options.backbone, "clip": options.clip, "from": options.start, "objective": options.objective}
    known = {"preset": options.preset, "context": options.context, "lend": options.lend}
    return {**begun, **known, **model, **train, **data}


def _digest(posts: "list[Post]") -> str:
    rows = "\0".join(f"{post.image.name}\0{post.text}\0{post.user}\0{post.time}" for post in posts)
    return hashlib.sha256(rows.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _posts(options: Options, report: "Report") -> "tuple[list[Post], list[Post]]":
    from multimodal.data.posts import load_posts

    holdout = replace(options.holdout, val_share=0.0) if options.validation else options.holdout
    found = load_posts(options.posts, options.layout, report=report)
    marked = holdout.mark(found, seed=options.train.seed, report=report)
    training = [post for post in marked if post.split == "train"]
    held = [post for post in marked if post.split == "validation"]
    if not training:
        raise PolygraftError(f"no post of {options.posts} is for training: all are marked for validation or tests")
    if tests := len(marked) - len(training) - len(held):
        report(f"{tests} posts left out: they are for tests")
    return training, load_posts(options.validation, report=report) if options.validation else held


def _decided(options: Options, training: "list[Post]", report: "Report") -> Options:
    """Return the options with the preset that the posts call for, unless one was given, and its settings."""
    preset = options.preset
    if preset is None:
        users = len({post.user for post in training} - {""})
        asked: dict[str, Preset] = {"user": "default", "transformer": "clipcap", "query": "clipcap"}
        preset = asked.get(options.model.mapper, "default" if users > 1 else "clipcap")
        report(f"preset {preset}: the posts are by {users} named users" + _OTHER[preset])
    model = options.model.preset(preset)
    if options.context != "leave-one-out" and not model.knows_users:
        raise UsageError(
            f"context {options.context} does nothing for a captioner that knows no users: --preset default"
        )
    return replace(options, preset=preset, model=model)


def _train(
    options: Options, captioner: "Captioner", training: "list[Post]", held: "list[Post]", report: "Report"
) -> "TrainedCaptioner":
    from backbone.feature_cache import FeatureCache
    from multimodal.batches import gather
    from multimodal.training.train import train_captioner

    cache = FeatureCache(options.cache.expanduser(), captioner.encoder, grid=captioner.config.features == "grid")
    data = gather(training, cache, report=report)
    validation = gather(held, cache, report=report) if held else None
    if validation:
        data, before = data.without(validation), len(data.rows)
        if len(data.rows) < before:
            report(f"{before - len(data.rows)} captions left out of training: their images are held out, as copies")
    shown = shown_validation = None
    if captioner.config.knows_users:
        captioner, shown, shown_validation = _with_users(options, captioner, data, validation)
    return train_captioner(
        captioner,
        data,
        options.train.bounded(),
        validation=validation,
        folder=options.out,
        users=shown,
        validation_users=shown_validation,
        objective=options.objective,
    )


def _with_users(
    options: Options, captioner: "Captioner", data: "CaptionSet", validation: "CaptionSet | None"
) -> "tuple[Captioner, list[Context], list[Context] | None]":
    """Return the captioner with the words of the training users, and what is shown of each caption's author."""
    from multimodal.captioner import Captioner
    from multimodal.users.contexts import ContextBuilder, learned_words, pasts
    from multimodal.users.neighbors import Community

    table, encoder = learned_words(data), captioner.encoder.digest
    held = pasts(validation, encoder) if validation else {}
    learned = pasts(data, encoder)
    builder = ContextBuilder(
        past=held | learned,  # who has no training posts is known by others that are held out
        table=table,
        limits=captioner.limits,
        mode=options.context,
        community=Community.of(learned) if options.lend else None,
    )
    captioner = Captioner(captioner.encoder, captioner.backbone, captioner.mapper, captioner.config, table)
    shown = builder.build(data, vary=options.train.seed)
    return captioner, shown, builder.build(validation) if validation else None


def _card(options: Options, trained: "TrainedCaptioner") -> "ModelCard":
    from multimodal.training.train import describe

    card = describe(trained, title=options.out.name, source=options.posts.name)
    if not trained.captioner.config.knows_users:
        return replace(card, limits=f"{card.limits} It knows no users: captions are nobody's.")
    table = trained.captioner.table
    usage = (
        f"It knows users by their past posts (`--user POSTS`), {len(table):,} words of {table.users:,} training users "
        "among them; a new user costs no training, and without one captions are nobody's."
    )
    return replace(card, use=f"{card.use} {usage}")


if __name__ == "__main__":
    run_file(__file__)
