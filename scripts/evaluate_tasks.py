"""polygraft evaluate tasks starter --task probe

Evaluate a language model on tasks without training, zero-shot or few-shot.

The most likely candidate of each item is the model's answer; words are tagged one after the other. --data is a file of
JSON lines with the fields of the public data sets:

  xnli    premise, hypothesis, label          xcopa   premise, choice1, choice2, question, label
  paws-x  sentence1, sentence2, label         xwino   sentence with a _, option1, option2, answer
  pos     tokens, tags                        mlama   template, sub_label, obj_label, candidates
  ner     tokens, tags                        choice  prompt, candidates, answer

Each may have a "language". The probe is a set of our own: agreement, words, and verses in six languages. Beside the
accuracy are its 95 % interval and two baselines without a model: the most frequent label, and random choice.
"""

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from backbone.errors import UsageError
from backbone.io.settings import check_range
from crosslingual.options import TaskName, TaskOptions
from scripts._app.cli import Device, Json, emit, emit_rows, load_with_context, remark, run_file

if TYPE_CHECKING:
    from crosslingual.evaluation.evaluate import TaskReport


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which model, which task, and how."""

    model: tyro.conf.Positional[str]
    """Language model: starter, a folder, or a name on a hub."""
    task: TaskName
    """The task."""
    data: Path | None = None
    """Items as JSON lines; `-`: standard input. The probe needs none."""
    examples: Path | None = None
    """Solved items that shots are drawn from, in the form of --data; it may be the same file."""
    language: str = ""
    """Code of the language of rows that name none, such as de."""
    how: TaskOptions = field(default_factory=TaskOptions)
    context: int = 0
    """Tokens of a text at most, what exceeds them is cut from its beginning; 0: as many as the model takes, 1,024 at
    most. mGPT's evaluation has 512."""
    batch_size: int = 16
    """Candidates per batch."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if (self.task == "probe") == (self.data is not None):
            raise UsageError(
                "the probe brings its own items: leave --data out"
                if self.data
                else f"--task {self.task} needs --data: a file of JSON lines"
            )
        if self.how.shots and self.examples is None:
            raise UsageError(f"--shots {self.how.shots} needs --examples: a file of solved items")
        if self.examples is not None and not self.how.shots:
            raise UsageError("--examples are there for --shots, which is 0: say how many")
        if self.context < 0 or self.context == 1:
            raise UsageError(f"context is {self.context}, allowed is 0 or at least 2")
        check_range(self, "batch_size", 1)


def main(options: Options) -> int:
    """Print a line of figures for each language and kind, or one object."""
    report = _label(options) if options.task in ("pos", "ner") else _choose(options)
    effort, how = report.effort, options.how
    remark(f"{how.prompts} prompts, {how.shots} shots, the best {how.score}, {report.context} tokens of context")
    remark(
        f"{effort.read:,} tokens read; scoring each text by itself reads {effort.naive:,}, "
        f"{effort.naive / max(effort.read, 1):.1f} times as many"
    )
    if effort.cut:
        remark(f"{effort.cut} texts exceeded the context and were cut from their beginning")
    if options.json:
        record = {**_settings(options, report.context), "figures": report.groups, "effort": asdict(effort)}
        emit(json.dumps(record, ensure_ascii=False))
        return 0
    emit_rows(report.groups, as_json=False, digits=3)
    return 0


def _choose(options: Options) -> "TaskReport":
    from crosslingual.evaluation.tasks import read_items, read_probe

    form = "choice" if options.task == "probe" else options.task
    read = partial(read_items, form, language=options.language, published=options.how.published)
    items = read(options.data) if options.data else read_probe()
    examples = read(options.examples) if options.examples else ()
    backbone, context = load_with_context(options.model, options.device, options.context)
    from crosslingual.evaluation.evaluate import evaluate_choices

    return evaluate_choices(
        backbone, items, options.how, context=context, examples=examples, batch_size=options.batch_size
    )


def _label(options: Options) -> "TaskReport":
    from crosslingual.evaluation.tagging import read_sentences

    assert options.data is not None and options.task in ("pos", "ner"), "Options has seen to it"
    sentences = read_sentences(options.data, language=options.language)
    examples = read_sentences(options.examples, language=options.language) if options.examples else ()
    backbone, context = load_with_context(options.model, options.device, options.context)
    from crosslingual.evaluation.evaluate import evaluate_labelling

    return evaluate_labelling(backbone, sentences, options.task, options.how, context=context, examples=examples)


def _settings(options: Options, context: int) -> dict[str, object]:
    files = {name: str(path) for name in ("data", "examples") if (path := getattr(options, name))}
    return {"model": options.model, "task": options.task, **files, **asdict(options.how), "context": context}


if __name__ == "__main__":
    run_file(__file__)
