"""The original behind the parity tests: pycocoevalcap and its jars, where Java and the package are installed."""

import importlib.util
import shutil
from collections.abc import Mapping, Sequence

import pytest

AVAILABLE = shutil.which("java") is not None and importlib.util.find_spec("pycocoevalcap") is not None
parity = pytest.mark.skipif(not AVAILABLE, reason="needs java and pycocoevalcap")


def original_tokens(captions: Sequence[str]) -> list[str]:
    """Tokenize with the original, all captions as one text."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    rows = {"all": [{"caption": caption} for caption in captions]}
    return PTBTokenizer().tokenize(rows)["all"]


def original_figures(
    hypotheses: Mapping[str, str], references: Mapping[str, Sequence[str]], *, meteor: bool = True
) -> dict[str, float | None]:
    """Score with the original; the keys are those of `multimodal.metrics.caption.score`."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge

    right = _each(references, original_tokens([text for texts in references.values() for text in texts]))
    given = _each({id_: [hypotheses[id_]] for id_ in references}, original_tokens([hypotheses[i] for i in references]))
    bleu, _ = Bleu(4).compute_score(right, given, verbose=0)
    figures = {f"bleu_{order}": value for order, value in enumerate(bleu, start=1)}
    figures["rouge_l"] = float(Rouge().compute_score(right, given)[0])
    figures["cider_d"] = float(Cider().compute_score(right, given)[0])
    figures["meteor"] = Meteor().compute_score(right, given)[0] if meteor else None
    return figures


def _each(shape: Mapping[str, Sequence[str]], tokens: Sequence[str]) -> dict[str, list[str]]:
    left = iter(tokens)
    return {id_: [next(left) for _ in texts] for id_, texts in shape.items()}
