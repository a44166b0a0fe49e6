"""polygraft generate "The cat sat on" --max-tokens 20

Generate text with any language model.

Prints each prompt with its continuation on one line, line breaks replaced by spaces. `-` takes each line of standard
input as a prompt. An empty prompt starts from the end-of-text token alone.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import tyro

from backbone.errors import UsageError
from backbone.generation.config import Decoding
from backbone.io.settings import check_range
from scripts._app.cli import Device, Json, emit, remark, run_file

if TYPE_CHECKING:
    from backbone import Backbone


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which texts, which model, and how."""

    prompts: tyro.conf.Positional[tuple[str, ...]]
    """Texts to continue; `-`: the lines of standard input."""
    model: str = "starter"
    """Language model: a name on the hub, a folder in transformers' format, or a starter: starter, starter-fr,
    starter-multilingual."""
    decoding: Decoding = field(default_factory=Decoding)
    batch_size: int = 32
    """Texts per batch."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        check_range(self, "batch_size", 1)
        if not self.prompts:
            raise UsageError('no text to continue: give one, such as "The cat sat on", or - for standard input')


def main(options: Options) -> int:
    """Continue every text; 1 if one was too long for the model."""
    from backbone import Backbone

    backbone = Backbone.from_pretrained(options.model, device=options.device)
    failed = False
    batch: list[tuple[str, list[int]]] = []
    for prompt in _read(options.prompts):
        ids = backbone.tokenizer(prompt)["input_ids"] or [backbone.bos_id]
        # the last token is never fed back
        if len(ids) + options.decoding.max_tokens - 1 > backbone.context:
            remark(f"skipped, since {len(ids)} tokens leave no room in {backbone.context} positions: {prompt[:60]!r}")
            failed = True
            continue
        batch.append((prompt, ids))
        if len(batch) == options.batch_size:
            _continue(backbone, batch, options)
            batch = []
    _continue(backbone, batch, options)
    return int(failed)


def _read(prompts: Sequence[str]) -> Iterator[str]:
    for prompt in prompts:
        if prompt == "-":
            yield from (line.rstrip("\n") for line in sys.stdin)
        else:
            yield prompt


def _continue(backbone: "Backbone", batch: Sequence[tuple[str, list[int]]], options: Options) -> None:
    """Print the continuations of prompts and their token ids, which differ in length: they are padded and masked."""
    if not batch:
        return
    padded = backbone.pad([ids for _, ids in batch])
    found = backbone.generate(backbone.embed(padded.ids), options.decoding, prefix_mask=padded.mask)
    for (prompt, ids), generations in zip(batch, found, strict=True):
        for generation in generations:
            text = backbone.decode([*ids, *generation.ids])
            if options.json:
                result = {"prompt": prompt, "text": text, "score": generation.score}
                emit(json.dumps(result, ensure_ascii=False))
            else:
                emit(" ".join(text.split()))


if __name__ == "__main__":
    run_file(__file__)
