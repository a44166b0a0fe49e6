"""python -m benchmarks.retrieval --repeats 3

Measure how long a narration takes that is retrieved, and one that is written: by the same GPT-2, of the same clips.

A narration is written greedily with the KV cache, in as many tokens as are asked for, and retrieved from made-up
vocabularies that are mapped from the disk (up to 3 GB in the folder for temporary files). Rows are measured in turn,
several times over, and the median is printed. The GPT-2 medium has random weights, which cost the same time as trained
ones. Where videos are read, those that are given are, or made-up animated images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

import tyro

from backbone.io.settings import check_range
from benchmarks.common import medians, print_table
from scripts._app.cli import Device, Json, remark, run_file

if TYPE_CHECKING:
    from video.narrator import Narrator
    from video.vocabulary.vocabulary import NarrationVocabulary

Model = Literal["starter", "medium"]
MODELS: dict[Model, str] = {"starter": "starter", "medium": "GPT-2 medium, random weights"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    videos: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Videos to read clips of, repeated until a batch is full; without any, some are made up."""
    models: tuple[Model, ...] = ("starter", "medium")
    """Language models: the starter's, and a GPT-2 of 355M parameters."""
    body: Literal["frozen", "low-rank"] = "frozen"
    """What of the language model is tuned: nothing, which favours generation, or changes of a low rank."""
    order: Literal["question-first", "frames-first"] = "question-first"
    """What the language model reads first: the question, which is read once for all clips; or the frames."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the language model's weights: bfloat16 halves what a retrieval reads of the memory."""
    tokens: tuple[int, ...] = (4, 8, 16)
    """Tokens of a written narration."""
    entries: tuple[int, ...] = (4_600, 100_000, 800_000)
    """Narrations of a vocabulary; its postfixes come on top."""
    frames: int = 4
    """Frames of a clip, half a second apart."""
    batch_sizes: tuple[int, ...] = (1, 32)
    """Clips at a time."""
    queries: int = 180
    """Queries of the search that is measured by itself; 0: none is."""
    width: int = 1_152
    """Width of its vectors."""
    repeats: int = 5
    """Measurements of each row."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        check_range(self, "repeats frames width tokens batch_sizes models", 1)
        check_range(self, "queries", 0)
        check_range(self, "entries", 8)


@dataclass(frozen=True, kw_only=True)
class RetrievalRow:
    """One line of the table: what runs, and for how many clips."""

    part: str  # where the time begins: ``encoded frames`` or ``videos``
    batch: int
    answer: str
    run: Callable[[], object]


def main(options: Options) -> int:
    """Print the tables."""
    import torch

    torch.manual_seed(0)
    with TemporaryDirectory(prefix="polygraft-") as folder:
        for model in options.models:
            rows = _rows(options, model, Path(folder))
            title = f"{MODELS[model]}, {torch.get_num_threads()} threads"
            seconds = medians([row.run for row in rows], options.repeats, model)
            head = "from | clips at a time | answer"
            print_table(title, _table(rows, seconds), head=head, digits=2, as_json=options.json)
        if options.queries:
            _search_alone(options, Path(folder))
    return 0


def _rows(options: Options, model: Model, folder: Path) -> list[RetrievalRow]:
    import torch

    from benchmarks.video.speed import read_clips, retrieve, write, write_videos

    writer, finder = _narrators(options, model)
    answers: dict[str, Callable[[Sequence[torch.Tensor]], object]] = {
        f"generation, {tokens} tokens": partial(write, writer, tokens) for tokens in options.tokens
    }
    for entries in options.entries:
        answers[f"retrieval, {entries:,} entries"] = partial(retrieve, finder, _vocabulary(folder, entries, finder))
    videos = list(options.videos)
    if not videos:
        (folder / f"videos-{model}").mkdir()
        videos = write_videos(folder / f"videos-{model}", 8, options.frames / 2)
    times = [number / 2 for number in range(options.frames)]

    def read_and(answer: Callable[[list[torch.Tensor]], object], shown: list[Path]) -> object:
        return answer(read_clips(finder, shown, times))

    rows = []
    for batch in options.batch_sizes:
        frames = list(torch.nn.functional.normalize(torch.randn(batch, options.frames, finder.encoder.width), dim=2))
        for name, answer in answers.items():
            rows.append(RetrievalRow(part="encoded frames", batch=batch, answer=name, run=partial(answer, frames)))
    for batch in options.batch_sizes:
        shown = [videos[number % len(videos)] for number in range(batch)]
        for name, answer in answers.items():
            rows.append(RetrievalRow(part="videos", batch=batch, answer=name, run=partial(read_and, answer, shown)))
    return rows


def _narrators(options: Options, model: Model) -> "tuple[Narrator, Narrator]":
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from benchmarks.common import GPT2_MEDIUM, random_gpt2
    from video.config import NarratorConfig
    from video.narrator import Narrator

    encoder = ImageEncoder.from_pretrained(device=options.device)
    backbone = Backbone.from_pretrained(device=options.device, dtype=options.dtype)
    if model == "medium":
        backbone = random_gpt2(backbone, **GPT2_MEDIUM)
    config = NarratorConfig(
        body=options.body, order=options.order, max_frames=options.frames, max_tokens=max(options.tokens)
    )
    writes = replace(config, answer="generate")
    return Narrator.build(encoder, backbone, writes), Narrator.build(encoder, backbone, config)


def _vocabulary(folder: Path, count: int, narrator: "Narrator") -> "NarrationVocabulary":
    """Open a vocabulary as wide as the narrator's text vectors; what was written for one model serves the next."""
    from benchmarks.video.speed import write_vocabulary
    from video.vocabulary.vocabulary import NarrationVocabulary

    width = narrator.config.vector_width
    own = folder / f"{count}-{width}"
    if not own.exists():
        remark(f"writing {count:,} x {width} vectors")
        write_vocabulary(own, count, width, narrator.text_encoder.part)
    return NarrationVocabulary.from_pretrained(own, device=str(narrator.backbone.device))


def _table(rows: Sequence[RetrievalRow], seconds: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return the milliseconds of a clip in each row, and how many times that generation takes of the same clips."""
    each = {(row.part, row.batch, row.answer): 1000 * time / row.batch for row, time in zip(rows, seconds, strict=True)}
    table = {}
    for (part, batch, name), time in each.items():
        table[f"{part} | {batch} | {name}"] = {"ms a clip": time}
        if not name.startswith("generation"):
            written = {own: taken for (*from_, own), taken in each.items() if from_ == [part, batch]}
            times = {f"{own}, times": taken / time for own, taken in written.items() if own.startswith("generation")}
            table[f"{part} | {batch} | {name}"] |= times
    return table


def _search_alone(options: Options, folder: Path) -> None:
    import torch

    from backbone.checkpoint import FrozenPart
    from benchmarks.video.speed import write_vocabulary
    from video.vocabulary.vocabulary import NarrationVocabulary

    count = max(options.entries)
    remark(f"writing {count:,} x {options.width} vectors")
    part = FrozenPart(name="random", sha256="0" * 64)
    own = write_vocabulary(folder / "search", count, options.width, part)
    vocabulary = NarrationVocabulary.from_pretrained(own, device="cpu")
    asked = {queries: torch.randn(queries, options.width) for queries in (1, options.queries)}
    seconds = medians([partial(vocabulary.search, queries, 5) for queries in asked.values()], options.repeats, "search")
    rows = {f"{queries} queries": {"seconds": time} for queries, time in zip(asked, seconds, strict=True)}
    title = f"search among {count:,} x {options.width}, {torch.get_num_threads()} threads"
    print_table(title, rows, digits=2, as_json=options.json)


if __name__ == "__main__":
    run_file(__file__)
