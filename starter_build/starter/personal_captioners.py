"""The captioners that the benchmark compares: all are trained on the same features and the same language model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimodal.config import CaptionerConfig, Preset

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from multimodal.captioner import Captioner
    from multimodal.profile.profile import Profile
    from multimodal.training.train import TrainedCaptioner
    from starter_build.datasets.post_sets import PersonalSet

MAX_TOKENS = 32
OURS, PAPER, BLIND = "ours", "UAPT, paper preset", "ours, without the image"
MLP, TRANSFORMER = "ClipCap MLP", "ClipCap transformer"


@dataclass(frozen=True, kw_only=True)
class CaptionSystem:
    """A captioner to train."""

    preset: Preset
    settings: dict[str, Any]
    """What differs from the preset."""
    sees: bool = True
    """Whether it is shown the image."""
    borrows: bool = True
    """Whether it is shown past captions of other users too, where it reads any."""

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
COMPARED: dict[str, tuple[str, ...]] = {
    "voices": (MLP, TRANSFORMER, PAPER, BLIND, OURS),
    # of so few authors one that sees no image says too few different things: the guard stops its training
    "authors": (MLP, TRANSFORMER, PAPER, OURS),
}
"""The captioners of each set's table."""
LONGER: dict[str, tuple[int, ...]] = {OURS: (1, 2), MLP: (1, 2), TRANSFORMER: (1, 2), PAPER: (1, 2, 4, 8)}
"""How many times the steps of the schedule each is trained for, where lengths of training are compared."""
_CHANGES: dict[str, dict[str, Any]] = {
    "without words": {"words": 0},
    "without past captions": {"past_posts": 0},
    "without copying": {"copy": False},
    "without style": {"style": False},
    "without user dropout": {"user_dropout": 0.0},
    "1 past caption": {"past_posts": 1},
    "past captions as text too": {"prompt_posts": 2},
    "negatives": {"negatives": 1},
    "deep prefix": {"deep": 4},
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
    """Optimiser steps of every captioner."""
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
    """Train one captioner; called again, it goes on, or reads what was trained.

    Args:
        system: what to train.
        data: the posts.
        frozen: image encoder and language model.
        folder: keeps the run.
        schedule: how long.
        seed: of weights, sample order, and how many past posts each training caption is left with.
    """
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
