"""The starter's narrator, and the vocabulary that it narrates from."""

import json
from dataclasses import replace
from pathlib import Path

from scripts._app.cli import remark
from starter_build.starter import Build

STARTER = "starter"
_EVERYDAY = Path(__file__).resolve().parents[2] / "examples" / "narrations" / "everyday.jsonl"
_STEPS, _LR = 200, 1e-3


def build_narrator(build: Build) -> Path:
    """Train a narrator on moving emoji and stills, as the benchmark's are, with the starter's own image-text model."""
    from backbone.clip import ImageEncoder
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone
    from backbone.training.config import TrainConfig
    from starter_build.datasets.emoji_clips import emoji_clips, encode, part
    from starter_build.datasets.splits import load_splits
    from starter_build.datasets.voices import spoken
    from video.config import NarratorConfig
    from video.data.feature_cache import VideoCache
    from video.narrator import Narrator
    from video.training.train import describe, train_narrator

    encoder, backbone = ImageEncoder.from_pretrained(STARTER), Backbone.from_pretrained(STARTER)
    parted = part(emoji_clips(build.data), spoken(build.data), load_splits())
    videos, seed = encode(*parted, VideoCache(build.work / "features", encoder)), build.seed
    remark(f"training the narrator, seed {seed}")
    seed_everything(seed)
    fresh = Narrator.build(encoder, backbone, NarratorConfig())
    config = TrainConfig(
        steps=_STEPS, batch_size=32, lr=_LR, weight_decay=0.05, ema=0.95, eval_every=_STEPS // 8, seed=seed
    )
    trained = train_narrator(
        fresh,
        videos.lessons["first names, stills"],
        config,
        # of concepts that the image-text model has never seen either: what it knows by heart says nothing
        validation=videos.parts["validation fresh"].data,
        folder=build.work / f"narrator-{seed}",
    )
    card = describe(trained, title="polygraft starter: a narrator", source="moving emoji and stills")
    card = replace(card, command="python -m starter_build --only narrator")
    trained.narrator.projection.half()
    return trained.narrator.save_pretrained(build.out, card=card, record={"seed": seed})


def build_vocabulary(build: Build) -> Path:
    """Build the vocabulary: what everyday videos show, and the names of emoji by the groups of Unicode's charts."""
    from backbone.clip import ImageEncoder
    from starter_build.datasets.voices import spoken
    from video.vocabulary.narrations import NarrationRow, collect
    from video.vocabulary.vectors import TextEncoder
    from video.vocabulary.vocabulary import NarrationVocabulary

    lines = map(json.loads, _EVERYDAY.read_text(encoding="utf-8").splitlines())
    rows = [NarrationRow(line["text"], scenario=line["scenario"]) for line in lines]
    rows += [
        NarrationRow(emoji.texts["cldr-name"], scenario=" / ".join(emoji.texts.get("charts", "").split(" / ")[:2]))
        for emoji in spoken(build.data)
        if "cldr-name" in emoji.texts
    ]
    texts = TextEncoder.of(ImageEncoder.from_pretrained(STARTER))
    return NarrationVocabulary.build(collect(rows), encoder=texts).save_pretrained(build.out)
