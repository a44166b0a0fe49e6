"""The benchmark's images: quality against the number of past posts, and captions of one image for two users."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.captioning.tables import CaptionRun
from scripts._app.plots import pyplot

_SIDE, _LINE, _MARGIN, _TEXT = 96, 18, 8, 560
_EXAMPLES = 10


def plot_curve(labels: Sequence[str], lines: Mapping[str, Sequence[float]], folder: Path) -> Path:
    """Plot CIDEr-D of each system against the number of past posts."""
    plots = pyplot()
    figure, axes = plots.subplots(figsize=(6.4, 4.0))
    for name, values in lines.items():
        axes.plot(range(len(labels)), values, marker="o", label=name)
    axes.set_xticks(range(len(labels)), [label.removesuffix(" past posts") for label in labels])
    axes.set_xlabel("past posts of the user")
    axes.set_ylabel("CIDEr-D")
    axes.set_ylim(bottom=0)
    axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "captions-by-past.png"
    figure.savefig(target, dpi=120, bbox_inches="tight")
    plots.close(figure)
    return target


def draw_grid(run: CaptionRun, folder: Path, *, seed: int) -> Path:
    """Draw ten images with the captions for two users each, and what these users truly wrote.

    Images and users are drawn by the seed from all that have two different truths: failures are among them.
    """
    from PIL import Image, ImageDraw, ImageFont

    from backbone.io.images import open_image

    pairs = drawn_pairs(run, seed)
    height = _SIDE + _MARGIN
    sheet = Image.new("RGB", (_SIDE + _TEXT + 3 * _MARGIN, height * len(pairs) + _MARGIN), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for number, pair in enumerate(pairs):
        top = _MARGIN + number * height
        image = open_image(run.posts[pair[0]].image)
        image.thumbnail((_SIDE, _SIDE))
        sheet.paste(image, (_MARGIN, top))
        for line, text in enumerate(_lines(run, pair)):
            color = "gray" if line % 2 else "black"
            pen.text((_SIDE + 2 * _MARGIN, top + line * _LINE), text, fill=color, font=font)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "captions-by-user.png"
    sheet.save(target, optimize=True)
    return target


def drawn_pairs(run: CaptionRun, seed: int) -> list[tuple[int, int]]:
    """Return the numbers of two posts of one image by different voices, ten times."""
    by_image: dict[Path, list[int]] = {}
    for row, post in enumerate(run.posts):
        by_image.setdefault(post.image, []).append(row)
    drawn = random.Random(seed)
    pairs = []
    for image in drawn.sample(sorted(by_image), min(_EXAMPLES, len(by_image))):
        rows = by_image[image]
        first = drawn.choice(rows)
        others = [row for row in rows if run.posts[row].text != run.posts[first].text]
        if others:
            pairs.append((first, drawn.choice(others)))
    return pairs


def _lines(run: CaptionRun, pair: tuple[int, int]) -> list[str]:
    return [
        line
        for row in pair
        for line in (
            f"{run.posts[row].user.partition('/')[0]}: {run.captions[row]}",
            f"      truth: {run.posts[row].text}",
        )
    ]
