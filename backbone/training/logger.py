"""Logging of a training run: a progress bar, one JSON line per report in ``log.jsonl``, TensorBoard."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from backbone.errors import PolygraftError

T = TypeVar("T")


def watched(items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """Iterate with a bar on standard error: after two seconds, and only if that is a terminal."""
    return tqdm(items, total=total, desc=label, delay=2.0, disable=not sys.stderr.isatty(), file=sys.stderr)


class Reporter:
    """Reports of one run; does nothing where ``active`` is false (every process but the first).

    Args:
        folder: The folder in which ``log.jsonl`` grows; None keeps no log.
        start: The step a resumed run continues from; later lines of an earlier part are dropped.
        total: The number of steps that the bar counts to; None where only the clock bounds the run.
        active: Whether this process reports.
        tensorboard: Whether TensorBoard events are written, too, under ``folder``.
    """

    def __init__(self, folder: Path | None, start: int, total: int | None, *, active: bool, tensorboard: bool) -> None:
        self._log: TextIO | None = None
        self._events: Any = None
        self._bar = tqdm(
            total=total, initial=start, unit="step", dynamic_ncols=True, disable=not (active and sys.stderr.isatty())
        )
        if active and folder:
            if tensorboard:  # first: it may be missing, and nothing is open then
                self._events = _event_writer(folder / "tensorboard")
            self._log = _open_log(folder / "log.jsonl", start)

    def report(self, step: int, values: Mapping[str, float | str]) -> None:
        """Write one line about ``step``."""
        if self._log:
            self._log.write(json.dumps({"step": step, **values}) + "\n")
            self._log.flush()
        if self._events:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def advance(self, shown: dict[str, float]) -> None:
        """Move the bar by one step; ``shown`` stands behind it."""
        if not self._bar.disable:
            self._bar.set_postfix({k: f"{v:.4g}" for k, v in shown.items()}, refresh=False)
        self._bar.update()

    def rewind(self, step: int, left: int, why: str) -> None:
        """Go back to ``step`` from the step ``left``; what was logged since is dropped, and why is reported."""
        self._bar.n = step
        self._bar.refresh()
        if self._log:
            name = Path(self._log.name)
            self._log.close()
            self._log = _open_log(name, step)
            self.report(step, {"rewound_from": left, "why": why})

    def close(self) -> None:
        """End the bar and close the files."""
        self._bar.close()
        for target in (self._log, self._events):
            if target:
                target.close()


def _open_log(path: Path, start: int) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    # a run that was killed may have logged steps that it did not save
    kept = [line for line in read_log(path) if line["step"] <= start] if start else []
    path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    return path.open("a", encoding="utf-8")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ``log.jsonl``; a last line cut off by a kill is left out."""
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def _event_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise PolygraftError('TensorBoard is not installed: pip install "polygraft[tensorboard]"') from None
    return SummaryWriter(str(folder))
