"""python -m benchmarks.throughput --repeats 3

Measure captions a second: batch 1 and 32, with and without the KV cache, greedy and with beams, for the starter and a
GPT-2 small.

The GPT-2 small has random weights, which cost the same time as trained ones. Every caption is made exactly as long,
so that settings compare; rows are measured in turn, several times over, and the median is printed. The last rows add
the reading and encoding of the images.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import tyro

from backbone.io.settings import check_range
from benchmarks.common import medians, print_table
from scripts._app.cli import Device, Json, run_file

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
        check_range(self, "tokens repeats batch_sizes", 1)
        check_range(self, "beams", 2)


def main(options: Options) -> int:
    """Print the table."""
    import torch

    torch.manual_seed(0)
    rows = _rows(options)
    seconds = medians([run for _, run in rows.values()], options.repeats, "benchmark")
    rates = {name: count / taken for (name, (count, _)), taken in zip(rows.items(), seconds, strict=True)}
    table = {name: {"captions a second": rate} for name, rate in rates.items()}
    print_table("captions", table, head="model | measured | batch | KV cache", digits=1, as_json=options.json)
    with_beams: dict[str, list[float]] = {}
    for name, rate in rates.items():
        if "beams" in name:  # of each model the batched row comes first
            with_beams.setdefault(name.partition(" | ")[0], []).append(rate)
    gains = {model: {"times": batched / alone} for model, (batched, alone) in with_beams.items()}
    print_table("beams, batched and cached over one by one without", gains, digits=1, as_json=options.json)
    return 0


def _rows(options: Options) -> dict[str, tuple[int, Callable[[], object]]]:
    import torch

    from backbone.generation.config import Decoding
    from backbone.io.images import list_images
    from benchmarks.common import GPT2_SMALL, random_gpt2
    from multimodal.captioner import Captioner

    starter = Captioner.from_pretrained(device=options.device)
    small = Captioner.build(starter.encoder, random_gpt2(starter.backbone, **GPT2_SMALL), starter.config)
    # captions of one length, so that settings compare
    greedy = Decoding(max_tokens=options.tokens, min_tokens=options.tokens)
    beams = replace(greedy, beams=options.beams)
    settings = [(batch, replace(greedy, cache=cache)) for batch in options.batch_sizes for cache in (True, False)]
    settings += [(max(options.batch_sizes), beams), (1, replace(beams, cache=False))]

    rows: dict[str, tuple[int, Callable[[], object]]] = {}

    def add(model: str, captioner: "Captioner", inputs: Any, batch: int, decoding: "Decoding") -> None:
        part = "text" if isinstance(inputs, torch.Tensor) else "images and text"
        part += f", {decoding.beams} beams" if decoding.beams > 1 else ""
        name = f"{model} | {part} | {batch} | {'on' if decoding.cache else 'off'}"
        rows[name] = len(inputs), lambda: captioner.caption(inputs, decoding, batch_size=batch)

    for name, captioner in (("starter", starter), ("GPT-2 small, random weights", small)):
        for batch, decoding in settings:
            pooled = torch.nn.functional.normalize(torch.randn(batch, starter.encoder.width), dim=-1)
            add(name, captioner, pooled, batch, decoding)
    paths = list_images(options.images)
    for batch in options.batch_sizes:
        files = [paths[number % len(paths)] for number in range(max(batch, 8))]
        add("starter", starter, files, batch, greedy)
    return rows


if __name__ == "__main__":
    run_file(__file__)
