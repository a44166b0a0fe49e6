"""The starter's language model: a small GPT-2 on open English text, which holds no caption.

The run itself is `python -m scripts.starter.language WORK OUT`, so that ``torchrun`` can start it on several
processes; each step leaves a file in the work folder and is skipped when it is there.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbone.card import ModelCard, write_card
from backbone.errors import PolygraftError
from backbone.files import atomic_folder, write_json
from scripts._cli import remark
from scripts.opendata.captions import normalise
from scripts.opendata.pictures import pictures
from scripts.opendata.text import Document, english_documents, held_out

VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS = 8192, 256, 256, 4, 4


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """How the language model is trained."""

    steps: int = 560
    """Optimiser steps, of 16,384 tokens each."""
    processes: int = 2
    """Training processes on this machine (a CPU that other work shares prefers one per core)."""
    seed: int = 0
    """Seed of weights and sample order."""


def build_language(data: Path, work: Path, out: Path, run: LanguageRun) -> Path:
    """Make the starter's language model in ``out``, a folder in transformers' own format.

    Args:
        data: where fetched packages are kept.
        work: where intermediate files and the resume folder are kept; a second call goes on where the first stopped.
        out: the model folder to write.
        run: how to train.
    """
    work.mkdir(parents=True, exist_ok=True)
    _write_documents(data, work)
    _prepare_tokens(work)
    command = [sys.executable, "-m", "scripts.starter.language", str(work), str(out), str(run.steps), str(run.seed)]
    if run.processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={run.processes}"]
        command[1:1] = launcher
    ended = subprocess.run(command, check=False, env={"OMP_NUM_THREADS": "1", **os.environ})
    if ended.returncode:
        raise PolygraftError(f"training the language model ended with code {ended.returncode}; run again to continue")
    return out


def _write_documents(data: Path, work: Path) -> None:
    """Write train.jsonl and heldout.jsonl."""
    if (work / "train.jsonl").exists():
        return
    parts = {name: (work / f"{name}.partial").open("w", encoding="utf-8") for name in ("train", "heldout")}
    for document in _documents(data):
        name = "heldout" if held_out(document) else "train"
        parts[name].write(json.dumps({"source": document.source, "text": document.text}, ensure_ascii=False) + "\n")
    for name, stream in sorted(parts.items()):  # "train" last: its name says that both are complete
        stream.close()
        (work / f"{name}.partial").rename(work / f"{name}.jsonl")


def _documents(data: Path) -> Iterator[Document]:
    """Yield the documents of which no line is the caption of a picture, whatever its split."""
    captions = {normalise(picture.text) for picture in pictures(data)}
    for document in english_documents(data):
        if not any(normalise(line) in captions for line in document.text.splitlines()):
            yield document


def _prepare_tokens(work: Path) -> None:
    """Train the tokenizer and pack the training text."""
    from crosslingual.language_model import pack
    from crosslingual.tokenizers import load_tokenizer, train_byte_bpe

    if not (work / "tokenizer").exists():
        remark("training the tokenizer")
        with atomic_folder(work / "tokenizer") as folder:
            train_byte_bpe(_texts(work / "train.jsonl"), VOCABULARY, context=CONTEXT).save_pretrained(folder)
    if not (work / "tokens.npy").exists():
        remark("packing the text")
        pack(_texts(work / "train.jsonl"), load_tokenizer(work / "tokenizer"), work / "tokens.npy")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _texts(path: Path) -> Iterable[str]:
    return (row["text"] for row in _rows(path))


def train(work: Path, out: Path, steps: int, seed: int) -> None:
    """Train on the prepared tokens and save the model; runs on every process."""
    import torch

    from backbone.device import pick_device, seed_everything
    from backbone.distributed import join_world
    from backbone.training import TrainConfig, fit
    from crosslingual.language_model import LanguageObjective, PackedTokens
    from crosslingual.tokenizers import blank_gpt2, load_tokenizer

    began = time.time()
    world = join_world(pick_device())
    tokenizer = load_tokenizer(work / "tokenizer")
    seed_everything(seed)
    model: Any = blank_gpt2(tokenizer, context=CONTEXT, width=WIDTH, layers=LAYERS, heads=HEADS)
    model.to(world.device)
    rows = PackedTokens.open(work / "tokens.npy", CONTEXT)
    config = TrainConfig(
        steps=steps, batch_size=64, micro_batch=16, optimizer="muon", lr=6e-3, schedule="wsd", warmup=0.01,
        decay=0.4, save_every=50, seed=seed,
    )  # fmt: skip
    result = fit(LanguageObjective(model), rows, config, folder=work / "run")
    if world.first:
        record = {
            "steps": result.steps,
            "tokens_seen": result.steps * config.batch_size * CONTEXT,
            "tokens_of_text": len(rows) * CONTEXT,
            "minutes": round(result.seconds / 60, 1),
            "processes": world.size,
            "seed": seed,
            "last_loss": result.losses[-1] if result.losses else None,
            "saved_after_seconds": round(time.time() - began),
        }
        _save(model.to(torch.float32), tokenizer, work, out, record)


def _save(model: Any, tokenizer: Any, work: Path, out: Path, record: dict[str, Any]) -> None:
    """Measure the model as it is shipped, in half precision, and write its folder."""
    import torch

    from crosslingual.scoring import score_text

    half = model.half().float().eval()  # what the half-precision file will hold
    scores = {}
    texts: dict[str, list[str]] = {}
    for row in _rows(work / "heldout.jsonl"):
        texts.setdefault(row["source"], []).append(row["text"])
    for source, documents in [*sorted(texts.items()), ("all", [d for part in texts.values() for d in part])]:
        score = score_text(half, tokenizer, documents, context=CONTEXT)
        scores[source] = {
            "documents": len(score.documents),
            "bytes": score.bytes,
            "bits_per_byte": round(score.bits_per_byte, 4),
        }
    parameters = sum(p.numel() for p in model.parameters())
    record |= {"parameters": parameters, "held_out": scores}
    with atomic_folder(out) as folder:
        half.to(torch.float16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(folder / "training.json", record)
        write_card(folder, _card(record))


def _card(record: dict[str, Any]) -> ModelCard:
    lines = [f"| {source} | {s['documents']:,} | {s['bytes']:,} | {s['bits_per_byte']:.3f} |" for source, s in record["held_out"].items()]  # fmt: skip  # noqa: E501
    return ModelCard(
        title="polygraft starter: a small English GPT-2",
        summary=f"{record['parameters'] / 1e6:.1f}M parameters: {LAYERS} layers of width {WIDTH}, context {CONTEXT}, "
        f"its own byte-level BPE of {VOCABULARY:,}; GPT-2 architecture, transformers' own format.",
        data="Austen's novels, three Bibles, Wikibooks recipes, WordNet's glosses, LibreOffice's help, Debian's "
        "package descriptions, fortunes and Endless Sky. About 1 % of the documents was set aside before the tokenizer "
        "was trained. No text it saw has a line that is the caption of a test picture.",
        use="Trying polygraft offline. For real work name `gpt2` or a larger model.",
        limits="Trained for about an hour on two cores: phrases, not facts.",
        metrics="Held-out documents, bits per UTF-8 byte (weights in half precision):\n\n"
        "| source | documents | bytes | bits per byte |\n| --- | --- | --- | --- |\n" + "\n".join(lines),
        command="polygraft build starter --only language",
        licence="apache-2.0",
    )


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
