"""Evaluates a model on a task: scores items or tags words, and reports accuracies beside baselines without a model."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from sklearn.metrics import f1_score

from backbone.gpt2 import Backbone
from backbone.training.logger import watched
from crosslingual.arrays import ratio_interval
from crosslingual.evaluation.items import Item, Sentence, Shots
from crosslingual.evaluation.scorer import Effort, Encoder, Scorer, chosen
from crosslingual.evaluation.tagging import Tagger, layout_of, tag_set
from crosslingual.options import TaskOptions


class Outcome(NamedTuple):
    """What came of an item, or of a sentence with its words."""

    group: tuple[str, str]  # language and kind
    right: tuple[str, ...]
    said: tuple[str, ...]  # labels, one for each word of a sentence
    correct: tuple[bool, ...]
    chance: float  # of a guess to be right


Figures = dict[str, str | int | float]


def figures_of(outcomes: Sequence[Outcome], *, seed: int, labelling: bool) -> list[Figures]:
    """Return the figures of each language and kind, in the order in which these come up.

    ``items`` are those of the group, or its words where sequences are labelled; ``accuracy`` with its 95 % interval is
    drawn over items or sentences; ``majority`` is the accuracy of always saying the most frequent label, ``random``
    that of guessing. Of labelling there is the mean F1 of the tags that occur, and by their frequency as in mGPT.
    """
    groups: dict[Hashable, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.group].append(outcome)
    return [_figures(members, seed, labelling) for members in groups.values()]


def _figures(outcomes: Sequence[Outcome], seed: int, labelling: bool) -> Figures:
    language, kind = outcomes[0].group
    right = [label for outcome in outcomes for label in outcome.right]
    said = [label for outcome in outcomes for label in outcome.said]
    hits = np.array([sum(outcome.correct) for outcome in outcomes])
    sizes = np.array([len(outcome.correct) for outcome in outcomes])
    low, high = ratio_interval(hits, sizes, seed=seed)
    figures: Figures = {
        "language": language,
        "kind": kind,
        "items": len(right),
        "accuracy": float(hits.sum() / sizes.sum()),
        "accuracy_low": low,
        "accuracy_high": high,
        "majority": max(Counter(right).values()) / len(right),
        "random": float(np.average([outcome.chance for outcome in outcomes], weights=sizes)),
    }
    for average in ("macro", "weighted") if labelling else ():
        figures[f"{average}_f1"] = float(f1_score(right, said, average=average, zero_division=0.0))
    return figures


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """What a model made of a task."""

    groups: list[Figures]  # for each language and kind
    effort: Effort  # what it took
    context: int  # tokens of a text at most


def _encoder_for(backbone: Backbone, *, context: int, published: bool) -> Encoder:
    """Return what makes tokens; the published evaluation has special tokens in its texts and none before."""
    return Encoder(
        backbone.tokenizer,
        context=context,
        start=None if published else backbone.bos_id,
        fallback=backbone.eos_id,
        specials=published,
    )


def evaluate_choices(
    backbone: Backbone,
    items: Sequence[Item],
    options: TaskOptions,
    *,
    context: int,
    examples: Sequence[Item] = (),
    batch_size: int = 16,
) -> TaskReport:
    """Choose a candidate for each item.

    Args:
        backbone: The model.
        items: At least one.
        options: Shots, score, and where the texts start.
        context: Tokens of a text at most.
        examples: Where shots are drawn from.
        batch_size: Candidates at once.

    Raises:
        PolygraftError: There are too few examples, or a candidate does not fit.
    """
    scorer = Scorer(
        backbone, _encoder_for(backbone, context=context, published=options.published), batch_size=batch_size
    )
    shots = Shots(examples, options.shots, options.seed)
    solved = ["".join(f"{shot.solved}\n" for shot in shots.draw(number, item)) for number, item in enumerate(items)]
    questions = [(before + item.prompt, item.candidates) for before, item in zip(solved, items, strict=True)]
    outcomes = []
    for item, scores in zip(items, scorer.score(questions), strict=True):
        choice = chosen(scores, options.score)
        said = item.label if choice == item.answer else item.candidates[choice]
        outcomes.append(
            Outcome((item.language, item.kind), (item.label,), (said,), (choice == item.answer,), 1 / len(scores))
        )
    groups = figures_of(outcomes, seed=options.seed, labelling=False)
    return TaskReport(groups=groups, effort=scorer.effort, context=context)


def evaluate_labelling(
    backbone: Backbone,
    sentences: Sequence[Sentence],
    task: Literal["pos", "ner"],
    options: TaskOptions,
    *,
    context: int,
    examples: Sequence[Sentence] = (),
) -> TaskReport:
    """Tag each word of sentences, greedily from left to right.

    Args:
        backbone: The model.
        sentences: At least one.
        task: Which tags, and how sentences are written.
        options: Shots, score, and the writing.
        context: Tokens of a text at most.
        examples: Where shots are drawn from.

    Raises:
        PolygraftError: There are too few examples, or fewer than two tags.
    """
    tags = tag_set(task, [*sentences, *examples])
    layout = layout_of(task, published=options.published)
    encoder = _encoder_for(backbone, context=context, published=options.published)
    tagger = Tagger(backbone, encoder, tags, options.score)
    shots = Shots(examples, options.shots, options.seed)
    outcomes = []
    for number, sentence in enumerate(watched(sentences, "tagging")):
        before = "".join(f"{layout.written(shot)}\n" for shot in shots.draw(number, sentence))
        said = tagger.tag(before + layout.opening(sentence.language), sentence.words)
        correct = tuple(one == other for one, other in zip(said, sentence.tags, strict=True))
        outcomes.append(Outcome((sentence.language, ""), sentence.tags, said, correct, 1 / len(tags)))
    groups = figures_of(outcomes, seed=options.seed, labelling=True)
    return TaskReport(groups=groups, effort=tagger.effort, context=context)
