"""python -m benchmarks.throughput --repeats 3

Measure captions a second: batch 1 and 32, with and without the KV cache, greedy and with beams, for the starter and a
GPT-2 small.

The GPT-2 small has random weights, which cost the same time as trained ones. Every caption is made exactly as long,
so that settings compare; rows are measured in turn, several times over, and the median is printed. The last rows add
the reading and encoding of the images.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.errors import UsageError
from benchmarks.common import medians
from scripts._app.cli import Device, Json, emit, run_file

if TYPE_CHECKING:
    from backbone.generation.config import Decoding
    from multimodal.captioner import Captioner


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    images: tyro.conf.Positional[tuple[str, ...]] = ("examples/pictures",)
    """Images, repeated until a batch is full."""
    tokens: int = 20
    """Tokens of each caption."""
    beams: int = 5
    """Beams of the rows with beam search: the largest batch with the cache, and, as ClipCap's own loop does it, one
    image at a time without."""
    batch_sizes: tuple[int, ...] = (1, 32)
    """Captions at a time."""
    repeats: int = 5
    """Measurements of each row."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        for name, least in (("tokens", 1), ("repeats", 1), ("beams", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is {least} or more")


@dataclass(frozen=True, kw_only=True)
class ThroughputRow:
    """One line of the table: what runs, and how many captions one run makes."""

    model: str
    batch: int
    cache: bool
    part: str
    captions: int
    run: Callable[[], object]


def main(options: Options) -> int:
    """Print the table."""
    import torch

    torch.manual_seed(0)
    rows = _rows(options)
    _print(rows, medians([row.run for row in rows], options.repeats, "benchmark"), options)
    return 0


def _rows(options: Options) -> list[ThroughputRow]:
    """Lay out the measurements: text alone for two models, then the starter with its images."""
    from backbone.generation.config import Decoding
    from backbone.io.images import list_images
    from benchmarks.random_gpt2 import SMALL, random_gpt2
    from multimodal.captioner import Captioner

    starter = Captioner.from_pretrained(device=options.device)
    small = Captioner.build(starter.encoder, random_gpt2(starter.backbone, **SMALL), starter.config)
    paths = list_images(options.images)
    greedy = Decoding(max_tokens=options.tokens, min_tokens=options.tokens)
    beams = replace(greedy, beams=options.beams)
    settings = [(batch, replace(greedy, cache=cache)) for batch in options.batch_sizes for cache in (True, False)]
    settings += [(max(options.batch_sizes), beams), (1, replace(beams, cache=False))]
    rows = [
        _text_row(name, captioner, batch, decoding)
        for name, captioner in (("starter", starter), ("GPT-2 small, random weights", small))
        for batch, decoding in settings
    ]
    return rows + [_whole_row(starter, paths, batch, options.tokens) for batch in options.batch_sizes]


def _text_row(name: str, captioner: "Captioner", batch: int, decoding: "Decoding") -> ThroughputRow:
    """Return the row that captions features that are there already."""
    import torch

    pooled = torch.nn.functional.normalize(torch.randn(batch, captioner.encoder.width), dim=-1)
    part = f"text, {decoding.beams} beams" if decoding.beams > 1 else "text"
    return ThroughputRow(
        model=name, batch=batch, cache=decoding.cache, part=part, captions=batch,
        run=lambda: captioner.caption(pooled, decoding, batch_size=batch),
    )  # fmt: skip


def _whole_row(captioner: "Captioner", paths: Sequence[Path], batch: int, tokens: int) -> ThroughputRow:
    """Return the row that reads, encodes and captions files."""
    from backbone.generation.config import Decoding

    files = [paths[number % len(paths)] for number in range(max(batch, 8))]
    decoding = Decoding(max_tokens=tokens, min_tokens=tokens)
    return ThroughputRow(
        model="starter", batch=batch, cache=True, part="images and text", captions=len(files),
        run=lambda: captioner.caption(files, decoding, batch_size=batch),
    )  # fmt: skip


def _print(rows: list[ThroughputRow], medians: list[float], options: Options) -> None:
    rates = [row.captions / seconds for row, seconds in zip(rows, medians, strict=True)]
    if options.json:
        for row, rate in zip(rows, rates, strict=True):
            fields = {"model": row.model, "part": row.part, "batch": row.batch, "cache": "on" if row.cache else "off"}
            emit(json.dumps(fields | {"captions_per_second": round(rate, 2)}))
        return
    emit("| model | measured | batch | KV cache | captions a second |\n|---|---|---|---|---|")
    for row, rate in zip(rows, rates, strict=True):
        emit(f"| {row.model} | {row.part} | {row.batch} | {'on' if row.cache else 'off'} | {rate:.1f} |")
    for name in dict.fromkeys(row.model for row in rows):
        beams = [rate for row, rate in zip(rows, rates, strict=True) if row.model == name and "beams" in row.part]
        emit(f"\n{name}: with beams, batched and cached {beams[0] / beams[1]:.1f} times the rate of one by one without")


if __name__ == "__main__":
    run_file(__file__)
