"""A language model of the starter, made by the commands that anybody may give, and put into the package."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbone.checkpoint.folder import RECORD
from backbone.checkpoint.model_card import ModelCard, write_card
from backbone.io.files import atomic_folder, read_json, write_json
from starter_build.processes import polygraft

VOCABULARY, CONTEXT = 8192, 256
SIZE = "mini"
STEP_TOKENS = 64 * CONTEXT
_TRAINING = (
    "--size", SIZE, "--context", CONTEXT, "--batch-size", STEP_TOKENS // CONTEXT, "--micro-batch", 16,
    "--optimizer", "muon", "--lr", "6e-3", "--schedule", "wsd", "--save-every", 25, "--val-share", 0,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Making:
    """How a model is made from a corpus."""

    tokenizer: tuple[object, ...] = ()
    """Options of ``polygraft tokenizer train`` beside sizes."""
    training: tuple[object, ...]
    """Options of ``polygraft train language`` that say how long, and what differs from the other starter."""
    processes: int = 1
    """That train."""


def train_by_commands(corpus: Path, folder: Path, making: Making, *, seed: int) -> Path:
    """Train a tokenizer and a model on a corpus; return the model's folder. What is done is not done again.

    Args:
        corpus: its folder.
        folder: where tokenizer and model are kept.
        making: how.
        seed: of weights and order.
    """
    tokenizer, run = folder / "tokenizer", folder / "trained"
    if not tokenizer.exists():
        sizes = ("--vocab-size", VOCABULARY, "--context", CONTEXT)
        polygraft("tokenizer", "train", corpus, "--out", tokenizer, *sizes, *making.tokenizer)
    polygraft(
        "train", "language", "--corpus", corpus, "--tokenizer", tokenizer, "--out", run, *_TRAINING, *making.training,
        "--seed", seed, processes=making.processes,
    )  # fmt: skip
    return run


def ship(
    run: Path, out: Path, tests: Mapping[str, Sequence[str]], card: Callable[[Mapping[str, Any]], ModelCard]
) -> None:
    """Write a trained model in half precision, measured as it is then.

    Args:
        run: folder of the trained model.
        out: the folder to write.
        tests: documents that nothing was trained on, by language or source.
        card: makes the model's card of the record that stands beside it.
    """
    import torch

    from backbone.gpt2 import Backbone
    from crosslingual.language_model.bits_per_byte import TextScore, score_text

    backbone = Backbone.from_pretrained(str(run), device="cpu", dtype="float32")
    half = backbone.model.half().float().eval()
    scores = {
        name: score_text(half, backbone.tokenizer, texts, context=backbone.context)
        for name, texts in sorted(tests.items())
    }
    everything = tuple(document for score in scores.values() for document in score.documents)
    scores["all"] = TextScore(documents=everything, context=backbone.context, stride=backbone.context)
    figures = read_json(run / RECORD)["figures"]
    record = {
        "steps": figures["steps"],
        "tokens_seen": figures["steps"] * STEP_TOKENS,
        "minutes": round(figures["seconds"] / 60, 1),
        "parameters": sum(parameter.numel() for parameter in half.parameters()),
        "held_out": {
            name: {
                "documents": len(score.documents),
                "bytes": score.bytes,
                "bits_per_byte": round(score.bits_per_byte, 4),
            }
            for name, score in scores.items()
        },
    }
    with atomic_folder(out) as folder:
        half.to(torch.float16).save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
        write_json(folder / "training.json", record)
        write_card(folder, card(record))


def score_table(record: Mapping[str, Any], column: str) -> str:
    """Return the held-out figures as a table, for a card."""
    lines = [
        f"| {name} | {s['documents']:,} | {s['bytes']:,} | {s['bits_per_byte']:.3f} |"
        for name, s in record["held_out"].items()
    ]
    head = [f"| {column} | documents | bytes | bits per byte |", "| --- | --- | --- | --- |"]
    return "Held-out documents, bits per UTF-8 byte (weights in half precision):\n\n" + "\n".join(head + lines)
