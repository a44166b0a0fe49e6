"""The starter's language models: a GPT-2 on English text, which holds no caption, and one on seventeen languages.

Both are made by the commands that anybody may give, and put into the package.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from backbone.checkpoint import RECORD, ModelCard, write_card
from backbone.io.files import atomic_folder, read_json, write_json
from starter_build.datasets.captions import normalise
from starter_build.datasets.documents import Document, held_out
from starter_build.datasets.images import images
from starter_build.datasets.multilingual_texts import build_material, read_rows
from starter_build.datasets.readers import english_documents
from starter_build.datasets.world import WORLD, world_material
from starter_build.processes import polygraft
from starter_build.starter import Build

VOCABULARY, CONTEXT = 8192, 256
SIZE = "mini"
STEP_TOKENS = 64 * CONTEXT
_TRAINING = (
    "--size", SIZE, "--context", CONTEXT, "--batch-size", STEP_TOKENS // CONTEXT, "--micro-batch", 16,
    "--optimizer", "muon", "--lr", "6e-3", "--schedule", "wsd", "--save-every", 25, "--val-share", 0,
)  # fmt: skip


def _train_by_commands(
    corpus: Path,
    folder: Path,
    training: tuple[object, ...],
    *,
    tokenizer_options: tuple[object, ...] = (),
    processes: int = 1,
    seed: int,
) -> Path:
    # each part is restartable: what is done is not done again
    tokenizer, run = folder / "tokenizer", folder / "trained"
    if not tokenizer.exists():
        sizes = ("--vocab-size", VOCABULARY, "--context", CONTEXT)
        polygraft("tokenizer", "train", corpus, "--out", tokenizer, *sizes, *tokenizer_options)
    polygraft(
        "train", "language", "--corpus", corpus, "--tokenizer", tokenizer, "--out", run, *_TRAINING, *training,
        "--seed", seed, processes=processes,
    )  # fmt: skip
    return run


def _ship(
    run: Path, out: Path, tests: Mapping[str, Sequence[str]], card: Callable[[Mapping[str, Any]], ModelCard]
) -> Path:
    """Write a trained model in half precision, with figures on `tests` (by language or source) measured so."""
    import torch

    from backbone.gpt2 import Backbone
    from crosslingual.language_model.bits_per_byte import TextScore, score_text

    backbone = Backbone.from_pretrained(str(run), device="cpu", dtype="float32")
    half = backbone.model.half().float().eval()
    scores = {
        name: score_text(half, backbone.tokenizer, texts, context=backbone.context)
        for name, texts in sorted(tests.items())
    }
    scores["all"] = TextScore.joined(list(scores.values()))
    figures = read_json(run / RECORD)["figures"]
    record = {
        "steps": figures["steps"],
        "tokens_seen": figures["steps"] * STEP_TOKENS,
        "minutes": round(figures["seconds"] / 60, 1),
        "parameters": sum(parameter.numel() for parameter in half.parameters()),
        "held_out": {
            name: {
                "documents": len(score.nats),
                "bytes": int(score.bytes.sum()),
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
    return out


def _score_table(record: Mapping[str, Any], column: str) -> str:
    lines = [
        f"| {name} | {s['documents']:,} | {s['bytes']:,} | {s['bits_per_byte']:.3f} |"
        for name, s in record["held_out"].items()
    ]
    head = [f"| {column} | documents | bytes | bits per byte |", "| --- | --- | --- | --- |"]
    return "Held-out documents, bits per UTF-8 byte (weights in half precision):\n\n" + "\n".join(head + lines)


def build_language(build: Build, *, steps: int = 560, processes: int = 2) -> Path:
    """Make the starter's language model, in transformers' own format.

    Args:
        build: The folders and the seed.
        steps: The optimizer steps, of 16,384 tokens each.
        processes: The training processes on this machine (a CPU that other work shares prefers one per core).
    """
    work = build.work / "language"
    # the text is clean already, and definitions and fortunes are short
    as_it_is = ("--no-rules", "--tails", 0, "--heldout", 0)
    languages = {"en": partial(_documents, build.data)}
    material = build_material(languages, work, for_test=held_out, options=as_it_is, test_bytes=10**9)
    training = ("--warmup", 0.01, "--decay", 0.4, "--steps", steps)
    trained = _train_by_commands(material.corpus, work, training, processes=processes, seed=build.seed)
    tests: dict[str, list[str]] = {}
    for row in read_rows(material.tests()[0]):
        tests.setdefault(row["source"], []).append(row["text"])
    return _ship(trained, build.out, tests, _english_card)


def _documents(data: Path) -> Iterator[Document]:
    """Yield the documents of which no line is the caption of an image, whatever its split."""
    captions = {normalise(image.text) for image in images(data)}
    for document in english_documents(data):
        if not any(normalise(line) in captions for line in document.text.splitlines()):
            yield document


def _english_card(record: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        title="polygraft starter: a small English GPT-2",
        summary=f"{record['parameters'] / 1e6:.1f}M parameters, context {CONTEXT}, its own byte-level BPE of "
        f"{VOCABULARY:,}; GPT-2 architecture, transformers' own format.",
        data="Austen's novels, three Bibles, Wikibooks recipes, WordNet's glosses, LibreOffice's help, Debian's "
        "package descriptions, fortunes and Endless Sky. About 1 % of the documents was set aside before the tokenizer "
        "was trained. No text it saw has a line that is the caption of a test image.",
        use="Trying polygraft offline. For real work name `gpt2` or a larger model.",
        limits="Trained for about an hour on two cores: phrases, not facts.",
        metrics=_score_table(record, "source"),
        command="python -m starter_build --only language",
        licence="apache-2.0",
    )


def build_multilingual(build: Build, *, minutes: float) -> Path:
    """Make the starter's multilingual model, in transformers' own format, in so many minutes of training."""
    work = build.work / "multilingual"
    material = world_material(build.data, work)
    training = ("--warmup", 0.02, "--decay", 0.35, "--minutes", f"{minutes:g}")
    options = ("--marks", "--balance", 3)
    trained = _train_by_commands(material.corpus, work, training, tokenizer_options=options, seed=build.seed)
    tests = {path.stem: [row["text"] for row in read_rows(path)] for path in material.tests()}
    return _ship(trained, build.out, tests, _multilingual_card)


def _multilingual_card(record: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        title="polygraft starter: a small multilingual GPT-2",
        summary=f"{record['parameters'] / 1e6:.1f}M parameters, context {CONTEXT}, its own byte-level BPE of "
        f"{VOCABULARY:,} that keeps vowel signs with their letters; GPT-2 architecture, transformers' own format. Load "
        "it as `starter-multilingual`.",
        data=f"{len(WORLD)} languages ({', '.join(WORLD)}): Bibles in the public domain, LibreOffice's help (MPL-2.0), "
        "the Quran's translations of quran-json (CC-BY-4.0), Dasher's essays (GPL-2+), cleaned by `polygraft corpus "
        "build` and mixed by UniMax. About 3 % of the documents was set aside before the tokenizer was trained.",
        use="Trying `generate`, `evaluate language`, `transfer` and `train language --from` in other languages, "
        "offline. Captioners and narrators of the English starter do not fit it.",
        limits=f"Trained for {record['minutes']:.0f} minutes on two cores: phrases of Bibles and help pages, not "
        "facts. Swahili and Hindi had 0.3 MB of text each.",
        metrics=_score_table(record, "language"),
        command="python -m starter_build --only multilingual",
        licence="apache-2.0",
    )
