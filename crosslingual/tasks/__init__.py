"""Tasks without training: a language model chooses among candidates, or tags words, after no or a few examples.

The protocol is mGPT's (Shliazhko et al., 2022, section on evaluation), with its slips or without. Names are imported
on first use, so that reading an options dataclass is quick.
"""

from typing import TYPE_CHECKING

from backbone.lazy import lazy

if TYPE_CHECKING:
    from crosslingual.tasks.choices import read_items as read_items
    from crosslingual.tasks.evaluating import TaskReport as TaskReport
    from crosslingual.tasks.evaluating import evaluate_choices as evaluate_choices
    from crosslingual.tasks.evaluating import evaluate_labelling as evaluate_labelling
    from crosslingual.tasks.harness import harness_model as harness_model
    from crosslingual.tasks.options import TaskOptions as TaskOptions
    from crosslingual.tasks.probes import read_probe as read_probe
    from crosslingual.tasks.sentences import read_sentences as read_sentences

_HOME = {
    "TaskOptions": "crosslingual.tasks.options",
    "TaskReport": "crosslingual.tasks.evaluating",
    "evaluate_choices": "crosslingual.tasks.evaluating",
    "evaluate_labelling": "crosslingual.tasks.evaluating",
    "harness_model": "crosslingual.tasks.harness",
    "read_items": "crosslingual.tasks.choices",
    "read_probe": "crosslingual.tasks.probes",
    "read_sentences": "crosslingual.tasks.sentences",
}
__all__ = [
    "TaskOptions",
    "TaskReport",
    "evaluate_choices",
    "evaluate_labelling",
    "harness_model",
    "read_items",
    "read_probe",
    "read_sentences",
]

__getattr__ = lazy(__name__, _HOME)
