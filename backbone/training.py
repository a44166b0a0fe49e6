"""The one training loop: `fit` trains any small part on one process or many, and resumes exactly.

A trainable part is an ``nn.Module`` whose ``forward(batch)`` returns ``(summed loss, weight)``: the loss summed over
whatever is predicted (tokens, pairs) and how many there were. Sums are divided once per step, over all micro-batches
and all processes, so the loss does not depend on how a batch was cut.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbone.device import autocast, keep_big_blocks, seed_everything
from backbone.distributed import World, gradient_sync, join_world, parallelize, trainable_tensors, whole
from backbone.errors import PolygraftError
from backbone.optim import STATE_KEYS, MovingAverage, build_optimizers, rate_at
from backbone.order import Batches, SampleOrder, split_evenly, step_seed
from backbone.progress import Reporter
from backbone.resume import RunState, check_same_run, latest_state, load_tensors, save_state
from backbone.train_config import TrainConfig as TrainConfig

Evaluate = Callable[[], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a run leaves behind.

    ``tensors`` are the trained parameters on the CPU by name: the best evaluated ones where there was a score, the
    moving average where one was kept. The module passed to `fit` holds the same, except under FSDP2, where it stays
    sharded and a fresh module is to be filled from ``tensors``.
    """

    tensors: dict[str, Tensor]
    losses: list[float]
    """Mean loss of each step this call made (a resumed run: from where it went on)."""
    steps: int
    seconds: float
    """Training time, earlier parts of a resumed run counted in."""
    metrics: dict[str, float]
    """The last evaluation, or the best where there was a score."""


def fit(
    module: nn.Module,
    batches: Batches,
    config: TrainConfig,
    *,
    folder: Path | None = None,
    evaluate: Evaluate | None = None,
) -> FitResult:
    """Train ``module`` on ``batches``.

    Args:
        module: ``module(batch)`` gives (summed loss, weight), both scalars; an optional ``module.health()`` gives
            figures for the log.
        batches: the samples; order is a function of (config.seed, batches.digest, position) alone.
        config: how to train.
        folder: keeps ``log.jsonl`` and the resume folder; calling again with the same folder continues the run with
            bit-identical results on as many processes, and with equal losses on another number.
        evaluate: called on every process each ``config.eval_every`` steps and at the end, with the moving average in
            place; a figure called ``score`` (higher is better) decides which weights are kept.

    Raises:
        PolygraftError: the loss is not finite; the folder belongs to another run; it cannot be written.
        KeyboardInterrupt: after SIGINT or SIGTERM, once the state is saved.
    """
    run = _Run(module, batches, config, folder, evaluate)
    run.restore()
    with _signals() as stopped, ThreadPoolExecutor(1, "collate") as pool:
        try:
            run.loop(pool, stopped)
        finally:
            run.reporter.close()
    return run.result()


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event, so that a run stops between steps. Only the main thread may do so."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    old = {s: signal.signal(s, lambda *_: stopped.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@dataclass
class _Best:
    """The best evaluated weights so far."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    stale: int = 0


class _Run:
    """One run of `fit`: the loop's parts as methods, its position as attributes."""

    def __init__(
        self, module: nn.Module, batches: Batches, config: TrainConfig, folder: Path | None, evaluate: Evaluate | None
    ) -> None:
        self.module, self.batches, self.config, self.folder, self.evaluate = module, batches, config, folder, evaluate
        parameters = trainable_tensors(module)
        if not parameters:
            raise PolygraftError("nothing to train: the module has no parameter that requires a gradient")
        if not len(batches):
            raise PolygraftError("nothing to train on: the data set is empty")
        self.world: World = join_world(next(iter(parameters.values())).device)
        if config.batch_size < self.world.size:
            raise PolygraftError(f"batch_size {config.batch_size} is smaller than the {self.world.size} processes")
        if self.world.device.type == "cpu":
            keep_big_blocks()
        self.called = parallelize(module.train(), config, self.world)
        self.parameters = trainable_tensors(module)
        self.optimizers = build_optimizers(module, config)
        self.average = MovingAverage(self.parameters, config.ema)
        self.order = SampleOrder(len(batches), config.seed, batches.digest)
        self.total = config.total_steps(len(batches))
        self.step, self.elapsed = 0, 0.0
        self.losses: list[float] = []
        self.metrics: dict[str, float] = {}
        self.evaluated = -1
        self.best = _Best()
        self.reporter: Reporter

    # Where the run stands

    @property
    def progress(self) -> float:
        """Share of the run done once the coming step is."""
        shares = [(self.step + 1) / self.total] if self.total else []
        if self.config.minutes:
            shares.append(self.elapsed / (60 * self.config.minutes))
        return min(1.0, max(shares))

    @property
    def finished(self) -> bool:
        """Whether a bound is reached or the score has gone stale."""
        out_of_steps = self.total is not None and self.step >= self.total
        out_of_time = bool(self.config.minutes) and self.elapsed >= 60 * self.config.minutes
        return out_of_steps or out_of_time or 0 < self.config.patience <= self.best.stale

    # The resume folder

    def _state_tensors(self) -> dict[str, Tensor]:
        """Everything that changes with training, by the name it is saved under."""
        tensors = {f"model.{name}": p.detach() for name, p in self.parameters.items()}
        tensors |= {f"average.{name}": t for name, t in self.average.average.items()}
        tensors |= {f"best.{name}": t for name, t in self.best.tensors.items()}
        names = {id(p): name for name, p in self.parameters.items()}
        for optimizer in self.optimizers:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                for key in STATE_KEYS[type(optimizer)]:
                    tensors[f"optimizer.{names[id(parameter)]}.{key}"] = optimizer.state[parameter][key]
        return tensors

    def _empty_optimizer_state(self) -> None:
        """Lay out the optimisers' state as their first step would, to be filled from a resume folder."""
        for optimizer in self.optimizers:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                state = optimizer.state[parameter]
                state.update({key: torch.zeros_like(parameter) for key in STATE_KEYS[type(optimizer)]})
                if isinstance(optimizer, torch.optim.AdamW):
                    state["step"] = torch.tensor(float(self.step), device=parameter.device)

    def restore(self) -> None:
        """Go on where the resume folder ends, if there is one."""
        found = latest_state(self.folder / "resume") if self.folder else None
        if found:
            path, state = found
            check_same_run(path, state, self.config.identity(), self.batches.digest)
            self.step, self.elapsed = state.step, state.elapsed
            if state.best:
                blank = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
                self.best = _Best(blank, state.best, state.stale)
            self._empty_optimizer_state()
            load_tensors(path, self._state_tensors(), self.world)
        self.reporter = Reporter(
            self.folder, self.step, self.total, active=self.world.first, tensorboard=self.config.tensorboard
        )

    def save(self) -> None:
        """Write the resume folder."""
        if not self.folder or not self.step:
            return
        state = RunState(
            step=self.step,
            elapsed=self.elapsed,
            identity=self.config.identity(),
            data=self.batches.digest,
            best=self.best.metrics or None,
            stale=self.best.stale,
        )
        save_state(self.folder / "resume", self._state_tensors(), state, self.world)

    # The loop

    def loop(self, pool: ThreadPoolExecutor, stopped: threading.Event) -> None:
        """Make steps until the run is finished or ``stopped`` is set."""
        saved = self.step
        upcoming = None if self.finished else pool.submit(self._collate, self.step)
        while upcoming and not self.finished:
            began = time.monotonic()
            current, upcoming = upcoming, pool.submit(self._collate, self.step + 1)
            stop = self._advance(current, began, stopped)
            if stop or (self.config.save_every and self.step % self.config.save_every == 0):
                self.save()
                saved = self.step
            if stop:
                raise KeyboardInterrupt
        self._evaluate_now()
        if saved != self.step:
            self.save()

    def _advance(self, current: "Future[list[Any]]", began: float, stopped: threading.Event) -> bool:
        """Make one step, report it, evaluate when due; return whether any process was told to stop."""
        rate = rate_at(self.progress, self.config)
        loss, weight, norm = self._step(current.result(), rate)
        self.step += 1
        self.average.update(self.step)
        mine = time.monotonic() - began if self.world.first else 0.0
        seconds, stop = self.world.sum(mine, float(stopped.is_set()))
        self.elapsed += seconds
        self.losses.append(loss)
        self.reporter.advance({"loss": loss, "units/s": weight / seconds})
        if self.step % self.config.log_every == 0:
            values = {"loss": loss, "lr": rate, "gradient_norm": norm, "per_second": weight / seconds}
            self.reporter.report(self.step, values | {"elapsed": self.elapsed} | self._health())
        if self.config.eval_every and self.step % self.config.eval_every == 0:
            self._evaluate_now()
        return stop > 0

    def _collate(self, step: int) -> list[Any]:
        """Return this process's micro-batches of a step."""
        size = self.config.batch_size
        share = split_evenly(self.order.take(step * size, (step + 1) * size), self.world.size, self.world.rank)
        # Every process makes as many micro-batches, or the collective operations inside them would not meet.
        smallest = size // self.world.size
        parts = min(smallest, math.ceil(math.ceil(size / self.world.size) / (self.config.micro_batch or size)))
        return [self.batches.collate(split_evenly(share, parts, part)) for part in range(parts)]

    def _step(self, micro_batches: list[Any], rate: float) -> tuple[float, float, float]:
        """Make one optimiser step; return mean loss, total weight and gradient norm."""
        seed_everything(step_seed(self.config.seed, self.step, self.world.rank))
        loss_sum, weight_sum = 0.0, 0.0
        for number, batch in enumerate(micro_batches, start=1):
            with gradient_sync(self.called, wanted=number == len(micro_batches)), autocast(self.world.device):
                loss, weight = self.called(batch)
                loss.backward()
            loss_sum, weight_sum = loss_sum + loss.detach(), weight_sum + weight
        loss_total, weight_total = self.world.sum(loss_sum, weight_sum)
        if not math.isfinite(loss_total):
            raise PolygraftError(f"the loss became {loss_total} at step {self.step + 1}: lower --lr, or check the data")
        norm = self._scale_and_clip(self.world.size / max(weight_total, 1.0))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        return loss_total / max(weight_total, 1.0), weight_total, norm

    def _scale_and_clip(self, scale: float) -> float:
        """Turn gradients of sums (averaged over processes) into gradients of the mean, clip, return their norm."""
        parameters = [p for p in self.parameters.values() if p.grad is not None]
        for parameter in parameters:
            parameter.grad.mul_(scale)
        limit = self.config.clip_norm or math.inf
        return float(whole(torch.nn.utils.clip_grad_norm_(parameters, limit)))

    def _health(self) -> dict[str, float]:
        health = getattr(self.module, "health", None)
        return dict(health()) if health else {}

    # Evaluation and what is kept

    def _evaluate_now(self) -> None:
        """Evaluate the averaged weights and keep them if they are the best."""
        if not self.evaluate or self.evaluated == self.step:
            return
        self.evaluated = self.step
        with self.average.applied():
            self.module.eval()
            self.metrics = self.evaluate()
            self.module.train()
            self._keep_if_best()
        self.reporter.report(self.step, self.metrics)

    def _keep_if_best(self) -> None:
        if "score" not in self.metrics:
            return
        if self.best.metrics and self.metrics["score"] <= self.best.metrics["score"]:
            self.best.stale += 1
            return
        tensors = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.best = _Best(tensors, dict(self.metrics))

    def result(self) -> FitResult:
        """Put the weights to keep into the module and return them with the run's figures."""
        final = self.best.tensors or self.average.average
        with torch.no_grad():
            for name, value in final.items():
                self.parameters[name].copy_(value)
        tensors = {name: whole(p.detach()).cpu().clone() for name, p in self.parameters.items()}
        self.module.eval()
        return FitResult(
            tensors=tensors,
            losses=self.losses,
            steps=self.step,
            seconds=self.elapsed,
            metrics=self.best.metrics or self.metrics,
        )
