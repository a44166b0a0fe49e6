"""A captioner measured on posts that it has not learned from: against what was written, and against other users.

A sample is an image and an author; its truths are all that the author wrote of it. Figures of words are of tokens as
`multimodal.metrics.caption` makes them, with an emoji, which would be lost there, as one word
(`multimodal.profile.text_features.emoji_words`).
"""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backbone.clip import Features
from backbone.generation.config import Decoding
from backbone.io.files import atomic_file
from multimodal.batches import CaptionSet
from multimodal.captioner import Captioner
from multimodal.data.normalization import natural
from multimodal.data.posts import Post, Report
from multimodal.metrics import ptb
from multimodal.metrics.caption import score, score_each
from multimodal.metrics.personalization import bootstrap, copy_rate, diversity, identification
from multimodal.profile.profile import NOBODY, Context, ContextMode
from multimodal.profile.text_features import emoji_words, style_distance
from multimodal.reranking.rerank import rerank
from multimodal.users.contexts import ContextBuilder

Watch = Callable[[Sequence[range], str], Iterable[range]]
"""Passes batches on and shows how far it is; the text says what is done."""


TextForm = Callable[[str], str]  # one of `multimodal.data.normalization.FORMS`


class Figure(NamedTuple):
    """A value, and where it is a mean over users the bounds of its interval."""

    value: float
    low: float | None = None
    high: float | None = None


Figures = dict[str, Figure]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Images to caption, each for its author."""

    data: CaptionSet  # a caption for each sample: the first that the author wrote of the image
    truths: tuple[tuple[str, ...], ...]  # all of them

    @classmethod
    def of(cls, data: CaptionSet, *, limit: int = 0) -> "Samples":
        """Put the captions of one image by one author together; keep at most ``limit``, evenly spread (0: all)."""
        found: dict[tuple[int, str], list[int]] = {}
        for at, (row, post) in enumerate(zip(data.rows, data.posts, strict=True)):
            found.setdefault((row, post.user), []).append(at)
        groups = list(found.values())
        kept = groups[:: math.ceil(len(groups) / limit)] if limit else groups
        truths = tuple(tuple(data.texts[at] for at in group) for group in kept)
        return cls(data=data.take([group[0] for group in kept]), truths=truths)

    def __len__(self) -> int:
        return len(self.truths)

    @property
    def users(self) -> list[str]:
        """The author of each sample, "" where it is not known."""
        return [post.user for post in self.data.posts]

    def by_user(self, values: Sequence[float]) -> dict[str, list[float]]:
        """Return values by author, for `bootstrap`; samples of nobody stand for themselves."""
        found: dict[str, list[float]] = {}
        for number, (user, value) in enumerate(zip(self.users, values, strict=True)):
            found.setdefault(f"user {user}" if user else f"sample {number}", []).append(value)
        return found


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A captioner with the way in which it is asked."""

    captioner: Captioner
    decoding: Decoding
    personal: float = 1.0
    consensus: bool = False  # take the MBR winner among the captions drawn and past ones; else the first is taken
    known: tuple[str, ...] = ()  # captions by which rare words are distinguished from common ones then
    batch_size: int = 32
    watch: Watch = lambda batches, _: batches

    def captions(self, samples: Samples, users: Sequence[Context] | None, label: str) -> list[str]:
        """Return a caption for each sample, in the style of the user that is shown."""
        found: list[str] = []
        for rows in self._batches(samples, label):
            shown = None if users is None else users[rows.start : rows.stop]
            made = self.captioner.caption(
                self._images(samples, rows),
                self.decoding,
                users=shown,
                personal=self.personal,
                batch_size=self.batch_size,
            )
            found += map(self._chosen, made, shown or [NOBODY] * len(made))
        return found

    def _chosen(self, drawn: list[str], shown: Context) -> str:
        return rerank(drawn, shown, self.known) if self.consensus else drawn[0]

    def log_likelihoods(self, samples: Samples, users: Sequence[Context], label: str) -> list[float]:
        """Return the log-probability of each sample's first truth, given the user that is shown."""
        found: list[float] = []
        for rows in self._batches(samples, label):
            shown, texts = users[rows.start : rows.stop], samples.data.texts[rows.start : rows.stop]
            images = self._images(samples, rows)
            found += self.captioner.score(images, texts, shown, batch_size=self.batch_size)
        return found

    def _batches(self, samples: Samples, label: str) -> Iterable[range]:
        starts = range(0, len(samples), self.batch_size)
        return self.watch([range(start, min(start + self.batch_size, len(samples))) for start in starts], label)

    def _images(self, samples: Samples, rows: range) -> Features | list[Path]:
        # no cache keeps features that are not normalised
        if self.captioner.config.normalize:
            return samples.data.features.take(samples.data.rows[rows.start : rows.stop])
        return [post.image for post in samples.data.posts[rows.start : rows.stop]]


def quality(
    captions: Sequence[str],
    samples: Samples,
    *,
    form: TextForm = natural,
    meteor: bool = False,
    report: Report | None = None,
    seed: int = 0,
) -> Figures:
    """Return how near captions are to the truths, and how varied.

    Args:
        captions: The caption of each sample.
        samples: The images and truths.
        form: What texts are compared as; their style is that of the texts as they are.
        meteor: Whether to measure METEOR, which needs Java.
        report: Called with a sentence where it cannot be measured.
        seed: The seed of the intervals.
    """
    hypotheses, references = _for_metrics(captions, samples, form)
    scores = score(hypotheses, references, meteor=meteor, report=report)
    found = {name: Figure(value) for name, value in scores.items() if value is not None}
    tokens = ptb.tokenize(list(hypotheses.values()))
    varied = {name: Figure(value) for name, value in diversity(tokens).items()}
    return found | nearness(captions, samples, form=form, seed=seed) | varied


def nearness(captions: Sequence[str], samples: Samples, *, form: TextForm = natural, seed: int = 0) -> Figures:
    """Return the figures that are means over users, or over samples where no user is known; see `quality`."""
    each = list(score_each(*_for_metrics(captions, samples, form)).values())
    found = {
        name: _interval(samples.by_user([values[name] for values in each]), seed) for name in ("rouge_l", "cider_d")
    }
    said, wanted = _texts_by_user(captions, samples)
    distances = {user: [style_distance(texts, wanted[user])] for user, texts in said.items()}
    return found | {"style_distance": _interval(distances, seed)}


def copying(
    captions: Sequence[str], samples: Samples, past: Iterable[Post], mode: ContextMode, training: Sequence[str]
) -> Figures:
    """Return the shares of n-grams and of whole captions that the user, or anybody in training, has written before.

    Args:
        captions: The caption of each sample.
        samples: The images and authors.
        past: All posts of the authors; those of a sample's own image are left out.
        mode: With ``history`` later ones are left out too.
        training: All texts that were learned from.
    """
    by_user: dict[str, list[Post]] = {}
    for post in past:
        by_user.setdefault(post.user, []).append(post)
    histories = [_history(post, by_user.get(post.user, []), mode) for post in samples.data.posts]
    rates = copy_rate(captions, histories, training)
    wanted = {"own": any(histories), "training": bool(training)}
    return {f"copied_{name}": Figure(rate) for name, rate in rates.items() if wanted[name.partition("_")[0]]}


def _history(post: Post, posts: Iterable[Post], mode: ContextMode) -> list[str]:
    others = (other for other in posts if post.user and other.image != post.image)
    return [other.text for other in others if mode != "history" or other.time < post.time]


def identified(
    speaker: Speaker,
    samples: Samples,
    builder: ContextBuilder,
    shown: Sequence[Context],
    *,
    among: int = 10,
    seed: int = 0,
) -> Figures:
    """Return how often the true author explains a text best, among others with pasts drawn by ``seed``.

    Samples of whose author nothing is known do not count. Nothing is returned where there are too few users.
    """
    rows = [row for row, context in enumerate(shown) if context.known]
    among = min(among, len(builder.past))
    if among < 2 or not rows:
        return {}
    subset = replace(samples, data=samples.data.take(rows), truths=tuple(samples.truths[row] for row in rows))
    suspects = [
        _others(builder.past, user, among - 1, (seed, row)) for row, user in zip(rows, subset.users, strict=True)
    ]
    scores = [speaker.log_likelihoods(subset, [shown[row] for row in rows], "the author")]
    for number in range(among - 1):
        users = builder.build(subset.data, authors=[others[number] for others in suspects])
        scores.append(speaker.log_likelihoods(subset, users, f"other user {number + 1}"))
    found = identification(np.array(scores).T, [0] * len(rows))
    return {
        "identified": _interval(subset.by_user([float(right) for right in found]), seed),
        "identified_by_chance": Figure(1 / among),
    }


def strangers(samples: Samples, builder: ContextBuilder, *, seed: int = 0) -> list[Context] | None:
    """Return what is shown of another user for each sample, drawn by ``seed``; None if there is no other."""
    if len(builder.past) < 2:
        return None
    drawn = [_others(builder.past, user, 1, (seed, row)) for row, user in enumerate(samples.users)]
    return builder.build(samples.data, authors=[others[0] for others in drawn])


def write_predictions(file: Path, captions: Sequence[str], samples: Samples) -> None:
    """Write a line of JSON a sample; ``reference`` is a list where the author wrote several texts of the image.

    `polygraft metrics` takes the file as hypotheses.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as partial, partial.open("w", encoding="utf-8") as lines:
        for text, post, truths in zip(captions, samples.data.posts, samples.truths, strict=True):
            reference = truths[0] if len(truths) == 1 else list(truths)
            row = {"id": post.id, "user": post.user, "text": text, "reference": reference}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _for_metrics(
    captions: Sequence[str], samples: Samples, form: TextForm
) -> tuple[dict[str, str], dict[str, list[str]]]:
    hypotheses = {str(number): emoji_words(form(text)) for number, text in enumerate(captions)}
    references = {
        str(number): [emoji_words(form(text)) for text in texts] for number, texts in enumerate(samples.truths)
    }
    return hypotheses, references


def _texts_by_user(captions: Sequence[str], samples: Samples) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    said: dict[str, list[str]] = {}
    wanted: dict[str, list[str]] = {}
    for user, text, truths in zip(samples.users, captions, samples.truths, strict=True):
        said.setdefault(user, []).append(text)
        wanted.setdefault(user, []).extend(truths)
    return said, wanted


def _interval(values: Mapping[str, Sequence[float]], seed: int) -> Figure:
    if len(values) < 2:  # of one group nothing can be said about others
        return Figure(statistics.fmean(value for group in values.values() for value in group))
    return Figure(*bootstrap(values, seed=seed))


def _others(past: Iterable[str], user: str, count: int, seed: tuple[int, int]) -> list[str]:
    names = sorted({*past} - {user})
    drawn = np.random.default_rng(seed).permutation(len(names))[:count]
    return [names[at] for at in drawn]
