"""Evaluates a model on a task: scores items or tags words, and makes the report."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from backbone.gpt2 import Backbone
from crosslingual.evaluation.accuracy import GroupFigures, Outcome, figures_of
from crosslingual.evaluation.items import Item, Sentence, Shots
from crosslingual.evaluation.options import TaskOptions
from crosslingual.evaluation.prefix_tree import Encoder
from crosslingual.evaluation.scorer import Effort, Scorer, Watch, chosen
from crosslingual.evaluation.tagging import Tagger, layout_of, tag_set


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """What a model made of a task."""

    groups: list[GroupFigures]  # for each language and kind
    effort: Effort  # what it took
    context: int  # tokens of a text at most


def encoder_for(backbone: Backbone, *, context: int, published: bool) -> Encoder:
    """Return what makes tokens of texts; the published evaluation has special tokens in its texts and none before."""
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
    watch: Watch = lambda batches, _: batches,
) -> TaskReport:
    """Choose a candidate for each item.

    Args:
        backbone: the model.
        items: at least one.
        options: shots, score, and where the texts start.
        context: tokens of a text at most.
        examples: where shots are drawn from.
        batch_size: candidates at once.
        watch: passes batches on, with a progress bar.

    Raises:
        PolygraftError: there are too few examples, or a candidate does not fit.
    """
    scorer = Scorer(
        backbone, encoder_for(backbone, context=context, published=options.published), batch_size=batch_size
    )
    shots = Shots(examples, options.shots, options.seed)
    solved = ["".join(f"{shot.solved}\n" for shot in shots.draw(number, item)) for number, item in enumerate(items)]
    questions = [(before + item.prompt, item.candidates) for before, item in zip(solved, items, strict=True)]
    outcomes = []
    for item, scores in zip(items, scorer.score(questions, watch), strict=True):
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
    watch: Callable[[Sequence[Sentence], str], Iterable[Sentence]] = lambda sentences, _: sentences,
) -> TaskReport:
    """Tag each word of sentences, greedily from left to right.

    Args:
        backbone: the model.
        sentences: at least one.
        task: which tags, and how sentences are written.
        options: shots, score, and the writing.
        context: tokens of a text at most.
        examples: where shots are drawn from.
        watch: passes sentences on, with a progress bar.

    Raises:
        PolygraftError: there are too few examples, or fewer than two tags.
    """
    tags = tag_set(task, [*sentences, *examples])
    layout = layout_of(task, published=options.published)
    encoder = encoder_for(backbone, context=context, published=options.published)
    tagger = Tagger(backbone, encoder, tags, options.score)
    shots = Shots(examples, options.shots, options.seed)
    outcomes = []
    for number, sentence in enumerate(watch(sentences, "tagging")):
        before = "".join(f"{layout.written(shot)}\n" for shot in shots.draw(number, sentence))
        said = tagger.tag(before + layout.opening(sentence.language), sentence.words)
        correct = tuple(one == other for one, other in zip(said, sentence.tags, strict=True))
        outcomes.append(Outcome((sentence.language, ""), sentence.tags, said, correct, 1 / len(tags)))
    groups = figures_of(outcomes, seed=options.seed, labelling=True)
    return TaskReport(groups=groups, effort=tagger.effort, context=context)
