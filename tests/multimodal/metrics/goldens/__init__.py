"""What the original said of some captions, kept so that the tests need no Java.

`captions.jsonl` has the tokens of odd captions, `scores.json` the figures of small sets. To make both again from the
texts in them (a few minutes, needs Java and pycocoevalcap): `python -m tests.multimodal.metrics.goldens`.
"""

import json
from pathlib import Path
from typing import Any

CAPTIONS = Path(__file__).with_name("captions.jsonl")
SCORES = Path(__file__).with_name("scores.json")


def read_captions() -> list[dict[str, str]]:
    """Rows of kind, text, tokens; the tokens were made of all texts in this order."""
    return [json.loads(line) for line in CAPTIONS.read_text(encoding="utf-8").split("\n") if line]


def read_scores() -> dict[str, dict[str, Any]]:
    """By name: hypotheses, references and figures."""
    return json.loads(SCORES.read_text(encoding="utf-8"))
