"""ImageEncoder: a frozen image tower of open_clip. Images in, feature rows out.

Shapes: B images, dv the width of the space that images and texts share, n grid tokens of width dg.
"""

import difflib
import hashlib
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageOps
from torch import Tensor, nn

from backbone.checkpoint import starter_path
from backbone.device import pick_device, pick_dtype
from backbone.errors import PolygraftError
from backbone.image_towers import (
    CONFIG,
    describe_preprocessing,
    pooled_and_grid,
    read_trained,
    tower_name,
    tower_tensors,
)

Preprocess = Callable[[Image.Image], Tensor]
Tokenizer = Callable[[list[str]], Tensor]
MakeTokenizer = Callable[[], Tokenizer | None]

_MAX_ASPECT = 32  # preprocessing resizes by the short side, so memory grows with the ratio
# words, digits, an apostrophe and punctuation, which tokenizers cut in different ways
_SENTENCE = "Someone opens the door, puts 2 potatoes down, and isn't seen again!"
_NOT_OF_TEXTS = ("visual", "logit_scale", "logit_bias")


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the tower says of images, on the encoder's device."""

    pooled: Tensor  # (B, dv) float32, L2-normalised: the image's place in the space shared with texts
    norm: Tensor | None = None
    """(B,) float32, length of the rows before they were normalised, or None where it was not kept, as in a cache."""
    grid: Tensor | None = None
    """(B, n, dg) float32, what the tower knows of places in the image, or None if it was not asked for."""

    def take(self, rows: slice) -> "Features":
        """Return the features of some images."""
        return Features(
            pooled=self.pooled[rows],
            norm=None if self.norm is None else self.norm[rows],
            grid=None if self.grid is None else self.grid[rows],
        )


class ImageEncoder:
    """A frozen open_clip model: its image tower, its own preprocessing and, where there is one, its text tower.

    Grid features are what the tower has before it pools: for open_clip's vision transformers the class token, then
    the patches row by row, after the final norm and before the projection; for ModifiedResNet the map that enters
    attention pooling; for timm towers what ``forward_features`` gives. Maps are flattened row by row.

    Attributes:
        name: What `from_pretrained` was given.
        device: Where the model is.
        dtype: The precision of its weights. Features are float32 always.

    Raises:
        PolygraftError: A text is asked about, and the model has no text side, or its tokenizer cannot be fetched.
    """

    def __init__(self, model: nn.Module, preprocess: Preprocess, make_tokenizer: MakeTokenizer, name: str) -> None:
        self.model: Any = model.requires_grad_(False).eval()
        self.model.visual.to(memory_format=torch.channels_last)  # convolutions run up to twice as fast
        self.name = name
        self._preprocess = preprocess
        self._make_tokenizer = make_tokenizer

    @classmethod
    def from_pretrained(
        cls, name: str | Path = "starter", *, device: str = "auto", dtype: str = "auto"
    ) -> "ImageEncoder":
        """Load a model.

        Args:
            name: Either ``starter``; ``MODEL:TAG``, a model of open_clip and one of its pretrained tags, fetched from
                the hub once; ``MODEL:FILE`` with a local checkpoint (safetensors, or a torch file of nothing but
                tensors); ``hf-hub:OWNER/NAME``; or a folder with ``open_clip_config.json`` and weights.
            device: The device, as `pick_device` names it.
            dtype: The precision, as `pick_dtype` names it.

        Raises:
            PolygraftError: There is no such model, it cannot be fetched, or its weights are damaged, of another
                model, or pickled objects.
        """
        place = pick_device(device)
        model, source = _load(str(name))
        encoder = cls._of(model, source, str(name))
        held = pick_dtype(place, dtype)
        if held != torch.float32:
            _ = encoder.digest, encoder._text_weights  # as they were published, before they are rounded
        encoder.model.to(device=place, dtype=held)
        return encoder

    @classmethod
    def untrained(cls, folder: Path | str, *, seed: int = 0) -> "ImageEncoder":
        """Build the model that the config of an open_clip folder describes, with fresh weights from ``seed``.

        A tower that the config takes from a package comes with its weights. This is where training begins; the
        weights that the folder may hold are not read.
        """
        folder = Path(folder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model, source = _load_folder(folder, weights=False)
        return cls._of(model, source, str(folder))

    @classmethod
    def _of(cls, model: Any, source: str, name: str) -> "ImageEncoder":
        preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
        return cls(model, preprocess, lambda: _tokenizer(source), name)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """In which precision the model computes."""
        dtype: torch.dtype = next(self.model.parameters()).dtype
        return dtype

    @cached_property
    def digest(self) -> str:
        """SHA-256 over image tower and preprocessing: equal digests give equal features.

        Tensors enter sorted by name, with shape and float32 bytes, so neither device nor file format matters.
        """
        described = describe_preprocessing(self.model.visual, self._preprocess)
        return _digest_tensors(described, self.model.visual.state_dict())

    @cached_property
    def text_digest(self) -> str:
        """SHA-256 over the text side, as `digest` is over the other: equal digests give equal vectors of texts."""
        tokens = self.tokenize([_SENTENCE])  # another tokenizer cuts it otherwise, or to another length
        return hashlib.sha256(f"{tokens.tolist()} {self._text_weights}".encode()).hexdigest()

    @cached_property
    def _text_weights(self) -> str:
        tensors = self.model.state_dict().items()
        return _digest_tensors("", {name: t for name, t in tensors if name.split(".")[0] not in _NOT_OF_TEXTS})

    @cached_property
    def width(self) -> int:
        """Width dv of pooled features."""
        return self.encode([_white_image()]).pooled.shape[1]

    @cached_property
    def grid_shape(self) -> tuple[int, int]:
        """Number n of grid tokens of an image, and their width dg."""
        grid = self.encode([_white_image()], grid=True).grid
        assert grid is not None
        return grid.shape[1], grid.shape[2]

    def prepare(self, image: Image.Image) -> Tensor:
        """Return the pixels (3, height, width) that the tower wants of an RGB image, on the CPU; safe in threads."""
        return self._preprocess(_tame(image))

    def encode(self, images: Sequence[Image.Image], *, grid: bool = False, batch_size: int = 32) -> Features:
        """Encode images in RGB, as `backbone.io.images.open_image` gives them."""
        chunks = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        parts = [self.encode_pixels(torch.stack([self.prepare(i) for i in chunk]), grid=grid) for chunk in chunks]
        if not parts:  # no rows, of the right widths
            return self.encode([_white_image()], grid=grid).take(slice(0))
        grids = [part.grid for part in parts if part.grid is not None]
        norms = [part.norm for part in parts if part.norm is not None]
        return Features(
            pooled=torch.cat([part.pooled for part in parts]),
            norm=torch.cat(norms),
            grid=torch.cat(grids) if grid else None,
        )

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor, *, grid: bool = False) -> Features:
        """Encode one batch of prepared pixels (B, 3, height, width)."""
        pixels = pixels.to(self.device, self.dtype, non_blocking=True, memory_format=torch.channels_last)
        pooled, tokens = pooled_and_grid(self.model.visual, pixels) if grid else (self.model.encode_image(pixels), None)
        pooled = pooled.float()
        return Features(
            pooled=F.normalize(pooled, dim=-1),
            norm=pooled.norm(dim=-1),
            grid=None if tokens is None else tokens.float(),
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = self._make_tokenizer()  # many models are never asked about a text
        if tokenizer is None:
            raise PolygraftError(f"the image encoder {self.name} was made without a tokenizer: it cannot encode texts")
        return tokenizer

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Return texts as the text tower's token ids (N, context length), on the CPU."""
        return self._tokenizer(list(texts))

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Return texts as (N, dv) float32, L2-normalised: the dot product with pooled features is their similarity."""
        chunks = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
        rows = [self.model.encode_text(self.tokenize(chunk).to(self.device)).float() for chunk in chunks]
        return F.normalize(torch.cat(rows), dim=-1) if rows else torch.zeros(0, self.width, device=self.device)


def _digest_tensors(described: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(described.encode())
    for name, tensor in sorted(tensors.items()):
        values = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(f"{name}:{values.dtype}:{tuple(values.shape)}:".encode())
        digest.update(values.contiguous().cpu().numpy().data)
    return digest.hexdigest()


def _white_image() -> Image.Image:
    return Image.new("RGB", (64, 64), "white")


def _tame(image: Image.Image) -> Image.Image:
    width, height = image.size
    least = -(-max(width, height) // _MAX_ASPECT)
    if min(width, height) >= least:
        return image
    # a hair-thin image that is resized by its short side would fill the memory
    return ImageOps.pad(image, (max(width, least), max(height, least)), color="white")


# Loading


def _load(name: str) -> tuple[Any, str]:
    """Return the model called ``name`` in float32 on the CPU, and what open_clip calls it."""
    folder = starter_path("clip") if name == "starter" else Path(name)
    if folder.is_dir():
        return _load_folder(folder)
    if name.startswith("hf-hub:"):
        return _create(name, name, None), name
    model, _, weights = name.partition(":")
    if model not in open_clip.list_models():
        close = difflib.get_close_matches(model, open_clip.list_models(), n=4, cutoff=0.4)
        raise PolygraftError(
            f"there is no image encoder {name!r}: give `starter`, a folder with {CONFIG}, or MODEL:TAG with a model of "
            f"open_clip{', like ' + ', '.join(close) if close else ''}"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if weights not in tags and not Path(weights).is_file():
        raise PolygraftError(
            f"the image encoder {name!r} names neither a checkpoint file nor pretrained weights of {model}: give "
            f"{model}:FILE or {model}:TAG with one of {', '.join(tags) or '(none)'}"
        )
    # the published models of some tags need QuickGELU although the model's own config says GELU
    quick = weights in tags and bool(open_clip.get_pretrained_cfg(model, weights).get("quick_gelu"))
    return _create(name, model, weights, force_quick_gelu=quick), model


def _load_folder(folder: Path, *, weights: bool = True) -> tuple[Any, str]:
    """Load an open_clip folder, completed by a packaged image tower where its config names one."""
    source = f"local-dir:{folder}"
    if not (folder / CONFIG).is_file():
        raise PolygraftError(f"the folder {folder} holds no image encoder: it has no {CONFIG}")
    tower = tower_name(folder)
    if not tower and weights:
        return _create(str(folder), source, None), source
    model = _create(str(folder), source, None, load_weights=False, require=False)
    tensors = read_trained(folder, model.state_dict(), tower) if weights else model.state_dict()
    if tower:
        tensors |= tower_tensors(tower, model.state_dict())
    model.load_state_dict(tensors)
    return model, source


def _create(asked: str, model: str, weights: str | None, *, require: bool = True, **options: Any) -> Any:
    try:
        with _silent_logs():
            return open_clip.create_model(model, weights, require_pretrained=require, weights_only=True, **options)
    except pickle.UnpicklingError:
        raise PolygraftError(
            f"the weights of {asked} hold pickled objects besides tensors, which is not safe to read: convert them to "
            "safetensors"
        ) from None
    except Exception as error:  # hub, file, config and shape errors come as a dozen unrelated classes
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = (
            "; with no network give a local file or `starter`" if "ownload" in reason or "hub" in reason.lower() else ""
        )
        raise PolygraftError(f"the image encoder {asked} cannot be loaded: {reason[:300]}{hint}") from None


def _tokenizer(source: str) -> Tokenizer:
    try:
        with _silent_logs():
            return open_clip.get_tokenizer(source)  # type: ignore[no-any-return]
    except Exception as error:  # as above
        reason = " ".join(str(error).split())
        raise PolygraftError(f"the tokenizer of {source} cannot be loaded: {reason[:300]}") from None


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Keep open_clip and the hub from writing to the terminal, and from installing a handler on the root logger."""
    root, handler, level = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(handler)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        root.removeHandler(handler)
