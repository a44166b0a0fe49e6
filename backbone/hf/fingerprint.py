"""Fingerprints (SHA-256) of a frozen language model and of its body, and which models share one body.

A model that was made from another by changing nothing but its vocabulary keeps ``body.json`` beside its weights: the
digest of the body, and those of the models it was made from. What was grafted onto one of them fits the others.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backbone.io.files import read_json, write_json
from backbone.io.settings import config_from_dict


def digest_of(model: Any, tokenizer: Any) -> str:
    """Return the SHA-256 of a language model of transformers and its tokenizer as hexadecimal digits.

    Weights count as float16 values, so that a model has one digest whether its file holds float32 or float16 and
    whether it was loaded in either. Rounding to bfloat16 does change the digest: take it of the weights as stored.
    Tied weights, two names for one tensor, count once. The tokenizer counts with its vocabulary: its other settings
    are written differently by each version of the libraries. The number of heads, which no shape tells, counts too.
    """
    return _digest(model.state_dict(), (), [_heads(model), sorted(tokenizer.get_vocab().items())])


def body_digest_of(model: Any) -> str:
    """Return the SHA-256 of what a model shares with one of another vocabulary: all weights but those of its tokens.

    Counted as in `digest_of`. A part that was trained on a model fits every model whose body has the same digest.
    """
    output = model.get_output_embeddings()
    own = [model.get_input_embeddings().weight, output.weight, getattr(output, "bias", None)]
    return _digest(model.state_dict(), [tensor for tensor in own if tensor is not None], _heads(model))


def _heads(model: Any) -> int:
    return getattr(model.config, "num_attention_heads", 0)


def vocabulary_digest(vocabulary: Mapping[str, int]) -> str:
    """Return the SHA-256 of a tokenizer's vocabulary, token text to id."""
    return hashlib.sha256(json.dumps(sorted(vocabulary.items())).encode()).hexdigest()


def _digest(tensors: Mapping[str, Tensor], without: Iterable[Tensor], settings: Any) -> str:
    digest = hashlib.sha256()
    seen = {(tensor.data_ptr(), tensor.shape) for tensor in without}
    for name, tensor in sorted(tensors.items()):
        place = (tensor.data_ptr(), tensor.shape)
        if place in seen:
            continue
        seen.add(place)
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().to(torch.float16 if tensor.is_floating_point() else tensor.dtype)
        digest.update(values.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()


FILE = "body.json"


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """What ``body.json`` holds."""

    body_sha256: str
    """See `body_digest_of`."""
    models: tuple[str, ...]
    """Digests of whole models with this body, see `digest_of`."""


def write_kin(folder: Path, body: str, models: Sequence[str]) -> None:
    """Say in a model's folder which models have the same body."""
    write_json(folder / FILE, asdict(Kinship(body_sha256=body, models=tuple(models))))


def read_kin(folder: Path, body: Callable[[], str]) -> tuple[str, ...]:
    """Return the digests of the models with the same body; none where nothing is said, or the body has changed since.

    Args:
        folder: of a model, or what is no folder.
        body: returns the digest of the body as it is; asked only where something is said.

    Raises:
        PolygraftError: ``body.json`` is damaged.
    """
    if not (folder / FILE).is_file():
        return ()
    kinship = config_from_dict(Kinship, read_json(folder / FILE))
    return kinship.models if kinship.body_sha256 == body() else ()
