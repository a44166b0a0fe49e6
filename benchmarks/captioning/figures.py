"""From captions to figures: metrics, intervals, the curve over past posts, and examples of one image for two users."""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multimodal.data.posts import Post
from multimodal.metrics.caption import longest_common_subsequence, score, score_each
from multimodal.metrics.personalization import Interval, draw_groups
from scripts._app.cli import remark
from scripts._app.plots import pyplot
from starter_build.datasets.post_sets import scored_form, voice_of

_METRICS = ("cider_d", "bleu_1", "bleu_2", "rouge_l")


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """The captions that one system made of the posts of one split, under one condition, with one seed."""

    posts: Sequence[Post]
    captions: Sequence[str]
    meteor: bool = False  # whether METEOR is measured too, which needs Java

    def figures(self) -> dict[str, float]:
        """Return the corpus metrics; ``cider_raw`` takes a shortcode for one word, as the tokenizer does."""
        found = score(*self._texts(scored_form), meteor=self.meteor, report=remark)
        raw = score(*self._texts(str))
        shown = (*_METRICS, "meteor") if found["meteor"] is not None else _METRICS
        return {name: found[name] or 0.0 for name in shown} | {"cider_raw": raw["cider_d"] or 0.0}

    def each(self) -> list[float]:
        """Return CIDEr-D of each caption."""
        found = score_each(*self._texts(scored_form))
        return [found[str(at)]["cider_d"] for at in range(len(self.posts))]

    def _texts(self, form: Callable[[str], str]) -> tuple[dict[str, str], dict[str, list[str]]]:
        captions = {str(at): form(text) for at, text in enumerate(self.captions)}
        return captions, {str(at): [form(post.text)] for at, post in enumerate(self.posts)}


def compared(ours: Sequence[CaptionRun], others: Sequence[CaptionRun]) -> dict[str, Any]:
    """Return how many times ours is the other in CIDEr-D, with a 95 % interval and p, bootstrap over users.

    Nothing is returned where the other has no point at all, and no p where there is one user.
    """
    first, second = _mean_each(ours), _mean_each(others)
    if not any(map(any, second.values())):
        return {}
    differences = {user: [a - b for a, b in zip(first[user], second[user], strict=True)] for user in first}
    found: dict[str, Any] = {"ours over it": ratio_interval(first, second)}
    return found | ({"p": f"{paired_p_value(differences):.4f}"} if len(first) > 1 else {})


def _mean_each(runs: Sequence[CaptionRun]) -> dict[str, list[float]]:
    # the mean over runs with different seeds, by user: users are what intervals are drawn of
    columns = [run.each() for run in runs]
    found: dict[str, list[float]] = {}
    for at, post in enumerate(runs[0].posts):
        found.setdefault(post.user, []).append(statistics.fmean(column[at] for column in columns))
    return found


ValuesByUser = Mapping[str, Sequence[float]]


def ratio_interval(ours: ValuesByUser, baseline: ValuesByUser, *, samples: int = 2000, seed: int = 0) -> Interval:
    """Return the mean of our values over the mean of the baseline's, and its 95 % interval, drawing whole users.

    A drawn set in which the baseline is 0 everywhere counts as an infinite ratio, or not at all if ours is 0 there too.

    Args:
        ours: The values of each image by user, 0 or more, such as CIDEr-D; users without any are passed over.
        baseline: The values of the same images, in the same order; their mean is above 0.
        samples: The samples that are drawn with replacement, each of as many users as there are.
        seed: The seed of the draws.
    """
    sums = np.stack([_sums(ours), _sums(baseline)], axis=1)
    above, below = sums.sum(axis=0)
    drawn = draw_groups(sums, samples, seed)
    drawn = drawn[drawn.any(axis=1)]
    ratios = np.divide(drawn[:, 0], drawn[:, 1], out=np.full(len(drawn), np.inf), where=drawn[:, 1] > 0)
    # a sample itself and not a mean of two: between a number and infinity there is none
    low, high = np.quantile(ratios, [0.025, 0.975], method="inverted_cdf")
    return Interval(float(above / below), float(low), float(high))


def paired_p_value(differences_by_user: ValuesByUser, *, samples: int = 2000, seed: int = 0) -> float:
    """Return the share of bootstrap samples in which the mean difference is 0 or less, drawing whole users.

    A one-sided p-value of being better. One is added above and below the line (Davison and Hinkley 1997, section 4.2),
    so it is never 0. With fewer than some twenty users it comes out too small.

    Args:
        differences_by_user: Our value less the other's, image by image, of two users or more.
        samples: The samples that are drawn with replacement, each of as many users as there are.
        seed: The seed of the draws.
    """
    worse = np.count_nonzero(draw_groups(_sums(differences_by_user), samples, seed) <= 0)
    return float((1 + worse) / (1 + samples))


def _sums(values_by_user: ValuesByUser) -> NDArray[np.float64]:
    # in the order of the users' names, so that the order in which they come decides nothing
    return np.array([np.sum(values) for _, values in sorted(values_by_user.items()) if len(values)], dtype=np.float64)


def similarity(first: str, second: str) -> float:
    """ROUGE-L with characters for words and beta 1, on the text as it is written, in 0..1 and symmetrical.

    For captions of one to three words: there CIDEr-D and ROUGE-L over words are nearly always 0 or 1, and as both are
    computed of tokenized text, neither sees case, underscores or colons. Here ``dog_face`` is like ``Dog_face``, less
    like ``dog face`` and still less like ``cat``. Runs of spaces are one space; two empty texts are alike.
    """
    one, other = " ".join(first.split()), " ".join(second.split())
    if not one and not other:
        return 1.0
    return 2 * longest_common_subsequence(one, other) / (len(one) + len(other))


def counterfactual(
    captions: Mapping[str, Mapping[str, str]], truths: Mapping[str, Mapping[str, str]]
) -> dict[str, list[float]]:
    """Return by user whether captions made for them are nearer to their truth than to another's (see `similarity`).

    Users of an image are compared with each other user whose truth is another text: the caption is nearer to their own
    (1), to the other's (0), or as near to both (0.5). Captions that are the same for all users have a mean of 0.5,
    whatever they say.

    Args:
        captions: The caption made for the user, by image and user.
        truths: The caption that the user wrote, by the same images and users.
    """
    found: dict[str, list[float]] = {}
    for id_, wanted in truths.items():
        for user, own_truth in wanted.items():
            own = similarity(captions[id_][user], own_truth)
            for truth in wanted.values():
                if truth.split() != own_truth.split():
                    theirs = similarity(captions[id_][user], truth)
                    found.setdefault(user, []).append(0.5 if own == theirs else float(own > theirs))
    return found


def counterfactual_accuracy(run: CaptionRun, key: Mapping[str, str]) -> float:
    """Return how often the caption made for a voice is nearer to its own truth than to another voice's.

    Args:
        run: The captions of the same images for several voices.
        key: The image of each post, by its id.
    """
    captions: dict[str, dict[str, str]] = {}
    truths: dict[str, dict[str, str]] = {}
    for post, caption in zip(run.posts, run.captions, strict=True):
        voice = voice_of(post.user)
        captions.setdefault(key[post.id], {})[voice] = caption
        truths.setdefault(key[post.id], {})[voice] = post.text
    values = counterfactual(captions, truths)
    return statistics.fmean(value for own in values.values() for value in own)


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
        lines = []
        for row in pair:
            post = run.posts[row]
            lines += [f"{post.user.partition('/')[0]}: {run.captions[row]}", f"      truth: {post.text}"]
        for line, text in enumerate(lines):
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
