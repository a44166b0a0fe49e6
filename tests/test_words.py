"""One thing, one word: terms of the field in what people read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = (
    "README.md",
    "docs/results.md",
    "docs/checkpoint.md",
    "docs/training.md",
    "docs/glossary.md",
    "docs/architecture.md",
    "pyproject.toml",
    "Makefile",
    "docs/cli.md",
    "docs/config.md",
    "backbone",
    "multimodal",
    "crosslingual",
    "video",
    "scripts",
    "benchmarks",
    "starter_build",
)
WORDS = re.compile(
    r"\b(pictures?|films?|likeness(es)?|blanks?|told|borne out|dealt to|lent|lends?|lending|fellows?|"
    r"what is known of)\b",
    re.IGNORECASE,
)
# folders and files, keys and tensors of public formats, names of options, and the term of text formats
ALLOWED = re.compile(
    r"examples/(films|pictures)|\.\./pictures|benchmarks[./]films|films/\*|film\.(mp4|srt|vtt)|"
    r"[\"']films?[\"']|\"picture\"|(header|origin)\.film|film=film|\bfilm(:|=)|self\.likeness|"
    r"per[_-]film|no-lend|[\"`]lend[\"`]|--lend|options\.lend|lend: bool|"
    r"prefix[_-]blank|not blank|blank lines?"
)


def _texts(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("place", PLACES)
def test_words_are_those_of_the_field(place: str) -> None:
    texts = _texts(place)
    assert texts
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in WORDS.finditer(ALLOWED.sub("", line))
    ]
    assert not found
