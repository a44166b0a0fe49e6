"""What the benchmarks share: options, a cache of results, figures over seeds, tables, seconds and models."""

import hashlib
import json
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.io.files import atomic_file, write_json
from backbone.io.settings import check_range
from scripts._app.cli import Json, emit, progress

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """Options of every benchmark that trains."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training."""
    work: Path = Path("~/.cache/polygraft/benchmark")
    """Folder of features, runs and results; what is there is not made again."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    json: Json = False

    def __post_init__(self) -> None:
        check_range(self, "seeds", 0)
        for name in ("work", "data"):
            object.__setattr__(self, name, getattr(self, name).expanduser())


# Results are kept


def cache_path(folder: Path, name: str, *settings: object) -> Path:
    """Return the path for what is made under some settings.

    Args:
        folder: The folder of the cache.
        name: The name by which a person finds the file.
        settings: Everything that determines the result: options, seeds, digests of models and data. Their `repr` is
            hashed.
    """
    digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
    return folder / f"{re.sub(r'[^a-zA-Z0-9]+', '-', name)}-{digest}"


def cached(path: Path, make: Callable[[], Any]) -> Any:
    """Return the JSON value in a file; on the first call it is made and written."""
    if not path.exists():
        value = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            write_json(partial, value)
    return json.loads(path.read_text(encoding="utf-8"))


# Figures


def summary(figures: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float | None]]:
    """Return the mean of each figure over runs with different seeds, and the standard deviation of several."""
    return {
        name: (
            statistics.fmean(one[name] for one in figures),
            statistics.stdev([one[name] for one in figures]) if len(figures) > 1 else None,
        )
        for name in figures[0]
    }


def print_table(
    title: str,
    rows: Mapping[str, Mapping[str, Any]],
    *,
    as_json: bool,
    head: str = "",
    digits: int = 3,
) -> None:
    """Print a table as markdown, or as one JSON object.

    Args:
        title: The line above the table.
        rows: The cells of each row by column: numbers, texts, a mean with its deviation, or an `Interval`. A row may
            lack columns of others.
        as_json: Whether to print JSON.
        head: The head of the column of row names; names of several columns have " | " between them.
        digits: The decimals of real numbers.
    """
    if as_json:
        emit(json.dumps({"table": title, "rows": rows}, ensure_ascii=False))
        return
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    width = len(columns) + head.count(" | ") + 1
    emit(f"\n**{title}**\n\n| {' | '.join([head, *columns])} |\n{'|---' * width}|")
    for name, row in rows.items():
        emit(f"| {' | '.join([name, *(_cell(row.get(column), digits) for column in columns)])} |")


def _cell(value: Any, digits: int) -> str:
    match value:
        case None:
            return ""
        case (mean, None):
            return _cell(mean, digits)
        case (mean, deviation):
            return f"{_cell(mean, digits)} ± {_cell(deviation, digits)}"
        case (mean, low, high):
            return f"{_cell(mean, digits)} ({_cell(low, digits)} to {_cell(high, digits)})"
        case float():
            return f"{value:.{digits}f}"
        case int():
            return f"{value:,}"
    return str(value)


# Seconds


def medians(runs: Sequence[Callable[[], object]], repeats: int, label: str) -> list[float]:
    """Return the median seconds of each of ``runs``.

    Each runs once before, for allocators, kernels and file caches. Then all run in turn, so that whatever else the
    machine does meets them alike.
    """
    for run in runs:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in progress(range(repeats), label, repeats):
        for run, measured in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            run()
            measured.append(time.perf_counter() - began)
    return [statistics.median(measured) for measured in seconds]


# Models

# the published sizes
GPT2_SMALL = {"context": 1024, "width": 768, "layers": 12, "heads": 12, "vocab_size": 50257}
GPT2_MEDIUM = {"context": 1024, "width": 1024, "layers": 24, "heads": 16, "vocab_size": 50257}


def random_gpt2(starter: "Backbone", **sizes: int) -> "Backbone":
    """Return a GPT-2 with random weights, which costs the time of a trained one.

    It reads with the starter's tokenizer, on its device, in its dtype.

    Args:
        starter: The starter's language model.
        sizes: The sizes as `GPT2_SMALL` has them; none: the starter's own.
    """
    from torch import nn

    from backbone.gpt2 import Backbone
    from crosslingual.tokenization.train import untrained_gpt2

    own = starter.model.config
    sizes = sizes or {
        "context": own.n_positions, "width": own.n_embd, "layers": own.n_layer, "heads": own.n_head,
        "vocab_size": starter.vocabulary_size,
    }  # fmt: skip
    model = untrained_gpt2(starter.tokenizer, **sizes)
    nn.Module.to(model, starter.dtype)  # in place; transformers' own has no types
    return Backbone.from_parts(model, starter.tokenizer, name="random", device=str(starter.device))
