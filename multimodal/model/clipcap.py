"""Published ClipCap weights, read safely and sorted into what a captioner is made of.

ClipCap (Mokady et al., 2021, "ClipCap: CLIP Prefix for Image Captioning") saves the state dict of a whole model: the
mapper below ``clip_project.``, the language model below ``gpt.``. Sizes are read from the tensors.
"""

import copy
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from backbone.checkpoint import load_tensors
from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from multimodal.config import CaptionerConfig
from multimodal.model.mapper import build_mapper

Kind = Literal["mlp", "transformer"]

_MAPPER, _LANGUAGE_MODEL = "clip_project.", "gpt."
_EMBEDDING, _HEAD = "transformer.wte.weight", "lm_head.weight"
# causal masks, which older versions of transformers saved
_BUFFERS = (".attn.bias", ".attn.masked_bias")
# the published networks have no other number
_HEADS = 8


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the weights are said to be."""

    mapper: Kind
    prefix_length: int
    clip_length: int = 0  # 0: whatever is found
    text_width: int  # width of the language model
    normalized: bool = False  # trained with ``--normalize_prefix``, on image features of length 1


@dataclass(frozen=True, kw_only=True)
class ClipCap:
    """Published weights by what they belong to."""

    config: CaptionerConfig
    mapper: dict[str, Tensor]  # float32, under the names of `build_mapper`
    language_model: dict[str, Tensor]  # under transformers' own names; empty if the weights hold the mapper alone


# The file


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a state dict, saved by torch or as safetensors, onto the CPU.

    Raises:
        PolygraftError: the file is missing, damaged, of another kind, or holds objects besides tensors.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {error.strerror}") from error
    if start[8:] == b"{":
        return load_tensors(path)
    if not start.startswith((b"PK", b"\x80")):
        raise PolygraftError(f"{path} is neither a state dict saved by torch nor a safetensors file")
    loaded = _load_torch_file(path)
    if not isinstance(loaded, Mapping):
        raise PolygraftError(f"{path} holds a {type(loaded).__name__} where a state dict is expected")
    return {name: tensor for name, tensor in loaded.items() if isinstance(tensor, Tensor)}


def _load_torch_file(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on versions of the pickle format, before it is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PolygraftError(
            f"{path} holds pickled objects besides tensors, which could run any code, and is not opened: save the "
            "model's state_dict() alone"
        ) from error
    except (RuntimeError, ValueError, KeyError, EOFError, OSError) as error:
        raise PolygraftError(f"{path} is truncated or damaged: copy it again") from error


# The mapper


def read_clipcap(tensors: Mapping[str, Tensor], expected: Expected) -> ClipCap:
    """Sort a state dict and check it against what is expected of it.

    Args:
        tensors: A state dict of ClipCaptionModel or ClipCaptionPrefix.
        expected: What it should be.

    Raises:
        PolygraftError: it is of another model, or of other sizes; names both.
    """
    mapper = {name: tensor.float() for name, tensor in _below(_MAPPER, tensors).items()}
    language_model = _language_model(tensors)
    _check_kind(mapper, list(tensors), expected.mapper)
    if _EMBEDDING in language_model:
        _check_text_width(_matrix(language_model, _EMBEDDING)[1], expected.text_width)
    config = _mlp(mapper, expected) if expected.mapper == "mlp" else _transformer(mapper, expected)
    with torch.device("meta"):
        own = build_mapper(config).state_dict()
    if odd := _misfits(own, mapper):
        raise PolygraftError(f"the {expected.mapper} mapper is not of ClipCap's form in {odd}")
    return ClipCap(config=config, mapper=mapper, language_model=language_model)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _language_model(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # the head is the embedding where only one of the two was saved
    found = {name: tensor for name, tensor in _below(_LANGUAGE_MODEL, tensors).items() if not name.endswith(_BUFFERS)}
    for one, other in ((_EMBEDDING, _HEAD), (_HEAD, _EMBEDDING)):
        if one in found:
            found.setdefault(other, found[one])
    return found


def _check_kind(mapper: Mapping[str, Tensor], names: list[str], asked: Kind) -> None:
    if not mapper:
        known = f"it begins with {names[0]}" if names else "it holds no tensor"
        raise PolygraftError(f"this is no ClipCap state dict: it has no {_MAPPER}*, {known}")
    if set(mapper) == {"weight", "bias"}:
        raise PolygraftError(
            "the mapper is one linear layer, as in ClipCap's predict.py for prefixes longer than 10, and only mlp and "
            "transformer can be converted"
        )
    found = "transformer" if "prefix_const" in mapper else "mlp"
    if found != asked:
        raise PolygraftError(f"--mapper {asked} was asked, but the weights hold the {found} mapper: give {found}")


def _check_text_width(found: int, wanted: int) -> None:
    if found != wanted:
        raise PolygraftError(
            f"the weights belong to a language model of width {found}, but --backbone has {wanted}: name theirs"
        )


def _mlp(mapper: Mapping[str, Tensor], expected: Expected) -> CaptionerConfig:
    _, image_width = _matrix(mapper, "model.0.weight")
    rows, _ = _matrix(mapper, "model.2.weight")
    _check_length("--prefix-length", expected.prefix_length, "prefix vectors", rows / expected.text_width)
    return _config(expected, image_width)


def _transformer(mapper: Mapping[str, Tensor], expected: Expected) -> CaptionerConfig:
    rows, image_width = _matrix(mapper, "linear.weight")
    prefix_length, text_width = _matrix(mapper, "prefix_const")
    _check_text_width(text_width, expected.text_width)
    _check_length("--prefix-length", expected.prefix_length, "prefix vectors", prefix_length)
    clip_length = rows / text_width
    _check_length("--clip-length", expected.clip_length or int(clip_length), "slots for the image", clip_length)
    numbers = {name.split(".")[2] for name in mapper if name.startswith("transformer.layers.")}
    return _config(expected, image_width, clip_length=int(clip_length), layers=len(numbers))


def _matrix(tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name not in tensors or tensors[name].ndim != 2:
        raise PolygraftError(f"this is no ClipCap state dict: it has no matrix {name}")
    rows, columns = tensors[name].shape
    return rows, columns


def _check_length(option: str, asked: int, what: str, found: float) -> None:
    if asked != found:
        raise PolygraftError(f"{option} {asked} was asked, but the weights have {found:g} {what}: give that number")


def _config(expected: Expected, image_width: int, **sizes: Any) -> CaptionerConfig:
    return CaptionerConfig(
        mapper=expected.mapper,
        prefix_length=expected.prefix_length,
        heads=_HEADS,
        calibrate=False,
        normalize=expected.normalized,
        full_stop=True,
        image_width=image_width,
        text_width=expected.text_width,
        **sizes,
    )


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Return the first names that are missing, too many or of another shape; "" if there is none."""
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (own, given)]
    odd = sorted(name for name in own.keys() | given.keys() if shapes[0].get(name) != shapes[1].get(name))
    more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
    return ", ".join(odd[:3]) + more


# The language model


def tuned_backbone(backbone: Backbone, tensors: Mapping[str, Tensor]) -> Backbone:
    """Return ``backbone`` with other weights; ``backbone`` itself if these are its own, compared in half precision.

    Args:
        backbone: The language model, left as it is.
        tensors: The weights as in `ClipCap`; none: its own.

    Raises:
        PolygraftError: they belong to a language model of another form.
    """
    own: dict[str, Tensor] = backbone.model.state_dict()
    if not tensors:
        return backbone
    if odd := _misfits(own, tensors):
        raise PolygraftError(
            f"the weights belong to another language model than {backbone.name!r}, from which they differ in {odd}: "
            "name theirs with --backbone"
        )
    if all(torch.equal(own[name].half(), tensors[name].half()) for name in own):
        return backbone
    model = copy.deepcopy(backbone.model)
    model.load_state_dict(tensors)
    return Backbone.from_parts(model, backbone.tokenizer, name=f"{backbone.name}, tuned")
