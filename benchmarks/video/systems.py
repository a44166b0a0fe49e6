"""The narrators that the benchmark compares: the same videos, frozen models, steps and choice of weights for all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from video.config import NarratorConfig

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from starter_build.datasets.emoji_clips import Videos
    from video.training.train import TrainedNarrator

MEAN, ADAPTER, WRITES, BATCH, FRAMES_FIRST, OURS = (
    "mean of the frames, untrained",
    "temporal adapter, no GPT-2",
    "GPT-2 writes",
    "ours, batch loss",
    "ours, frames first",
    "ours",
)


@dataclass(frozen=True, kw_only=True)
class NarrationSystem:
    """A narrator."""

    settings: dict[str, Any] = field(default_factory=dict)
    """What differs from the default of `video.config.NarratorConfig`."""
    learns: bool = True
    near: bool = True
    """Whether it begins near its end, at the mean of the frames; what begins at random needs a higher learning rate."""

    @property
    def config(self) -> NarratorConfig:
        """The narrator's options."""
        return NarratorConfig(**self.settings)


# No video here has more than eight looks, and no name more tokens.
_WRITES: dict[str, Any] = {"answer": "generate", "max_frames": 16, "max_tokens": 16}

MAIN = {
    MEAN: NarrationSystem(settings={"body": "none"}, learns=False),
    ADAPTER: NarrationSystem(settings={"body": "none", "adapter_layers": 2}),
    WRITES: NarrationSystem(settings=_WRITES, near=False),
    BATCH: NarrationSystem(settings={"loss": "batch"}),
    FRAMES_FIRST: NarrationSystem(settings={"order": "frames-first"}),
    OURS: NarrationSystem(),
}
# "no residual" and what writes begin at random, not at the mean of the frames.
_CHANGES: dict[str, dict[str, Any]] = {
    "body frozen": {"body": "frozen"},
    "body full": {"body": "full"},
    "one adapter layer": {"adapter_layers": 1},
    "retrieval token eos": {"retrieval": "eos"},
    "retrieval token learned": {"retrieval": "learned"},
    "no residual": {"residual": False},
}
ABLATIONS = {
    f"ours, {name}": NarrationSystem(settings=changes, near=name != "no residual") for name, changes in _CHANGES.items()
} | {f"{WRITES}, body full": NarrationSystem(settings=_WRITES | {"body": "full"}, near=False)}
SYSTEMS = MAIN | ABLATIONS


@dataclass(frozen=True, kw_only=True)
class NarrationSchedule:
    """How long a narrator is trained, on what."""

    steps: int = 200
    """Optimizer steps of every narrator."""
    batch_size: int = 32
    """Clips of a step, as published."""
    lr: float = 3e-4
    """Peak learning rate; chosen on the validation videos, as the lesson is."""
    fresh_lr: float = 9e-4
    """The same for what begins at random."""
    lesson: str = "first names, stills"
    """One of `starter_build.datasets.emoji_clips.LESSONS`."""


def train_system(
    system: NarrationSystem,
    videos: "Videos",
    frozen: "tuple[ImageEncoder, Backbone]",
    folder: Path,
    *,
    schedule: NarrationSchedule,
    seed: int,
) -> "TrainedNarrator":
    """Train one narrator; called again, it goes on."""
    from backbone.training.config import TrainConfig
    from video.training.train import train_narrator

    training = TrainConfig(
        steps=schedule.steps, batch_size=schedule.batch_size, weight_decay=0.05, ema=0.95,
        lr=schedule.lr if system.near else schedule.fresh_lr,
        eval_every=max(1, schedule.steps // 6), save_every=50, seed=seed,
    )  # fmt: skip
    narrator = untrained(system, frozen, seed=seed)
    return train_narrator(
        narrator, videos.lessons[schedule.lesson], training, validation=videos.parts["validation"].data, folder=folder
    )


def untrained(system: NarrationSystem, frozen: "tuple[ImageEncoder, Backbone]", *, seed: int) -> Any:
    """Return the narrator as it begins."""
    from backbone.device import seed_everything
    from video.narrator import Narrator

    seed_everything(seed)
    return Narrator.build(*frozen, system.config)
