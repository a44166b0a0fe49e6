"""The starter's captioner: a mapper trained on emoji, stamps and clip art, and what it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts._app.cli import remark

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from multimodal.batches import CaptionSet
    from multimodal.training.train import TrainedCaptioner

STARTER = "starter"
SPLITS = ("train", "validation", "test")
EPOCHS = 8


@dataclass(frozen=True, kw_only=True)
class CaptionData:
    """The images of one split, their features and captions, and the set (emoji, stamps, clipart) of each."""

    captions: "CaptionSet"
    sets: tuple[str, ...]


def caption_data(data: Path, work: Path, encoder: "ImageEncoder") -> dict[str, CaptionData]:
    """Return the images of the three splits, encoded.

    Args:
        data: where fetched packages are kept.
        work: where features are cached.
        encoder: the image encoder.
    """
    from backbone.feature_cache import FeatureCache
    from multimodal.batches import gather
    from multimodal.data.posts import Post
    from starter_build.datasets.images import images
    from starter_build.datasets.splits import load_splits

    splits = load_splits()
    cache = FeatureCache(work / "features", encoder)
    found = [image for image in images(data) if image.id in splits]
    names = {image.image: image.set for image in found}
    result = {}
    for split in SPLITS:
        posts = [Post(image=p.image, text=p.text, user=p.user, id=p.id) for p in found if splits[p.id] == split]
        captions = gather(posts, cache, report=remark)
        result[split] = CaptionData(captions=captions, sets=tuple(names[path] for path in captions.features.paths))
    return result


def starter_run(
    data: dict[str, CaptionData], work: Path, *, mapper: str, seed: int, device: str = "auto"
) -> "TrainedCaptioner":
    """Train one captioner on the training images; the validation images choose the weights that are kept.

    The run is kept in ``work``: called again, it goes on, or is read if it is finished.
    """
    from backbone.clip import ImageEncoder
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone
    from backbone.training.config import TrainConfig
    from multimodal.captioner import Captioner
    from multimodal.config import CaptionerConfig
    from multimodal.training.train import train_captioner

    encoder = ImageEncoder.from_pretrained(STARTER, device=device)
    backbone = Backbone.from_pretrained(STARTER, device=device)
    seed_everything(seed)
    fresh = Captioner.build(encoder, backbone, CaptionerConfig(mapper=mapper))  # type: ignore[arg-type]
    config = TrainConfig(
        epochs=EPOCHS, batch_size=64, lr=1e-3, weight_decay=0.05, ema=0.99, eval_every=50, patience=5, seed=seed
    )
    validation = data["validation"].captions
    training = data["train"].captions.without(validation)
    folder = work / f"captioner-{mapper}-{seed}"
    return train_captioner(fresh, training, config, validation=validation, folder=folder)


def build_captioner(
    data: Path, work: Path, out: Path, *, mapper: str = "mlp", seeds: Sequence[int] = (0, 1, 2)
) -> Path:
    """Train with each seed and keep the captioner that does best on the validation images.

    Args:
        data: where fetched packages are kept.
        work: where features and unfinished runs are kept.
        out: the checkpoint folder to write.
        mapper: ``mlp`` or ``transformer``.
        seeds: of weights and sample order.
    """
    from backbone.clip import ImageEncoder
    from multimodal.training.train import describe

    sets = caption_data(data, work, ImageEncoder.from_pretrained(STARTER))
    runs = []
    for seed in seeds:
        remark(f"training the captioner, seed {seed}")
        runs.append(starter_run(sets, work, mapper=mapper, seed=seed))
    best = max(runs, key=lambda run: run.result.metrics["score"])
    card = describe(best, title="polygraft starter: a captioner", source="emoji, stamps and clip art")
    card = replace(card, command="python -m starter_build --only captioner")
    best.captioner.mapper.half()
    record = {"seeds": list(seeds), "validation_scores": [run.result.metrics["score"] for run in runs]}
    return best.captioner.save_pretrained(out, card=card, record=record)
