"""python -m benchmarks.captions --seeds 0 1 2

Train captioners on the starter's training images and compare them with controls on the held-out ones.

Controls see no image (the best single caption; the captioner's own captions assigned to other images) or do not write
(the caption of the nearest training image). Fetches some 350 MB of packages the first time. The table gives the mean
over the seeds and their standard deviation.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.errors import UsageError
from scripts._app.cli import Device, Json, emit, remark, run_file

if TYPE_CHECKING:
    from starter_build.starter.captioners import CaptionData

FIGURES = ("cider_d", "bleu_1", "bleu_2", "rouge_l")
MAPPERS = ("mlp", "transformer")

Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train, and where."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of weights and sample order."""
    mappers: tuple[str, ...] = MAPPERS
    """mlp, transformer."""
    beams: int = 1
    """Beams of the captions that are scored; 1: greedy decoding."""
    work: Path = Path("~/.cache/polygraft/starter")
    """Folder of features and unfinished runs."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.seeds:
            raise UsageError("seeds is empty: give at least one")
        for name in self.mappers:
            if name not in MAPPERS:
                raise UsageError(f"mappers holds {name!r}, allowed are {' and '.join(MAPPERS)}")


def main(options: Options) -> int:
    """Train, caption, compare and print."""
    from backbone.clip import ImageEncoder
    from starter_build.starter.captioners import caption_data

    work = options.work.expanduser()
    data = caption_data(options.data.expanduser(), work, ImageEncoder.from_pretrained(device=options.device))
    rows: dict[str, list[dict[str, Figures]]] = {}
    for name, texts in _controls(data).items():
        rows[name] = [_score(texts, data["test"])]
    for mapper in options.mappers:
        for seed in options.seeds:
            texts = _captions(options, data, work, mapper, seed)
            rows.setdefault(f"{mapper} mapper", []).append(_score(texts, data["test"]))
            rows.setdefault(f"{mapper} mapper, shuffled images", []).append(_score(_dealt(texts), data["test"]))
    _print(rows, options.json)
    return 0


def _controls(data: "Mapping[str, CaptionData]") -> dict[str, list[str]]:
    from benchmarks.captioning.baselines import best_single_caption, nearest_captions

    training, test = data["train"].captions, data["test"].captions
    single = best_single_caption(training, data["validation"].captions)
    pooled = test.features.take(range(len(test.features))).pooled
    return {
        f"best single caption ({single!r})": [single] * len(test.features),
        "nearest training image's caption": nearest_captions(training, pooled),
    }


def _captions(options: Options, data: "Mapping[str, CaptionData]", work: Path, mapper: str, seed: int) -> list[str]:
    """Train one captioner (or load what an earlier call trained) and caption the test images."""
    from backbone.generation.config import Decoding
    from starter_build.starter.captioners import starter_run

    remark(f"{mapper} mapper, seed {seed}")
    captioner = starter_run(dict(data), work, mapper=mapper, seed=seed, device=options.device).captioner
    features = data["test"].captions.features
    pooled = features.take(range(len(features))).pooled
    decoding = Decoding(beams=options.beams, max_tokens=20)
    return [texts[0] for texts in captioner.caption(pooled, decoding, batch_size=64)]


def _dealt(texts: Sequence[str]) -> list[str]:
    """Give each image the caption of another, at a fixed distance in the list."""
    half = len(texts) // 2
    return [*texts[half:], *texts[:half]]


def _score(texts: Sequence[str], test: "CaptionData") -> dict[str, Figures]:
    """Return the figures over all test images and over each set."""
    from multimodal.metrics.caption import score

    references = test.captions.references(range(len(texts)))
    found = {}
    for name in ("all", *sorted(set(test.sets))):
        chosen = [i for i in range(len(texts)) if name in ("all", test.sets[i])]
        figures = score({str(i): texts[i] for i in chosen}, {str(i): references[i] for i in chosen}, meteor=False)
        found[name] = {key: float(figures[key] or 0.0) for key in FIGURES} | {
            "distinct": len({texts[i] for i in chosen}) / len(chosen)
        }
    return found


def _print(rows: Mapping[str, Sequence[Mapping[str, Figures]]], as_json: bool) -> None:
    for subset in next(iter(rows.values()))[0]:
        table = {name: _summary([run[subset] for run in runs]) for name, runs in rows.items()}
        if as_json:
            emit(json.dumps({"images": subset, "rows": table}, ensure_ascii=False))
            continue
        emit(f"\n{subset}\n\n| captions | seeds | " + " | ".join((*FIGURES, "distinct")) + " |")
        emit("|---" * (len(FIGURES) + 3) + "|")
        for name, summary in table.items():
            cells = [_cell(summary[figure]) for figure in (*FIGURES, "distinct")]
            emit(f"| {name} | {len(rows[name])} | " + " | ".join(cells) + " |")


def _summary(runs: Sequence[Figures]) -> dict[str, Any]:
    return {
        figure: {
            "mean": round(statistics.mean(run[figure] for run in runs), 4),
            "sd": round(statistics.stdev([run[figure] for run in runs]), 4) if len(runs) > 1 else None,
        }
        for figure in runs[0]
    }


def _cell(value: Mapping[str, Any]) -> str:
    return f"{value['mean']:.3f}" + (f" ± {value['sd']:.3f}" if value["sd"] is not None else "")


if __name__ == "__main__":
    run_file(__file__)
