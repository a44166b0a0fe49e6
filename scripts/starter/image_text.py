"""The starter's image-text model: EfficientNet-Lite0 as it is, a head and a small text tower trained on top.

1. The frozen tower encodes every picture once; a sentence encoder from a package (the teacher) encodes the texts.
2. The head learns to put pictures where the teacher puts their captions, against all other captions.
3. The text tower learns to put texts where the teacher puts them, from dictionary entries and training captions, so
   that nobody who uses the model needs the teacher.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from backbone.clip import ImageEncoder
from backbone.clip_tower import CONFIG, WEIGHTS, is_trained
from backbone.files import atomic_folder, write_json
from scripts.opendata.captions import normalise
from scripts.opendata.packages import fetch
from scripts.opendata.pictures import WORDNET, pictures
from scripts.starter.image_text_card import render_card
from scripts.starter.image_text_data import (
    TEACHER_WIDTH,
    Captioned,
    load_teacher,
    select,
    teach,
    tower_features,
)
from scripts.starter.image_text_fit import (
    CaptionBank,
    HeadObjective,
    Rows,
    TextObjective,
    start_from_teacher,
    train_head,
    train_text,
)
from scripts.starter.image_text_score import apply_ridge, retrieval, retrieval_by_set, ridge
from scripts.starter.image_text_words import END_ID, dictionary_texts, train_tokenizer
from scripts.starter.splits import load_splits

TOWER = "efficientnet-lite0"
VOCABULARY, CONTEXT = 10_000, 24
SEEDS = 3
_CAPTION_REPEATS = 5
_RIDGES = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that is learnt from."""

    splits: dict[str, Captioned]
    texts: list[str]
    """What the text tower reads: dictionary entries, then the training captions, repeated."""
    vectors: Tensor
    """(N, d) half precision, the teacher's vector of each of ``texts``, centred."""


def build_image_text(data: Path, work: Path, out: Path, *, seed: int = 0, text_steps: int = 500) -> Path:
    """Make the starter's image-text model in ``out``.

    Args:
        data: where fetched packages are kept.
        work: where features, vectors and unfinished runs are kept; a second call goes on where the first stopped.
        out: the folder to write.
        seed: of the model that ships; the figures are for this one and the two that follow.
        text_steps: how long the text tower is trained.
    """
    blank = work / "blank"
    material = _gather(data, work, blank)
    encoder = ImageEncoder.untrained(blank, seed=seed)
    text_run = _fit_text(encoder, material, work / "text", seed=seed, steps=text_steps)
    heads = [_fit_head(blank, material, work / f"head-{s}", seed=s) for s in range(seed, seed + SEEDS)]
    encoder.model.visual.head.load_state_dict(heads[0].head)
    encoder.model.logit_scale.data.copy_(heads[0].scale)
    record = {"seed": seed, "text": text_run, "head_seconds": [round(head.seconds) for head in heads]}
    record |= {"counts": _counts(material), "scores": _scores(encoder, heads, material)}
    _save(encoder, blank, out, record)
    return out


# 1. What is learnt from


def _gather(data: Path, work: Path, blank: Path) -> Material:
    """Encode pictures and texts with the frozen models, and make the folder of the untrained model."""
    sides = load_splits()
    found = [picture for picture in pictures(data) if picture.id in sides]
    rows = {side: [i for i, p in enumerate(found) if sides[p.id] == side] for side in ("train", "validation", "test")}
    held_out = {normalise(found[row].text) for side in ("validation", "test") for row in rows[side]}
    dictionary = dictionary_texts(fetch(WORDNET, data), held_out)
    captions = sorted({found[row].text for row in rows["train"]})
    if not blank.exists():
        with atomic_folder(blank) as folder:
            train_tokenizer(dictionary + captions, VOCABULARY, folder, context=CONTEXT)
            write_json(folder / CONFIG, model_config())
    learnt = teach(lambda: load_teacher(data, work), dictionary + captions, work)
    told = teach(lambda: load_teacher(data, work), [picture.text for picture in found], work).float()
    center = told[rows["train"]].mean(0)
    features = tower_features(ImageEncoder.untrained(blank), [picture.image for picture in found], work)
    repeats = torch.tensor([1] * len(dictionary) + [_CAPTION_REPEATS] * len(captions))
    numbers = torch.arange(len(learnt)).repeat_interleave(repeats)
    texts = dictionary + captions
    return Material(
        splits={side: select(found, own, features, told - center) for side, own in rows.items()},
        texts=[texts[number] for number in numbers],
        vectors=(learnt.float() - center).half()[numbers],
    )


def model_config() -> dict[str, Any]:
    """Return the open_clip config: the tower letterboxed on white, as its makers scaled pixels: (x - 127) / 128."""
    vision = {"timm_model_name": "tf_efficientnet_lite0", "timm_pool": "avg", "timm_proj": "mlp", "image_size": 224}
    text = {
        "context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 256, "heads": 4, "layers": 2,
        "pool_type": "eos", "eos_id": END_ID, "pad_id": 0, "hf_tokenizer_name": "tokenizer.json",
    }  # fmt: skip
    model = {"embed_dim": TEACHER_WIDTH, "vision_cfg": vision | {"timm_proj_bias": True}, "text_cfg": text}
    pixels = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3, "resize_mode": "longest", "fill_color": 255}
    return {"model_cfg": model | {"custom_text": True}, "preprocess_cfg": pixels, "tower": TOWER}


# 2. The head


@dataclass(frozen=True, kw_only=True)
class TrainedHead:
    """The head of one seed."""

    head: dict[str, Tensor]
    scale: Tensor
    seconds: float


def _fit_head(blank: Path, material: Material, work: Path, *, seed: int) -> TrainedHead:
    train, validation = material.splits["train"], material.splits["validation"]
    model = ImageEncoder.untrained(blank, seed=seed).model
    # distinct texts stand in the bank once; those that are equal once normalised are right answers for one another
    texts = {text: row for row, text in reversed(list(enumerate(train.texts)))}
    numbers = {text: number for number, text in enumerate(texts)}
    keys = {caption: number for number, caption in enumerate(dict.fromkeys(train.captions))}
    key = torch.tensor([keys[train.captions[row]] for row in texts.values()])
    bank = CaptionBank(vectors=train.vectors[list(texts.values())], same=key[:, None] == key[None, :])
    objective = HeadObjective(model.visual.head, model.logit_scale, bank, train.features)
    rows = Rows(train.features, torch.tensor([numbers[text] for text in train.texts]))

    def score() -> float:
        with torch.no_grad():
            placed = objective.embed(validation.features)
        return retrieval(placed, F.normalize(validation.vectors, dim=-1), validation.captions)["mrr"]

    result = train_head(objective, rows, score, work, seed=seed)
    objective.fold()
    halves = {name: tensor.detach().half().float() for name, tensor in model.visual.head.state_dict().items()}
    return TrainedHead(head=halves, scale=model.logit_scale.detach().half().float(), seconds=result.seconds)


# 3. The text tower


def _fit_text(encoder: ImageEncoder, material: Material, work: Path, *, seed: int, steps: int) -> dict[str, Any]:
    """Train the text tower in place; return what to record."""
    tower = encoder.model.text
    ids = encoder.tokenize(material.texts)
    start_from_teacher(tower, ids, material.vectors)
    result = train_text(TextObjective(tower, END_ID), Rows(ids, material.vectors), work, seed=seed, steps=steps)
    tower.requires_grad_(False)
    tower.load_state_dict({name: tensor.half().float() for name, tensor in tower.state_dict().items()})
    last = sum(result.losses[-50:]) / max(1, len(result.losses[-50:]))
    return {"texts": len(material.texts), "steps": result.steps, "seconds": round(result.seconds), "loss": last}


# What came of it


def _counts(material: Material) -> dict[str, dict[str, int]]:
    return {
        side: {"pictures": len(group.texts), "captions": len(set(group.captions))}
        for side, group in material.splits.items()
    }


def _scores(encoder: ImageEncoder, heads: list[TrainedHead], material: Material) -> dict[str, Any]:
    """Score the test pictures: the shipped text tower, the teacher in its place, and the ridge to the teacher."""
    test = material.splits["test"]
    texts = {"shipped": encoder.encode_text(test.texts), "teacher": F.normalize(test.vectors, dim=-1)}
    table: dict[str, Any] = {name: [] for name in texts}
    for head in heads:
        encoder.model.visual.head.load_state_dict(head.head)
        with torch.no_grad():
            placed = F.normalize(encoder.model.visual.head(test.features), dim=-1)
        for name, rows in texts.items():
            table[name].append(retrieval_by_set(placed, rows, test.captions, test.sets))
    encoder.model.visual.head.load_state_dict(heads[0].head)
    return table | {"ridge": _ridge_scores(material)}


def _ridge_scores(material: Material) -> dict[str, Any]:
    """Score ridges from the same features to the teacher, trained on all sets and on the stamps alone."""
    train, validation, test = (material.splits[side] for side in ("train", "validation", "test"))
    result: dict[str, Any] = {}
    for name, sets in (("all sets", set(train.sets)), ("stamps only", {"stamps"})):
        rows = [row for row, own in enumerate(train.sets) if own in sets]
        fitted = [
            ridge(F.normalize(train.features[rows], dim=-1), train.vectors[rows], strength) for strength in _RIDGES
        ]
        best = max(fitted, key=lambda one: _ridge_retrieval(one, validation)["all"]["mrr"])
        result[name] = _ridge_retrieval(best, test)
    return result


def _ridge_retrieval(fitted: tuple[Tensor, Tensor], group: Captioned) -> dict[str, dict[str, float]]:
    placed = apply_ridge(F.normalize(group.features, dim=-1), fitted)
    return retrieval_by_set(placed, F.normalize(group.vectors, dim=-1), group.captions, group.sets)


def _save(encoder: ImageEncoder, blank: Path, out: Path, record: dict[str, Any]) -> None:
    """Write the folder: config and tokenizer, the trained tensors in half precision, card and record."""
    state = encoder.model.state_dict()
    trained = {name: tensor.half().contiguous() for name, tensor in state.items() if is_trained(name, TOWER)}
    record |= {"parameters": sum(tensor.numel() for tensor in trained.values()), "digest": encoder.digest}
    with atomic_folder(out) as folder:
        for name in (CONFIG, "tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((blank / name).read_bytes())
        save_file(trained, folder / WEIGHTS, metadata={"format": "pt"})
        write_json(folder / "training.json", record)
        (folder / "README.md").write_text(render_card(record, TOWER), encoding="utf-8")
