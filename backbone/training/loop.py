"""The one training loop: `fit` trains any small part on one process or many, and resumes exactly.

A trainable part is an ``nn.Module`` whose ``forward(batch)`` returns ``(summed loss, weight)``: the loss summed over
whatever is predicted (tokens, pairs) and how many there were. Sums are divided once per step, over all micro-batches
and all processes, so the loss does not depend on how a batch was cut.

A part may have more to tell or to be given, by attributes of these names:

- ``health()``: figures for the log.
- ``groups``: names; ``forward`` then returns a third value, (groups, 2), of which the log gets a mean loss each.
- ``work()``: floating-point operations of one unit of weight (a token), for ``--mfu``; None where not known.
- ``model``: a module that ``evaluate`` calls by itself; under FSDP2 it then gathers its shards by itself.
- ``begin_step(progress)``: called before each step with the share of the run that is done once it is.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbone.device import autocast, keep_big_blocks, seed_everything
from backbone.errors import PolygraftError
from backbone.training.config import TrainConfig as TrainConfig
from backbone.training.distributed import World, gradient_sync, join_world, parallelize, trainable_tensors, whole
from backbone.training.logger import Reporter
from backbone.training.losses import GroupLosses, SpikeError, SpikeGuard
from backbone.training.mfu import Gauge
from backbone.training.optim import Learned, rate_at
from backbone.training.resume import RunState, SavedStates
from backbone.training.sampler import Batches, SampleOrder, place_after, skip_batches, split_evenly, step_seed

Evaluate = Callable[[], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a run leaves behind.

    ``tensors`` are the trained parameters on the CPU by name: the best evaluated ones where there was a score, the
    moving average where one was kept. The module passed to `fit` holds the same, except under FSDP2, where it stays
    sharded and a fresh module is to be filled from ``tensors``.
    """

    tensors: dict[str, Tensor]
    losses: list[float]  # mean loss of each step this call made (a resumed run: from where it went on)
    steps: int
    seconds: float  # training time, earlier parts of a resumed run counted in
    metrics: dict[str, float]  # the last evaluation, or the best where there was a score


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
        module: The part: ``module(batch)`` gives (summed loss, weight), both scalars, or more, see this file's top.
        batches: The samples; order is a function of (config.seed, batches.digest, position) alone.
        config: The options of the training.
        folder: The folder of ``log.jsonl`` and of the saved states; calling again with the same folder continues the
            run with bit-identical results on as many processes, and with equal losses on another number.
        evaluate: A function that is called on every process each ``config.eval_every`` steps and at the end, with the
            moving average in place; a figure called ``score`` (higher is better) decides which weights are kept.

    Raises:
        PolygraftError: The loss is not finite, or spiked more often than it may; the folder belongs to another run;
            it cannot be written.
        KeyboardInterrupt: After SIGINT or SIGTERM, once the state is saved.
    """
    run = _Run(module, batches, config, folder, evaluate)
    with _signals() as stopped, ThreadPoolExecutor(1, "collate") as pool:
        try:
            run.resume()
            run.loop(pool, stopped)
        finally:
            run.close()
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


class _Run:
    def __init__(
        self, module: nn.Module, batches: Batches, config: TrainConfig, folder: Path | None, evaluate: Evaluate | None
    ) -> None:
        self.module, self.batches, self.config, self.folder, self.evaluate = module, batches, config, folder, evaluate
        parameters = trainable_tensors(module)
        if not parameters:
            raise PolygraftError("nothing to train: the module has no parameter that requires a gradient")
        if not len(batches):
            raise PolygraftError("nothing to train on: the data set is empty")
        first = next(iter(parameters.values()))
        self.world: World = join_world(first.device)
        if config.batch_size < self.world.size:
            raise PolygraftError(f"batch_size {config.batch_size} is smaller than the {self.world.size} processes")
        if self.world.device.type == "cpu":
            keep_big_blocks()  # before the first step takes any
        tell_work = getattr(module, "work", None)
        work = tell_work() if config.mfu and tell_work else None
        self.gauge = Gauge(work, self.world, first.dtype) if work else None
        self.called = parallelize(module.train(), config, self.world)
        self.learned = Learned(module, config)
        self.order = SampleOrder(len(batches), config.seed, batches.digest)
        self.total = config.total_steps(len(batches))
        self.step, self.elapsed = 0, 0.0
        self.losses: list[float] = []
        self.groups = GroupLosses(getattr(module, "groups", ()))
        self.metrics: dict[str, float] = {}
        self.evaluated = -1  # the step of the last evaluation, so that the end does not repeat it
        self.guard = SpikeGuard(config.spike_guard)
        self.skipped: list[list[int]] = []
        self.anchor: RunState | None = None
        self.saved = SavedStates(folder / "resume" if folder else None, self.world, background=config.background_save)
        self.reporter: Reporter | None = None

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
        return out_of_steps or out_of_time or 0 < self.config.patience <= self.learned.best.stale

    # Saving, resuming and rewinding, see `backbone.training.resume`

    def resume(self) -> None:
        """Take up the newest saved step, if there is one."""
        if newest := self.saved.latest():
            self.saved.check_same_run(newest, self.config.identity(), self.batches.digest)
            self._take_up(newest)
            self.anchor = self.saved.read(newest.anchor) if self.guard and newest.anchor is not None else newest
        self.reporter = Reporter(
            self.folder, self.step, self.total, active=self.world.first, tensorboard=self.config.tensorboard
        )
        if self.guard and not newest:
            self.learned.lay_out(0, None, 0)  # so that step 0 can be an anchor
            self.save()

    def _take_up(self, state: RunState) -> None:
        self.step, self.elapsed, self.skipped = state.step, state.elapsed, state.skipped
        self.guard = SpikeGuard(self.config.spike_guard, state.recent)
        self.learned.lay_out(state.step, state.best, state.stale)
        self.saved.fill(state.step, self.learned.tensors())

    @property
    def _regular(self) -> bool:
        return self.step == 0 or (self.config.save_every > 0 and self.step % self.config.save_every == 0)

    def save(self) -> None:
        """Save this step; a regular one becomes the anchor."""
        if not (self.folder or (self.guard and self._regular)):  # in memory there is room for the anchor alone
            return
        state = RunState(
            step=self.step,
            elapsed=self.elapsed,
            identity=self.config.identity(),
            data=self.batches.digest,
            best=self.learned.best.metrics or None,
            stale=self.learned.best.stale,
            skipped=self.skipped,
            recent=self.guard.recent,
            anchor=self.anchor.step if self.guard and self.anchor and not self._regular else None,
        )
        self.saved.save(self.learned.tensors(), state)
        if self._regular:
            self.anchor = state

    def _rewind(self, spike: SpikeError, began: float) -> None:
        """Take up the anchor, and leave out the samples of the steps since."""
        if len(self.skipped) >= self.config.spike_rewinds or self.anchor is None:
            raise PolygraftError(
                f"{spike} at step {self.step + 1}, after {len(self.skipped)} rewinds: lower --lr, check the data, or "
                "go on with more --spike-rewinds"
            )
        left, anchor = self.step, self.anchor.step
        (seconds,) = self.world.sum(time.monotonic() - began if self.world.first else 0.0)
        skipped = skip_batches(self.skipped, anchor, left, self.config.batch_size)
        self.anchor = replace(self.anchor, skipped=skipped, elapsed=self.elapsed + seconds)
        self.learned.forget_gradients()
        self._take_up(self.anchor)
        self.saved.amend(self.anchor)  # a run killed from here on does not meet the spike again
        del self.losses[max(0, len(self.losses) - (left - anchor)) :]
        self.groups.clear()
        self.evaluated = -1
        if self.reporter:
            self.reporter.rewind(anchor, left + 1, str(spike))

    def close(self) -> None:
        self.saved.close()
        if self.reporter:
            self.reporter.close()

    # The loop

    def loop(self, pool: ThreadPoolExecutor, stopped: threading.Event) -> None:
        last_saved = self.step
        upcoming = None if self.finished else pool.submit(self._collate, self.step)
        while upcoming and not self.finished:
            began = time.monotonic()
            self.saved.check()
            # the next batch is made while this one is learned from
            current, upcoming = upcoming, pool.submit(self._collate, self.step + 1)
            try:
                stop = self._advance(current, began, stopped)
            except SpikeError as spike:
                self._rewind(spike, began)
                upcoming = pool.submit(self._collate, self.step)
                continue
            if stop or self._regular:
                self.save()
                last_saved = self.step
            if stop:
                self.saved.wait()
                raise KeyboardInterrupt
        self._evaluate_now()
        if last_saved != self.step:
            self.save()
        self.saved.wait()

    def _advance(self, current: "Future[list[Any]]", began: float, stopped: threading.Event) -> bool:
        """Make one step, report it, evaluate when due; return whether any process was asked to stop."""
        rate = rate_at(self.progress, self.config)
        if begin_step := getattr(self.module, "begin_step", None):
            begin_step(self.progress)
        loss, weight, norm = self._step(current.result(), rate)
        self.step += 1
        self.learned.average.update(self.step)
        # by the first process's clock for all, or they might not stop at the same step
        mine = time.monotonic() - began if self.world.first else 0.0
        seconds, stop = self.world.sum(mine, float(stopped.is_set()))
        self.elapsed += seconds
        self.losses.append(loss)
        self._report(loss, weight / seconds, {"lr": rate, "gradient_norm": norm})
        if self.config.eval_every and self.step % self.config.eval_every == 0:
            self._evaluate_now()
        return stop > 0

    def _report(self, loss: float, speed: float, figures: dict[str, float]) -> None:
        assert self.reporter
        shares = self.gauge.shares(speed) if self.gauge else {}
        self.reporter.advance({"loss": loss, "units/s": speed, **shares})
        if self.step % self.config.log_every == 0:
            values = {"loss": loss, **figures, "per_second": speed, **shares, "elapsed": self.elapsed}
            health: dict[str, float] = getattr(self.module, "health", dict)()
            self.reporter.report(self.step, values | self.groups.take(self.world) | health)

    def _collate(self, step: int) -> list[Any]:
        size = self.config.batch_size
        place = place_after(step * size, self.skipped)
        share = split_evenly(self.order.take(place, place + size), self.world.size, self.world.rank)
        # Every process makes as many micro-batches, or the collective operations inside them would not meet.
        smallest = size // self.world.size
        parts = min(smallest, math.ceil(math.ceil(size / self.world.size) / (self.config.micro_batch or size)))
        return [self.batches.collate(split_evenly(share, parts, part)) for part in range(parts)]

    def _step(self, micro_batches: list[Any], rate: float) -> tuple[float, float, float]:
        # mean loss, total weight and gradient norm
        seed_everything(step_seed(self.config.seed, self.step, self.world.rank))
        loss_sum, weight_sum = 0.0, 0.0
        for number, batch in enumerate(micro_batches, start=1):
            with gradient_sync(self.called, wanted=number == len(micro_batches)), autocast(self.world.device):
                loss, weight, *by_group = self.called(batch)
                loss.backward()
            loss_sum, weight_sum = loss_sum + loss.detach(), weight_sum + weight
            for sums in by_group:
                self.groups.add(sums)
        loss_total, weight_total = self.world.sum(loss_sum, weight_sum)
        if not self.guard and not math.isfinite(loss_total):
            raise PolygraftError(
                f"the loss became {loss_total} at step {self.step + 1}: lower --lr, or check the data, or let "
                "--spike-guard 6 go back and leave out such batches"
            )
        # a batch may hold nothing that counts, which is no reason to divide by zero
        norm = self._scale_and_clip(self.world.size / max(weight_total, 1.0))
        mean = loss_total / max(weight_total, 1.0)
        self.guard.check(mean, norm)
        self.learned.apply_gradients(rate)
        return mean, weight_total, norm

    def _scale_and_clip(self, scale: float) -> float:
        """Turn gradients of sums (averaged over processes) into gradients of the mean, clip, return their norm."""
        parameters = [p for p in self.learned.parameters.values() if p.grad is not None]
        for parameter in parameters:
            parameter.grad.mul_(scale)
        limit = self.config.clip_norm or math.inf
        return float(whole(torch.nn.utils.clip_grad_norm_(parameters, limit)))

    # Evaluation and what is kept

    def _evaluate_now(self) -> None:
        if not self.evaluate or self.evaluated == self.step:
            return
        self.evaluated = self.step
        with self.learned.average.applied():
            self.module.eval()
            self.metrics = self.evaluate()
            self.module.train()
            self.learned.keep_if_best(self.metrics)
        if self.reporter:
            self.reporter.report(self.step, self.metrics)

    def result(self) -> FitResult:
        """Put the weights to keep into the module and return them with the run's figures."""
        tensors = self.learned.settle()
        self.module.eval()
        return FitResult(
            tensors=tensors,
            losses=self.losses,
            steps=self.step,
            seconds=self.elapsed,
            metrics=self.learned.best.metrics or self.metrics,
        )
