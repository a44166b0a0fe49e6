"""The options of a training run: one dataclass for every trainable part, torch-free so that help is quick."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from backbone.errors import UsageError
from backbone.io.settings import check_range

# What may change when a run is resumed: its bounds, which the schedule then follows, how the work is laid out, and how
# it is guarded.
MAY_CHANGE = frozenset(
    {
        "steps", "epochs", "minutes", "micro_batch", "parallel", "activation_checkpointing", "compile",
        "save_every", "eval_every", "log_every", "patience", "tensorboard",
        "spike_guard", "spike_rewinds", "background_save", "mfu",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a small part is trained. At least one of ``steps``, ``epochs`` and ``minutes`` bounds the run."""

    steps: int = 0
    """Optimiser steps at most; 0: no bound."""
    epochs: float = 0.0
    """Passes over the data at most; 0: no bound."""
    minutes: float = 0.0
    """Training time at most, earlier parts of a resumed run counted in; the schedule follows the clock. 0: no bound."""
    batch_size: int = 64
    """Samples per optimiser step, over all processes together."""
    micro_batch: int = 0
    """Samples per forward pass of one process; gradients accumulate over the rest. 0: no accumulation."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for hidden matrices, AdamW for embeddings, norms, biases and heads."""
    lr: float = 3e-4
    """Peak learning rate (for Muon with updates scaled to AdamW's root mean square)."""
    beta1: float = 0.9
    """AdamW's first decay rate."""
    beta2: float = 0.98
    """AdamW's second decay rate."""
    weight_decay: float = 0.01
    """Decoupled weight decay; norms, biases and embeddings have none."""
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    """After the warm-up: cosine; wsd (stable, then a linear decay); or constant."""
    warmup: float = 0.03
    """Share of the run in which the rate rises linearly from nothing."""
    decay: float = 0.3
    """Share of the run in which wsd decays."""
    floor: float = 0.05
    """Share of the peak rate left at the end."""
    clip_norm: float = 1.0
    """Largest gradient norm; 0: no clipping."""
    ema: float = 0.0
    """Decay of the moving average of the weights that is evaluated and kept; 0: the weights themselves."""
    seed: int = 0
    """Seed of the sample order and of dropout."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Under torchrun: whole copies (DDP) or shards (FSDP2) on each process."""
    activation_checkpointing: bool = False
    """Recompute the activations of each block in the backward pass: less memory, more time."""
    compile: bool = False
    """Compile the module with torch.compile."""
    save_every: int = 200
    """Steps between saves of the resume folder; 0: only at the end."""
    background_save: bool = False
    """Write the resume folder while training goes on, from a copy in memory."""
    spike_guard: float = 0.0
    """Robust standard deviations above the median of the last losses from which on a loss is a spike: the run then goes
    back to the last save and leaves out the batches since. Losses and gradients that are not finite are spikes, too.
    0: off; 6 to 10 are usual."""
    spike_rewinds: int = 3
    """Largest number of rewinds."""
    mfu: bool = False
    """Measure the device's peak speed at the start and report the model FLOPs utilisation (MFU) of a language model."""
    eval_every: int = 0
    """Steps between evaluations; 0: never."""
    log_every: int = 10
    """Steps between log lines."""
    patience: int = 0
    """Evaluations without a better score before the run stops; 0: never."""
    tensorboard: bool = False
    """Also write TensorBoard events (extra `tensorboard`)."""

    def __post_init__(self) -> None:
        if not (self.steps or self.epochs or self.minutes):
            raise UsageError("training has no end: give --steps, --epochs or --minutes")
        counts = "steps epochs minutes micro_batch weight_decay clip_norm save_every eval_every patience"
        check_range(self, f"{counts} spike_guard spike_rewinds", 0)
        check_range(self, "warmup decay floor beta1 beta2 ema", 0, 1)
        check_range(self, "batch_size log_every", 1)
        if not self.lr > 0:
            raise UsageError(f"lr is {self.lr}, allowed is anything above 0")
        if self.schedule == "wsd" and self.warmup + self.decay > 1:
            raise UsageError(
                f"warmup {self.warmup} and decay {self.decay} together exceed the run: allowed is at most 1"
            )

    def identity(self) -> dict[str, Any]:
        """Return the settings that a resumed run must share with the run it continues."""
        return {name: value for name, value in asdict(self).items() if name not in MAY_CHANGE}

    def total_steps(self, samples: int) -> int | None:
        """Return the number of steps for a data set of ``samples``; None where only the clock bounds the run."""
        bounds = [self.steps] if self.steps else []
        if self.epochs:
            bounds.append(max(1, round(self.epochs * samples / self.batch_size)))
        return min(bounds) if bounds else None
