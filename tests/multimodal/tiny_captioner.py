"""A tiny captioner, posts for it to learn from, and the same as folders, all made in about a second."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from backbone.clip import ImageEncoder
from backbone.feature_cache import FeatureCache
from backbone.gpt2 import Backbone
from multimodal.batches import CaptionSet, gather
from multimodal.captioner import Captioner, CaptionerConfig
from multimodal.data.posts import Post
from tests.backbone.tiny import tiny_model, tiny_tokenizer
from tests.backbone.tiny_clip import TEXT, VIT, WIDTH, tiny_clip, tiny_image_encoder

ANIMALS = ("cat", "dog", "bird", "child", "balloon", "sea", "roof", "beach")
COLORS = ("red", "blue", "grey", "small")
TEXTS = tuple(f"a {color} {animal}!" for animal in ANIMALS for color in COLORS)


@cache
def reading_backbone(texts: tuple[str, ...] = TEXTS) -> Backbone:
    """Return a tiny language model that knows ``texts`` and says the one that a prefix names.

    Only so can a mapper learn them in a few steps; the prefixes that it was taught with are thrown away.
    """
    model, tokenizer = tiny_model(), tiny_tokenizer()
    backbone = Backbone.from_parts(model, tokenizer, name="tiny")
    tokens = backbone.encode(texts, max_tokens=16)
    model.requires_grad_(True)
    prefixes = torch.randn(len(texts), 3, backbone.width, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.AdamW([*model.parameters(), prefixes], lr=1e-2)
    for _ in range(60):
        loss, weight = backbone.loss(0.3 * prefixes, tokens.ids, tokens.mask)
        (loss / weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    return Backbone.from_parts(model, tokenizer, name="tiny")


def tiny_config(**changes: Any) -> CaptionerConfig:
    return CaptionerConfig(
        **({"prefix_length": 3, "clip_length": 2, "layers": 1, "heads": 2, "max_tokens": 16} | changes)
    )


def tiny_captioner(**changes: Any) -> Captioner:
    return Captioner.build(tiny_image_encoder(), reading_backbone(), tiny_config(**changes))


def paint(seed: int) -> Image.Image:
    """Return an image of coarse coloured blocks, unlike that of any other seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((32, 32), Image.Resampling.NEAREST)


def write_posts(folder: Path, count: int = 32) -> Path:
    """Write a JSONL file of ``count`` posts by four users, and their images beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        paint(number).save(folder / f"{number:02}.png")
        text = TEXTS[number % len(TEXTS)]
        lines.append(json.dumps({"image": f"{number:02}.png", "text": text, "user": f"u{number % 4}"}))
    file = folder / "posts.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def tiny_set(folder: Path, captioner: Captioner, count: int = 32) -> CaptionSet:
    """Return ``count`` images with a caption each, encoded by the captioner's own encoder."""
    write_posts(folder, count)
    posts = [Post(image=folder / f"{i:02}.png", text=TEXTS[i % len(TEXTS)]) for i in range(count)]
    return gather(posts, FeatureCache(folder / "cache", captioner.encoder), report=print)


def write_starter(root: Path) -> Path:
    """Write a language model, an image encoder and an untrained captioner where the starter's are looked for."""
    reading_backbone().save_pretrained(root / "gpt2")
    config = {"model_cfg": {"embed_dim": WIDTH, "vision_cfg": VIT, "text_cfg": TEXT}, "preprocess_cfg": {}}
    (root / "clip").mkdir()
    (root / "clip" / "open_clip_config.json").write_text(json.dumps(config))
    save_file(tiny_clip().state_dict(), root / "clip" / "open_clip_model.safetensors")
    return root


def write_captioner(root: Path, **changes: Any) -> Path:
    """Write an untrained captioner beside the two, in whose ``POLYGRAFT_STARTER`` this must run."""
    encoder, backbone = ImageEncoder.from_pretrained(device="cpu"), Backbone.from_pretrained(device="cpu")
    Captioner.build(encoder, backbone, tiny_config(**changes)).save_pretrained(root / "captioner")
    return root / "captioner"
