"""polygraft info backbone/starter_models/captioner

Show what a folder holds and what it was made from.

Recognises checkpoints of trained parts, language models in transformers' format, among them those that transfer has
made, open_clip models, narration vocabularies and training runs.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from backbone.checkpoint import CARD, CONFIG, RECORD, read_header
from backbone.errors import PolygraftError
from backbone.io.files import read_json
from backbone.training.logger import read_log
from scripts._app.cli import Json, emit, run_file
from scripts._app.run_folder import TRANSFER

Facts = dict[str, Any]

VOCABULARY = "vocabulary.json"  # as backbone.hf.stored_models writes it, which imports torch


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which folder."""

    folder: tyro.conf.Positional[Path]
    """The folder."""
    json: Json = False


def main(options: Options) -> int:
    """Print one line for each fact."""
    facts = {"folder": str(options.folder), **_facts(options.folder)}
    if options.json:
        emit(json.dumps(facts, ensure_ascii=False))
        return 0
    for name, value in _flat(facts):
        emit(f"{name:24} {value}")
    return 0


def _facts(folder: Path) -> Facts:
    if not folder.is_dir():
        raise PolygraftError(f"there is no folder {folder}: give one that a polygraft command has written")
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    # what names itself comes first: a run or a vocabulary may lie beside files of other libraries
    if config.get("kind") == "narration vocabulary":
        return _vocabulary(folder)
    if "format" in config:
        return _checkpoint(folder)
    if "model_type" in config:
        kind = f"language model ({config['model_type']})"
        return {"kind": kind, **_model(folder), **_transfer(folder), "config": _sizes(config)}
    if (folder / VOCABULARY).is_file():
        record = read_json(folder / VOCABULARY)
        base = f"{record.get('base')} (SHA-256 {str(record.get('base_sha256'))[:12]})"
        return {"kind": "vocabulary of a language model", **_model(folder), "needs": {"body": base}}
    if (folder / "open_clip_config.json").is_file():
        sizes = _sizes(read_json(folder / "open_clip_config.json").get("model_cfg", {}))
        return {"kind": "image-text model (open_clip)", **_model(folder), "config": sizes}
    if (folder / "resume").is_dir() or (folder / "log.jsonl").is_file():
        return _training_run(folder)
    raise PolygraftError(
        f"{folder} holds no checkpoint, language model, open_clip model, vocabulary or training run: "
        f"none of {CONFIG}, open_clip_config.json, log.jsonl and resume/ is there"
    )


def _checkpoint(folder: Path) -> Facts:
    header = read_header(folder)
    frozen = {role: f"{part.name} (SHA-256 {part.sha256[:12]})" for role, part in header.frozen.items()}
    return {
        "kind": header.kind,
        "format": header.format,
        **_model(folder),
        "needs": frozen,
        "config": header.config,
    }


def _transfer(folder: Path) -> Facts:
    path = folder / TRANSFER
    if not path.is_file():
        return {}
    record = read_json(path)
    try:
        source, settings, report = record["source"], record["settings"], record["report"]
        return {
            "transferred": {
                "from": f"{source['model']} (SHA-256 {source['sha256'][:12]})",
                "method": settings["init"],
                "tokens": f"{report['source_tokens']} -> {report['target_tokens']}",
                "rows": report["origins"],
                "body": f"SHA-256 {record['body_sha256'][:12]}",
            },
            "made_with": record.get("made_with", {}),
        }
    except (KeyError, TypeError) as error:
        raise PolygraftError(f"{path} is damaged: it has no {error}") from error


def _vocabulary(folder: Path) -> Facts:
    from video.vocabulary.vocabulary import NarrationVocabulary  # imports torch

    vocabulary = NarrationVocabulary.from_pretrained(folder)
    made_by = vocabulary.text_encoder
    return {
        "kind": "narration vocabulary",
        **vocabulary.counts,
        "coding": asdict(vocabulary.coding),
        "text_encoder": f"{made_by.name} (SHA-256 {made_by.sha256[:12]})" if made_by else "none",
        "width": vocabulary.width,
        "updates": len(vocabulary.updates),
    }


def _model(folder: Path) -> Facts:
    made_with = read_json(folder / RECORD).get("made_with", {}) if (folder / RECORD).is_file() else {}
    return {**_card(folder / CARD), "weights": _weights(folder), "made_with": made_with}


def _card(path: Path) -> Facts:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = {"title": "# ", "licence": "license: "}
    found = {name: [line.removeprefix(s) for line in lines if line.startswith(s)] for name, s in starts.items()}
    return {name: values[0].strip('"') for name, values in found.items() if values}


def _weights(folder: Path) -> Facts:
    """Count the parameters from the headers of the safetensors files, without reading the tensors."""
    from safetensors import SafetensorError, safe_open

    count, dtypes, size = 0, set(), 0
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy") as file:
                rows = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118  (no mapping)
        except SafetensorError as error:
            raise PolygraftError(f"{path} is truncated or damaged ({error}): copy or train it again") from error
        count += sum(math.prod(row.get_shape()) for row in rows)
        dtypes |= {row.get_dtype() for row in rows}
        size += path.stat().st_size
    return {"parameters": count, "types": ", ".join(sorted(dtypes)), "megabytes": round(size / 1e6, 1)}


def _sizes(config: Facts) -> Facts:
    return {name: value for name, value in config.items() if type(value) in (int, float)}  # no names, no switches


def _training_run(folder: Path) -> Facts:
    saved = sorted((folder / "resume").glob("step-*"))
    reports = read_log(folder / "log.jsonl")
    return {
        "kind": "training run",
        "saved": saved[-1].name if saved else "nothing yet",
        "last_report": reports[-1] if reports else "none yet",
    }


def _flat(facts: Facts, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


if __name__ == "__main__":
    run_file(__file__)
