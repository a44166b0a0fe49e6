"""Tasks without training: a language model chooses among candidates, or tags words, after no or a few examples.

The protocol is mGPT's (Shliazhko et al., 2022, section on evaluation). Names are imported on first use.
"""

from typing import TYPE_CHECKING

from backbone import lazy

if TYPE_CHECKING:
    from crosslingual.evaluation.evaluate import TaskReport as TaskReport
    from crosslingual.evaluation.evaluate import evaluate_choices as evaluate_choices
    from crosslingual.evaluation.evaluate import evaluate_labelling as evaluate_labelling
    from crosslingual.evaluation.lm_eval_adapter import harness_model as harness_model
    from crosslingual.evaluation.tagging import read_sentences as read_sentences
    from crosslingual.evaluation.tasks import read_items as read_items
    from crosslingual.evaluation.tasks import read_probe as read_probe
    from crosslingual.options import TaskOptions as TaskOptions

__getattr__, __all__ = lazy(__name__)
