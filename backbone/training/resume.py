"""The saved states of a run: what it needs to go on as if it had never stopped, and to go back from a loss spike.

A run is saved after every ``save_every`` steps, where it is stopped, and at its end. A saved step is a folder such as
``step-000000200``: sharded safetensors, written by all processes through ``torch.distributed.checkpoint``, and a
``state.json``; nothing is pickled. It gets its name when it is complete, so a run that is killed at any moment has the
step before. To resume, a run takes up the newest step. To rewind, it takes up the last step that was saved by
``save_every``, its anchor, and notes in that step's ``state.json`` which samples it leaves out from now on. These two
steps are kept. A stop does not move the anchor: a run that was stopped goes back as far as one that was not.
"""

import json
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from backbone.errors import PolygraftError
from backbone.io.files import sync, write_text
from backbone.training.distributed import World

FORMAT = 1
_STEP, _PARTIAL = "step-", ".partial-"


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Where a run stands. Random states are not in it: each step is seeded from (seed, step, process)."""

    step: int  # optimiser steps done; times the batch size, the sampler's position
    elapsed: float  # seconds of training so far
    identity: dict[str, Any]  # the settings that decide what is learnt at each step
    data: str  # digest of the data
    best: dict[str, float] | None = None
    """The evaluation with the best score, whose weights are kept beside the last ones."""
    stale: int = 0  # evaluations since the best one
    skipped: list[list[int]] = field(default_factory=list)
    """Ranges of places in the stream of samples that were left out after a spike of the loss."""
    recent: list[float] = field(default_factory=list)  # losses of the last steps, where they are watched for spikes
    anchor: int | None = None  # the earlier saved step that a spike leads back to; None: this one
    format: int = FORMAT


class SavedStates:
    """The saved states of one run; every process has one and calls it alike.

    In the background, the state is copied to the CPU and a thread writes the copy while training goes on. There is
    never more than one being written, what goes wrong is raised at the next step, and a run killed meanwhile has the
    older state. With 60 MB of state on two busy CPU cores, a save kept training for 0.1 s instead of 1.5 to 4 s, but
    took two fifths more processor time in all, from the same cores: worth it where a GPU trains or a disk is slow.

    Args:
        folder: The folder of the steps; None: the tensors of the last one are kept in memory.
        world: The processes.
        background: Whether a thread writes.

    Raises:
        PolygraftError: A saved step is damaged, or of another version or run; one cannot be written (no space, no
            permission), and the older one stays.
    """

    def __init__(self, folder: Path | None, world: World, *, background: bool = False) -> None:
        self.folder, self.world = folder, world
        self._memory: dict[str, Tensor] = {}
        self._thread = ThreadPoolExecutor(1, "save") if background and folder else None
        self._writing: Future[None] | None = None
        self._group: dist.ProcessGroup | None = None
        if self._thread and world.size > 1:
            # its own group: what two threads send over one group would meet in the wrong order
            group = dist.new_group(backend="gloo")
            assert isinstance(group, dist.ProcessGroup)  # a number only in a process that has no part in it
            self._group = group

    def latest(self) -> RunState | None:
        """Return the newest saved state; None if there is none."""
        steps = sorted(self.folder.glob(f"{_STEP}*")) if self.folder and self.folder.is_dir() else []
        return self.read(int(steps[-1].name.removeprefix(_STEP))) if steps else None

    def read(self, step: int) -> RunState:
        """Return the state of a saved step."""
        path = self.path(step)
        try:
            state = RunState(**json.loads((path / "state.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise PolygraftError(f"{path} is damaged ({error}): remove it to start from an earlier state") from error
        if state.format != FORMAT:
            raise PolygraftError(f"{path} has format {state.format}, this version reads {FORMAT}: start a new run")
        return state

    def check_same_run(self, state: RunState, identity: dict[str, Any], data: str) -> None:
        """Refuse to resume a run with other data or with settings that would make it another run."""
        path = self.path(state.step)
        if state.data != data:
            raise PolygraftError(f"{path} belongs to a run on other data: give another folder, or remove it")
        before = state.identity
        changed = [f"{k} (was {before.get(k)!r}, now {v!r})" for k, v in identity.items() if before.get(k) != v]
        if changed:
            raise PolygraftError(f"{path} belongs to a run with other settings: {', '.join(changed)}")

    @torch.no_grad()
    def fill(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Fill ``tensors`` in place from a saved step, whatever number of processes wrote it."""
        self.wait()
        if self.folder is None:
            for name, tensor in tensors.items():
                _own(tensor).copy_(_own(self._memory[name]))
            return
        path = self.path(step)
        try:
            for file in path.glob("*.safetensors"):
                with safe_open(file, framework="pt"):  # torch would log a traceback for a damaged file
                    pass
            with _quiet():
                load(tensors, storage_reader=HuggingFaceStorageReader(str(path)), no_dist=self.world.size == 1)
        except (OSError, SafetensorError, CheckpointException, RuntimeError, ValueError) as error:
            raise PolygraftError(f"{path} cannot be read ({_why(error)}): remove it to start again") from error

    def save(self, tensors: dict[str, Tensor], state: RunState) -> None:
        """Save a step, after the one that is still being written; then remove all others but its anchor.

        Args:
            tensors: The tensors by name; sharded ones are written by the processes that have them.
            state: Where the run stands.
        """
        self.wait()
        if self.folder is None:
            self._memory = _copied(tensors)
        elif self._thread:
            self._writing = self._thread.submit(self._write, self.folder, _copied(tensors), state)
        else:
            self._write(self.folder, tensors, state)

    def amend(self, state: RunState) -> None:
        """Replace the ``state.json`` of a saved step, whole or not at all; its tensors stay."""
        self.wait()
        if self.folder and self.world.first:
            write_text(self.path(state.step) / "state.json", _described(state))
        self.world.barrier()

    def check(self) -> None:
        """Raise what went wrong in the background, without waiting for it."""
        if self._writing and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the state that is being written is on the disk, and raise what went wrong."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def close(self) -> None:
        """Wait for the thread and end it; what went wrong in it is not raised any more."""
        if self._thread:
            self._thread.shutdown()

    def path(self, step: int) -> Path:
        """Return the folder of a step."""
        return (self.folder or Path()) / f"{_STEP}{step:09d}"

    def _write(self, folder: Path, tensors: dict[str, Tensor], state: RunState) -> None:
        partial = folder / f"{_PARTIAL}{state.step:09d}"
        try:
            if self.world.first:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
            self.world.barrier(self._group)
            writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
            with _quiet():
                save(tensors, storage_writer=writer, process_group=self._group, no_dist=self.world.size == 1)
            if self.world.first:
                (partial / "state.json").write_text(_described(state), encoding="utf-8")
                self._publish(partial, state)
        except (OSError, CheckpointException) as error:
            raise PolygraftError(
                f"the state of step {state.step} could not be saved in {folder}: {_why(error)}"
            ) from error
        self.world.barrier(self._group)

    def _publish(self, partial: Path, state: RunState) -> None:
        final = self.path(state.step)
        for path in [*partial.iterdir(), partial]:
            sync(path)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        sync(final.parent)  # the new name is on the disk before the old steps go
        kept = {final} if state.anchor is None else {final, self.path(state.anchor)}
        for other in final.parent.iterdir():
            if other not in kept and other.name.startswith((_STEP, _PARTIAL)):
                shutil.rmtree(other, ignore_errors=True)


def _described(state: RunState) -> str:
    return json.dumps(asdict(state), indent=1) + "\n"


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations and its remark that there is one process
        yield


def _why(error: BaseException) -> str:
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]  # torch wraps what each process met
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


_AT_ONCE = StagingOptions(
    use_pinned_memory=False, use_shared_memory=False, use_async_staging=False, use_non_blocking_copy=False
)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    stager = DefaultStager(_AT_ONCE)  # one for each copy: torch 2.11 closes it after its first
    copied = stager.stage(tensors)
    stager.close()
    assert isinstance(copied, dict)  # a future only where staging is asynchronous
    return copied


def _own(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor  # this process's shard
