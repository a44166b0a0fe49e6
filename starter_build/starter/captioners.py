"""The captioners that the benchmarks compare, trained on the same features, and the two that ship."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimodal.config import CaptionerConfig, Preset
from scripts._app.cli import remark
from starter_build.datasets.images import images
from starter_build.datasets.splits import SIDES, Side, load_splits
from starter_build.starter import Build

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from multimodal.batches import CaptionSet
    from multimodal.captioner import Captioner
    from multimodal.profile.profile import Profile
    from multimodal.training.train import TrainedCaptioner
    from starter_build.datasets.post_sets import PersonalSet

STARTER = "starter"
EPOCHS = 8


def caption_data(data: Path, work: Path, encoder: "ImageEncoder") -> dict[Side, "CaptionSet"]:
    """Return the images of the three sides with their captions, encoded."""
    from backbone.feature_cache import FeatureCache
    from multimodal.batches import gather
    from multimodal.data.posts import Post

    sides = load_splits()
    cache = FeatureCache(work / "features", encoder)
    posts: dict[Side, list[Post]] = {side: [] for side in SIDES.values()}
    for image in images(data):
        if side := sides.get(image.id):
            posts[side].append(Post(image=image.image, text=image.text, user=image.user, id=image.id))
    return {side: gather(own, cache, report=remark) for side, own in posts.items()}


def starter_run(
    data: Mapping[Side, "CaptionSet"], work: Path, *, mapper: str, seed: int, device: str = "auto"
) -> "TrainedCaptioner":
    """Train one captioner on the training images; the validation images choose the weights that are kept.

    The run is kept in ``work``: called again, it goes on, or is read if it is finished.
    """
    from backbone.clip import ImageEncoder
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone
    from backbone.training.config import TrainConfig
    from multimodal.captioner import Captioner
    from multimodal.config import CaptionerConfig
    from multimodal.training.train import train_captioner

    encoder = ImageEncoder.from_pretrained(STARTER, device=device)
    backbone = Backbone.from_pretrained(STARTER, device=device)
    seed_everything(seed)
    fresh = Captioner.build(encoder, backbone, CaptionerConfig(mapper=mapper))  # type: ignore[arg-type]
    config = TrainConfig(
        epochs=EPOCHS, batch_size=64, lr=1e-3, weight_decay=0.05, ema=0.99, eval_every=50, patience=5, seed=seed
    )
    validation = data["validation"]
    training = data["train"].without(validation)
    folder = work / f"captioner-{mapper}-{seed}"
    return train_captioner(fresh, training, config, validation=validation, folder=folder)


def build_captioner(build: Build) -> Path:
    """Train with three seeds and keep the captioner that does best on the validation images."""
    from backbone.clip import ImageEncoder
    from multimodal.training.train import describe

    sets = caption_data(build.data, build.work, ImageEncoder.from_pretrained(STARTER))
    seeds, runs = list(range(build.seed, build.seed + 3)), []
    for seed in seeds:
        remark(f"training the captioner, seed {seed}")
        runs.append(starter_run(sets, build.work, mapper="mlp", seed=seed))
    scores = [run.result.metrics["score"] for run in runs]
    best = runs[scores.index(max(scores))]
    card = describe(best, title="polygraft starter: a captioner", source="emoji, stamps and clip art")
    card = replace(card, command="python -m starter_build --only captioner")
    best.captioner.mapper.half()
    record = {"seeds": seeds, "validation_scores": scores}
    return best.captioner.save_pretrained(build.out, card=card, record=record)


MAX_TOKENS = 32
OURS, PAPER, BLIND = "ours", "UAPT, paper preset", "ours, without the image"
MLP, TRANSFORMER = "ClipCap MLP", "ClipCap transformer"


@dataclass(frozen=True, kw_only=True)
class CaptionSystem:
    """A captioner to train."""

    preset: Preset
    settings: dict[str, Any]  # what differs from the preset
    sees: bool = True  # whether it is shown the image
    borrows: bool = True  # whether it is shown past captions of other users too, where it reads any

    @property
    def config(self) -> CaptionerConfig:
        """The captioner's options."""
        return replace(CaptionerConfig(max_tokens=MAX_TOKENS).preset(self.preset), **self.settings)


# Where texts are as short as here, fewer words and queries halve the time; set before anything was tested.
_OURS: dict[str, Any] = {"words": 30, "past_posts": 5, "past_tokens": 32, "prefix_length": 10}

SYSTEMS = {
    MLP: CaptionSystem(preset="clipcap", settings={}),
    TRANSFORMER: CaptionSystem(preset="clipcap", settings={"mapper": "transformer"}),
    PAPER: CaptionSystem(preset="paper", settings={}),
    OURS: CaptionSystem(preset="default", settings=_OURS),
    BLIND: CaptionSystem(preset="default", settings=_OURS, sees=False),
}
# the captioners of each set's table
COMPARED: dict[str, tuple[str, ...]] = {
    "voices": (MLP, TRANSFORMER, PAPER, BLIND, OURS),
    # of so few authors one that sees no image says too few different things: the guard stops its training
    "authors": (MLP, TRANSFORMER, PAPER, OURS),
}
LONGER: dict[str, tuple[int, ...]] = {OURS: (1, 2), MLP: (1, 2), TRANSFORMER: (1, 2), PAPER: (1, 2, 4, 8)}
"""How many times the steps of the schedule each is trained for, where lengths of training are compared."""
_CHANGES: dict[str, dict[str, Any]] = {
    "without words": {"words": 0},
    "without past captions": {"past_posts": 0},
    "without copying": {"copy": False},
    "without style": {"style": False},
    "without user dropout": {"user_dropout": 0.0},
    "1 past caption": {"past_posts": 1},
    "grid features": {"features": "grid"},
}
ABLATIONS = {
    "own past alone": CaptionSystem(preset="default", settings=_OURS, borrows=False),
    **{name: CaptionSystem(preset="default", settings={**_OURS, **changes}) for name, changes in _CHANGES.items()},
}
SYSTEMS |= {f"ours, {name}": system for name, system in ABLATIONS.items()}


@dataclass(frozen=True, kw_only=True)
class CaptionSchedule:
    """How long a captioner is trained."""

    steps: int = 200
    """Optimizer steps of every captioner."""
    batch_size: int = 64
    """Captions of a step."""
    lr: float = 1e-3
    """Peak learning rate of the mappers that know no users, by AdamW as the starter's are."""
    user_lr: float = 4e-3
    """Peak learning rate of the mappers that do, by Muon."""


def train_system(
    system: CaptionSystem,
    data: "PersonalSet",
    frozen: "tuple[ImageEncoder, Backbone]",
    folder: Path,
    *,
    schedule: CaptionSchedule,
    seed: int,
) -> "TrainedCaptioner":
    """Train one captioner in a folder; called again, it goes on, or reads what was trained."""
    from backbone.device import seed_everything
    from backbone.training.config import TrainConfig
    from multimodal.captioner import Captioner
    from multimodal.training.train import train_captioner
    from multimodal.users.contexts import ContextBuilder

    seed_everything(seed)
    config = system.config
    fresh = Captioner.build(*frozen, config, data.table if config.knows_users else None)
    train, validation = (seen_by(system, data.splits[split]) for split in ("train", "validation"))
    shown, shown_validation = None, None
    if config.knows_users:
        builder = ContextBuilder(
            past=pasts_for(system, data.past),
            table=data.table,
            limits=fresh.limits,
            community=data.community if system.borrows else None,
        )
        # the seed also says how many past posts each training caption is left with
        shown = builder.build(train, groups=data.groups("train"), vary=seed)
        shown_validation = builder.build(validation)
    training = TrainConfig(
        steps=schedule.steps, batch_size=schedule.batch_size, weight_decay=0.05, ema=0.99,
        optimizer="muon" if config.knows_users else "adamw",
        lr=schedule.user_lr if config.knows_users else schedule.lr,
        eval_every=max(1, schedule.steps // 4), save_every=100, seed=seed,
    )  # fmt: skip
    return train_captioner(
        fresh, train, training, validation=validation, folder=folder, users=shown, validation_users=shown_validation
    )


def seen_by(system: CaptionSystem, data: Any) -> Any:
    """Return posts as the system sees them: a space in place of each image where it sees none."""
    import numpy as np

    if system.sees:
        return data
    features = data.features
    constant = np.full((1, features.pooled_table.shape[1]), features.pooled_table.shape[1] ** -0.5, dtype=np.float16)
    rows = np.zeros_like(features.rows)
    return replace(data, features=replace(features, rows=rows, pooled_table=constant, grid_table=None))


def pasts_for(system: CaptionSystem, pasts: "dict[str, Profile]") -> "dict[str, Profile]":
    """Return the pasts as the system sees them: texts alone where it sees no images."""
    if system.sees:
        return pasts
    return {user: replace(past, pooled=None) for user, past in pasts.items()}


def size_of(captioner: "Captioner") -> tuple[int, int]:
    """Return the number of trained parameters and of all."""
    trained = sum(parameter.numel() for parameter in captioner.mapper.parameters())
    frozen = sum(p.numel() for model in (captioner.encoder.model, captioner.backbone.model) for p in model.parameters())
    return trained, trained + frozen


def build_personal(build: Build) -> Path:
    """Train the captioner that the benchmark calls ours, on the training users of the voices."""
    from backbone.clip import ImageEncoder
    from backbone.feature_cache import FeatureCache
    from backbone.gpt2 import Backbone
    from multimodal.training.train import describe
    from starter_build.datasets.post_sets import load_set

    frozen = ImageEncoder.from_pretrained(STARTER), Backbone.from_pretrained(STARTER)
    voices = load_set("voices", build.data, FeatureCache(build.work / "features", frozen[0]))
    remark(f"training the personal captioner, seed {build.seed}")
    run = build.work / f"personal-{build.seed}"
    trained = train_system(SYSTEMS[OURS], voices, frozen, run, schedule=CaptionSchedule(), seed=build.seed)
    card = describe(trained, title="polygraft starter: a captioner that knows users", source="voices of communities")
    card = replace(card, command="python -m starter_build --only personal")
    trained.captioner.mapper.half()
    return trained.captioner.save_pretrained(build.out, card=card, record={"seed": build.seed})
