"""polygraft metrics hypotheses.jsonl references.jsonl

Compute caption metrics: BLEU, ROUGE-L, CIDEr-D, METEOR.

Hypotheses are lines like {"id": "1", "text": "a dog"}, references lines like {"id": "1", "texts": ["a dog", "a cat"]}.
Texts are tokenized as coco-caption does, and the values equal those of pycocoevalcap. CIDEr-D depends on the set of
images, so compare it on the same references only. METEOR needs Java and pycocoevalcap.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from backbone.errors import UsageError
from backbone.io.files import read_data
from scripts._app.cli import Json, emit, remark, run_file


@dataclass(frozen=True, kw_only=True)
class Options:
    """Two files with the same ids."""

    hypotheses: tyro.conf.Positional[Path]
    """JSONL file of captions, one for each id; - reads standard input."""
    references: tyro.conf.Positional[Path]
    """JSONL file of right captions, one list for each id; - reads standard input."""
    skip_meteor: bool = False
    """Skip METEOR, which starts Java: many seconds, up to 2 GB of memory."""
    json: Json = False

    def __post_init__(self) -> None:
        if str(self.hypotheses) == str(self.references) == "-":
            raise UsageError("both files are -, but there is one standard input: name a file for one of them")


def main(options: Options) -> int:
    """Print each metric; METEOR is left out, or null in JSON, where it cannot be had."""
    from multimodal.data.caption_files import read_hypotheses, read_references
    from multimodal.metrics.caption import score

    hypotheses = read_hypotheses(_read(options.hypotheses), str(options.hypotheses))
    references = read_references(_read(options.references), str(options.references))
    figures = score(hypotheses, references, meteor=not options.skip_meteor, report=remark)
    if options.json:
        emit(json.dumps(figures))
        return 0
    for name, value in figures.items():
        if value is not None:
            emit(f"{name:8} {value:9.4f}")
    return 0


def _read(path: Path) -> bytes:
    return sys.stdin.buffer.read() if str(path) == "-" else read_data(path)


if __name__ == "__main__":
    run_file(__file__)
