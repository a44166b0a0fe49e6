"""From captions to the figures of the benchmark's tables."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.captioning.user_statistics import counterfactual, paired_p_value, ratio_interval
from multimodal.data.posts import Post
from multimodal.metrics.caption import score, score_each
from scripts._app.cli import remark
from starter_build.datasets.post_sets import scored_form, voice_of

SHOWN = ("cider_d", "bleu_1", "bleu_2", "rouge_l")


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """The captions that one system made of the posts of one split, under one condition, with one seed."""

    posts: Sequence[Post]
    captions: Sequence[str]
    meteor: bool = False
    """Whether METEOR is measured too, which needs Java."""

    def figures(self) -> dict[str, float]:
        """Return the corpus metrics; ``cider_raw`` takes a shortcode for one word, as the tokeniser does."""
        formed = {str(at): scored_form(text) for at, text in enumerate(self.captions)}
        truths = {str(at): [scored_form(post.text)] for at, post in enumerate(self.posts)}
        found = score(formed, truths, meteor=self.meteor, report=remark)
        raw = score(
            {str(at): text for at, text in enumerate(self.captions)},
            {str(at): [post.text] for at, post in enumerate(self.posts)},
        )
        shown = (*SHOWN, "meteor") if found["meteor"] is not None else SHOWN
        return {name: found[name] or 0.0 for name in shown} | {"cider_raw": raw["cider_d"] or 0.0}

    def each(self) -> list[float]:
        """Return CIDEr-D of each caption."""
        formed = {str(at): scored_form(text) for at, text in enumerate(self.captions)}
        truths = {str(at): [scored_form(post.text)] for at, post in enumerate(self.posts)}
        found = score_each(formed, truths)
        return [found[str(at)]["cider_d"] for at in range(len(self.posts))]


def mean_each(runs: Sequence[CaptionRun]) -> dict[str, list[float]]:
    """Return CIDEr-D of each post by user, the mean over runs with different seeds."""
    columns = [run.each() for run in runs]
    found: dict[str, list[float]] = {}
    for at, post in enumerate(runs[0].posts):
        found.setdefault(post.user, []).append(statistics.fmean(column[at] for column in columns))
    return found


def compared(ours: Sequence[CaptionRun], others: Sequence[CaptionRun]) -> dict[str, float]:
    """Return how many times ours is the other in CIDEr-D, with a 95 % interval and p, bootstrap over users.

    Nothing is returned where the other has no point at all, and no p where there is one user.
    """
    first, second = mean_each(ours), mean_each(others)
    if not any(map(any, second.values())):
        return {}
    ratio = ratio_interval(first, second)
    differences = {user: [a - b for a, b in zip(first[user], second[user], strict=True)] for user in first}
    found = {"ratio": ratio.mean, "low": ratio.low, "high": ratio.high}
    return found | ({"p": paired_p_value(differences)} if len(first) > 1 else {})


def counterfactual_accuracy(run: CaptionRun, key: Mapping[str, str]) -> float:
    """Return how often the caption made for a voice is nearer to its own truth than to another voice's.

    Args:
        run: captions of the same images for several voices.
        key: of each post, by id, the image.
    """
    captions: dict[str, dict[str, str]] = {}
    truths: dict[str, dict[str, str]] = {}
    for post, caption in zip(run.posts, run.captions, strict=True):
        voice = voice_of(post.user)
        captions.setdefault(key[post.id], {})[voice] = caption
        truths.setdefault(key[post.id], {})[voice] = post.text
    values = counterfactual(captions, truths)
    return statistics.fmean(value for own in values.values() for value in own)
