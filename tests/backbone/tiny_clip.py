"""A real open_clip model so small that an image takes about a millisecond."""

import open_clip
import torch
from torch import nn

from backbone.clip import ImageEncoder

VIT = {"layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 16}
RESNET = {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 64}
TIMM = {"timm_model_name": "test_efficientnet", "timm_proj": "linear", "image_size": 64}
TEXT = {"context_length": 16, "width": 32, "heads": 2, "layers": 1}
WIDTH = 24


def tiny_clip(vision: dict[str, object] = VIT, *, seed: int = 0) -> nn.Module:
    """Build the model; the global random state is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(WIDTH, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**TEXT))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
    return model


def tiny_image_encoder(vision: dict[str, object] = VIT, *, seed: int = 0) -> ImageEncoder:
    """Return an encoder with pooled width 24; by default a vision transformer with 5 grid tokens of width 32."""
    preprocess = open_clip.image_transform(vision["image_size"], is_train=False)
    tokenizer = open_clip.SimpleTokenizer(context_length=TEXT["context_length"])
    return ImageEncoder(tiny_clip(vision, seed=seed), preprocess, lambda: tokenizer, f"tiny-{seed}")
