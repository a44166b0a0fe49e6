"""Multiple-choice tasks: from rows of public data sets to items, in mGPT's wording, and a small probe of our own.

Published is the wording of the authors' ``mgpt_classification.py`` (Shliazhko et al., 2022, arXiv 2204.07580): every
candidate is a whole text, scored by all its tokens.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from backbone.errors import PolygraftError
from crosslingual.evaluation.items import Item, ItemRow, read_rows
from crosslingual.evaluation.prompts import (
    CAUSE_EFFECT_CORRECTED,
    CAUSE_EFFECT_PUBLISHED,
    CORRECTED,
    PAWSX_PUBLISHED,
    XNLI_PUBLISHED,
    TagQuestion,
    Verdict,
)

T = TypeVar("T")
_STOPS = ".。।۔"


def read_items(task: str, path: Path, *, language: str, published: bool) -> list[Item]:
    """Return the items of a file, in the published wording or the corrected one; errors as of `read_rows`.

    ``task`` is a name of `TASKS`; rows that name no language are in ``language``; ``-`` is standard input.
    """
    shape, render = TASKS[task]
    return read_rows(path, shape, language, lambda row: render(row, published))


def _xnli(row: ItemRow, published: bool) -> Item:
    wording = _of_language(XNLI_PUBLISHED if published else CORRECTED, row, "XNLI", published)
    names = ("entailment", "neutral", "contradiction")
    verdicts: tuple[Verdict, ...] = ("yes", "also", "no")
    first, second = row.text("premise"), row.text("hypothesis")
    candidates = tuple(_tag_question(first, wording, verdict, second, published) for verdict in verdicts)
    answer = row.label("label", names)
    return Item(candidates=candidates, answer=answer, label=names[answer], language=row.language)


def _paws_x(row: ItemRow, published: bool) -> Item:
    wording = _of_language(PAWSX_PUBLISHED if published else CORRECTED, row, "PAWS-X", published)
    verdicts: tuple[Verdict, ...] = ("no", "yes")
    first, second = row.text("sentence1"), row.text("sentence2")
    candidates = tuple(_tag_question(first, wording, verdict, second, published) for verdict in verdicts)
    answer = row.label("label", ("different", "paraphrase"))
    return Item(candidates=candidates, answer=answer, label=verdicts[answer], language=row.language)


def _xcopa(row: ItemRow, published: bool) -> Item:
    cause, effect = _of_language(
        CAUSE_EFFECT_PUBLISHED if published else CAUSE_EFFECT_CORRECTED, row, "XCOPA", published
    )
    connective = (cause, effect)[row.label("question", ("cause", "effect"))]
    join = _joined_as_published if published else _joined
    choices = (row.text("choice1"), row.text("choice2"))
    candidates = tuple(join(row.text("premise"), connective, choice, row.language) for choice in choices)
    answer = row.label("label", ("", ""))
    return Item(candidates=candidates, answer=answer, label=f"choice{answer + 1}", language=row.language)


def _xwino(row: ItemRow, published: bool) -> Item:
    sentence = row.text("sentence")
    if "_" not in sentence:
        raise PolygraftError(f"{row.place} has no space in its sentence: write _ where the options belong")
    options = [row.text("option1"), row.text("option2")]
    if published:
        options = [option.lower() for option in options]
    elif sentence.lstrip().startswith("_"):
        options = [option[0].upper() + option[1:] for option in options]
    candidates = tuple(_detached(sentence.replace("_", option)) for option in options)
    answer = row.label("answer", ("", ""), first=1)
    return Item(candidates=candidates, answer=answer, label=f"option{answer + 1}", language=row.language)


def _mlama(row: ItemRow, _: bool) -> Item:
    template, objects, right = row.text("template"), row.texts("candidates", least=2), row.text("obj_label")
    if "[X]" not in template or "[Y]" not in template:
        raise PolygraftError(f"{row.place} has the template {template!r}: it needs [X] and [Y]")
    if right not in objects:
        raise PolygraftError(f"{row.place} has the obj_label {right!r}, which is none of its candidates")
    before, behind = template.replace("[X]", row.text("sub_label")).split("[Y]", 1)
    candidates = tuple(before + text + behind for text in objects)
    return Item(candidates=candidates, answer=objects.index(right), label=right, language=row.language)


def _choice(row: ItemRow, _: bool) -> Item:
    candidates = row.texts("candidates", least=2)
    answer = row.label("answer", [""] * len(candidates))
    prompt = row.text("prompt") if row.values.get("prompt") else ""
    kind = row.text("kind") if "kind" in row.values else ""
    return Item(
        candidates=candidates, answer=answer, label=candidates[answer], language=row.language, kind=kind, prompt=prompt
    )


TASKS: Mapping[str, tuple[str, Callable[[ItemRow, bool], Item]]] = {
    "xnli": ('{"premise": "...", "hypothesis": "...", "label": 0}', _xnli),
    "paws-x": ('{"sentence1": "...", "sentence2": "...", "label": 1}', _paws_x),
    "xcopa": ('{"premise": "...", "choice1": "...", "choice2": "...", "question": "cause", "label": 0}', _xcopa),
    "xwino": ('{"sentence": "... _ ...", "option1": "...", "option2": "...", "answer": 1}', _xwino),
    "mlama": (
        '{"template": "[X] was born in [Y].", "sub_label": "...", "obj_label": "...", "candidates": ["..."]}',
        _mlama,
    ),
    "choice": ('{"prompt": "...", "candidates": ["...", "..."], "answer": 0}', _choice),
}
"""What a row of a task looks like, and what makes an item of a row; True asks for the published wording."""


def _of_language(wordings: Mapping[str, T], row: ItemRow, task: str, published: bool) -> T:
    if row.language not in wordings:
        variant = "published" if published else "corrected"
        known = ", ".join(sorted(wordings))
        raise PolygraftError(f"{row.place} is in {row.language!r}, but {task} has {variant} prompts in {known} alone")
    return wordings[row.language]


def _tag_question(first: str, wording: TagQuestion, verdict: Verdict, second: str, published: bool) -> str:
    first = first.strip()
    if published:
        first = f"{first[:-1]},".strip() if first.endswith(".") else first
    else:
        second = second.strip()
        first = first.rstrip(_STOPS).rstrip() + wording.comma
    question = [wording.question] if wording.question else []
    answer: str = getattr(wording, verdict) + wording.after
    return _detached(wording.space.join([first, *question, answer, second]))


def _joined_as_published(premise: str, connective: str, choice: str, language: str) -> str:
    space = "" if language == "zh" else " "
    text = premise.strip() + space + connective.capitalize() + space + choice.strip().lower()
    return text.replace(". ", " ").lower().capitalize()


def _joined(premise: str, connective: str, choice: str, language: str) -> str:
    premise, choice = premise.strip().rstrip(_STOPS).rstrip(), choice.strip()
    before, behind = ("，", "") if language == "zh" else (" ", " ")
    return premise + before + connective + behind + choice[0].lower() + choice[1:]


def _detached(text: str) -> str:
    """Undo the tokenization of the data sets, which sets a space before punctuation."""
    for apart, joined in ((" .", "."), (" ,", ","), (" '", "'"), (" n't", "n't")):
        text = text.replace(apart, joined)
    return text


_FOLDER = Path(__file__).with_name("probe")


def read_probe() -> list[Item]:
    """Return the items of the probe, whose README tells how they were made."""
    return [
        item
        for file in sorted(_FOLDER.glob("*.jsonl"))
        for item in read_items("choice", file, language="", published=False)
    ]
