"""The frozen image-text model of the narration benchmark: the starter's, but it has never seen an emoji.

The starter's head has learned from the very emoji that move in the benchmark's videos. A narrator trained on features
that were learned by heart learns nothing of videos that were not, and a benchmark on them tells nothing of real use,
where a general image-text model meets narrations of another kind (VLog: SigLIP and kitchens). So the head is fitted
anew, as the starter's, on stamps, clip art and the image tower's own classes.
"""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from backbone.checkpoint import starter_path
from backbone.clip import ImageEncoder
from backbone.image_towers import CONFIG, WEIGHTS
from backbone.io.files import atomic_folder, write_json
from scripts._app.cli import remark
from starter_build.datasets.captions import normalise
from starter_build.datasets.images import images
from starter_build.datasets.splits import load_splits
from starter_build.starter.image_text import ImageTextMaterial, fit_head
from starter_build.starter.image_text_data import select, teach, tower_features, unseen_classes

_HEAD = "visual.head."
_SIDES = ("train", "validation")


def benchmark_encoder(data: Path, work: Path, *, seed: int = 0) -> Path:
    """Return the folder of the model, made on the first call."""
    out = work / "clip-without-emoji"
    if out.exists():
        return out
    remark("fitting an image-text model that has seen no emoji")
    starter = starter_path("clip")
    untrained = _untrained(starter, work / "untrained")
    head = fit_head(untrained, _material(data, work, untrained), work / f"head-{seed}", seed=seed)
    tensors = load_file(starter / WEIGHTS)
    tensors |= {f"{_HEAD}{name}": tensor.half().contiguous() for name, tensor in head.head.items()}
    tensors["logit_scale"] = head.scale.half()
    with atomic_folder(out) as folder:
        _copy_form(starter, folder)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        write_json(folder / "training.json", {"seed": seed, "seconds": round(head.seconds), "without": "emoji"})
    return out


def _untrained(starter: Path, folder: Path) -> Path:
    if not folder.exists():
        with atomic_folder(folder) as partial:
            _copy_form(starter, partial)
    return folder


def _copy_form(starter: Path, folder: Path) -> None:
    for name in (CONFIG, "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(starter / name, folder)


def _material(data: Path, work: Path, untrained: Path) -> ImageTextMaterial:
    sides = load_splits()
    every = [image for image in images(data) if image.id in sides]
    held_out = {normalise(image.text) for image in every if sides[image.id] != "train"}
    found = [image for image in every if image.set != "emoji" and sides[image.id] in _SIDES]
    rows = {side: [row for row, image in enumerate(found) if sides[image.id] == side] for side in _SIDES}
    targets = teach([image.text for image in found], data, work).float()
    # the text tower was centred on the captions of all training images: as it is, so must the teacher's vectors be
    center = teach([image.text for image in every if sides[image.id] == "train"], data, work).float().mean(0)
    features = tower_features(ImageEncoder.untrained(untrained), [image.image for image in found], work)
    class_weights, class_vectors = unseen_classes(data, work, held_out)
    return ImageTextMaterial(
        splits={side: select(found, own, features, targets - center) for side, own in rows.items()},
        texts=[],
        vectors=torch.zeros(0),
        class_weights=class_weights,
        class_vectors=class_vectors,
    )
