"""polygraft evaluate language starter heldout.txt

Measure how well language models predict text, in bits per byte.

MODEL is a folder, a name on a hub, or starter. TEXT are UTF-8 files: each file is a document, and each row of a .jsonl
file with a "text". Bits per byte compare any two models; perplexity those with one tokenizer alone. Each document
starts from the end-of-text token; with --stride below --context, windows overlap and no token has little before it.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from backbone.errors import UsageError
from scripts._cli import Device, Json, run_file, tell, watch_batches
from scripts._documents import read_documents


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which model, which text, and how it is cut."""

    model: tyro.conf.Positional[str]
    """Language model: starter, a folder, or a name on a hub."""
    texts: tyro.conf.Positional[tuple[Path, ...]]
    """Files of text; `-`: standard input."""
    context: int = 0
    """Tokens fed at once; 0: as many as the model takes, 1,024 at most."""
    stride: int = 0
    """Tokens by which windows move on; 0: the context, so that they do not overlap."""
    batch_size: int = 8
    """Windows at once."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.texts:
            raise UsageError("no text to measure with: give files, or - for standard input")
        for name in ("context", "stride"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is at least 0")
        if self.batch_size < 1:
            raise UsageError(f"batch_size is {self.batch_size}, allowed is at least 1")


def main(options: Options) -> int:
    """Print the figures, one a line or as one object."""
    documents = read_documents(options.texts)
    from backbone.gpt2 import Backbone
    from crosslingual.scoring import score_text

    backbone = Backbone.from_pretrained(options.model, device=options.device)
    context = options.context or min(backbone.context, 1024)
    if context > backbone.context:
        raise UsageError(f"context is {context}, but {options.model} takes {backbone.context} tokens at most")
    score = score_text(
        backbone.model, backbone.tokenizer, documents,
        context=context, stride=options.stride, batch_size=options.batch_size, watch=watch_batches,
    )  # fmt: skip
    figures = {"model": options.model, **score.figures()}
    tell(figures, as_json=options.json, digits=5)
    return 0


if __name__ == "__main__":
    run_file(__file__)
