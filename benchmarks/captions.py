"""python -m benchmarks.captions --seeds 0 1 2

Train captioners on the starter's training images and compare them with controls on the held-out ones.

Controls see no image (the best single caption; the captioner's own captions assigned to other images) or do not write
(the caption of the nearest training image). Fetches some 350 MB of packages the first time. The table gives the mean
over the seeds and their standard deviation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backbone.io.settings import check_range
from benchmarks.common import BenchmarkOptions, print_table, summary
from scripts._app.cli import Device, remark, run_file

if TYPE_CHECKING:
    from multimodal.batches import CaptionSet
    from starter_build.datasets.splits import Side

_METRICS = ("cider_d", "bleu_1", "bleu_2", "rouge_l")


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """What to train, and where."""

    mappers: tuple[Literal["mlp", "transformer"], ...] = ("mlp", "transformer")
    """mlp, transformer."""
    beams: int = 1
    """Beams of the captions that are scored; 1: greedy decoding."""
    work: Path = Path("~/.cache/polygraft/starter")
    """Folder of features and unfinished runs."""
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "beams", 1)


def main(options: Options) -> int:
    """Train, caption, compare and print."""
    from backbone.clip import ImageEncoder
    from starter_build.starter.captioners import caption_data

    data = caption_data(options.data, options.work, ImageEncoder.from_pretrained(device=options.device))
    runs = _controls(data)
    for mapper in options.mappers:
        own = [_captions(options, data, mapper, seed) for seed in options.seeds]
        # each image gets the caption of another, at a fixed distance in the list
        moved = [[*texts[len(texts) // 2 :], *texts[: len(texts) // 2]] for texts in own]
        runs |= {f"{mapper} mapper": own, f"{mapper} mapper, shuffled images": moved}
    for subset in ("all", *sorted(set(_sets(data["test"])))):
        rows = {
            name: {"seeds": len(texts), **summary([_figures(one, data["test"], subset) for one in texts])}
            for name, texts in runs.items()
        }
        print_table(subset, rows, head="captions", as_json=options.json)
    return 0


def _controls(data: "Mapping[Side, CaptionSet]") -> dict[str, list[list[str]]]:
    from benchmarks.captioning.conditions import best_single_caption, nearest_captions

    training, test = data["train"], data["test"]
    single = best_single_caption(training, data["validation"])
    pooled = test.features.take(range(len(test.features))).pooled
    return {
        f"best single caption ({single!r})": [[single] * len(test.features)],
        "nearest training image's caption": [nearest_captions(training, pooled)],
    }


def _captions(options: Options, data: "Mapping[Side, CaptionSet]", mapper: str, seed: int) -> list[str]:
    from backbone.generation.config import Decoding
    from starter_build.starter.captioners import starter_run

    remark(f"{mapper} mapper, seed {seed}")
    captioner = starter_run(data, options.work, mapper=mapper, seed=seed, device=options.device).captioner
    features = data["test"].features
    pooled = features.take(range(len(features))).pooled
    decoding = Decoding(beams=options.beams, max_tokens=20)
    return [texts[0] for texts in captioner.caption(pooled, decoding, batch_size=64)]


def _figures(texts: Sequence[str], test: "CaptionSet", subset: str) -> dict[str, float]:
    from multimodal.metrics.caption import score

    references = test.references(range(len(texts)))
    chosen = [i for i, own in enumerate(_sets(test)) if subset in ("all", own)]
    found = score({str(i): texts[i] for i in chosen}, {str(i): references[i] for i in chosen}, meteor=False)
    metrics = {name: float(found[name] or 0.0) for name in _METRICS}
    return metrics | {"distinct": len({texts[i] for i in chosen}) / len(chosen)}


def _sets(data: "CaptionSet") -> list[str]:
    """Return the set of each image (emoji, stamps, clipart), with which the ids of its posts begin."""
    found = {row: post.id.partition("/")[0] for row, post in zip(data.rows, data.posts, strict=True)}
    return [found[row] for row in range(len(found))]


if __name__ == "__main__":
    run_file(__file__)
