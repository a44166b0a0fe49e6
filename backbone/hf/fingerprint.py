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


def model_digest(tensors: Mapping[str, Tensor], vocabulary: Mapping[str, int], heads: int = 0) -> str:
    """Return the SHA-256 of a language model as hexadecimal digits.

    Weights count as float16 values, so that a model has one digest whether its file holds float32 or float16 and
    whether it was loaded in either. Rounding to bfloat16 does change the digest: take it of the weights as stored.
    Tied weights, two names for one tensor, count once. The tokenizer counts with its vocabulary: its other settings
    are written differently by each version of the libraries.

    Args:
        tensors: weights by name, in the library's own naming.
        vocabulary: token text to id.
        heads: number of attention heads, which the shapes of the weights do not tell.
    """
    digest = hashlib.sha256()
    _add(digest, tensors, ())
    digest.update(json.dumps([heads, sorted(vocabulary.items())]).encode())
    return digest.hexdigest()


def body_digest(tensors: Mapping[str, Tensor], of_vocabulary: Iterable[Tensor], heads: int = 0) -> str:
    """Return the SHA-256 of what a model shares with one of another vocabulary: all weights but those of its tokens.

    Counted as in `model_digest`. A part that was trained on a model fits every model whose body has the same digest.

    Args:
        tensors: weights by name, in the library's own naming.
        of_vocabulary: those left out: input embedding, output embedding, output bias.
        heads: number of attention heads.
    """
    digest = hashlib.sha256()
    _add(digest, tensors, of_vocabulary)
    digest.update(json.dumps(heads).encode())
    return digest.hexdigest()


def digest_of(model: Any, tokenizer: Any) -> str:
    """Return the digest of a model of transformers and its tokenizer; see `model_digest`."""
    return model_digest(model.state_dict(), tokenizer.get_vocab(), _heads(model))


def body_digest_of(model: Any) -> str:
    """Return the digest of the body of a model of transformers; see `body_digest`."""
    output = model.get_output_embeddings()
    own = [model.get_input_embeddings().weight, output.weight, getattr(output, "bias", None)]
    return body_digest(model.state_dict(), [tensor for tensor in own if tensor is not None], _heads(model))


def _heads(model: Any) -> int:
    return getattr(model.config, "num_attention_heads", 0)


def vocabulary_digest(vocabulary: Mapping[str, int]) -> str:
    """Return the SHA-256 of a tokenizer's vocabulary, token text to id."""
    return hashlib.sha256(json.dumps(sorted(vocabulary.items())).encode()).hexdigest()


def _add(digest: Any, tensors: Mapping[str, Tensor], without: Iterable[Tensor]) -> None:
    seen = {(tensor.data_ptr(), tensor.shape) for tensor in without}
    for name, tensor in sorted(tensors.items()):
        place = (tensor.data_ptr(), tensor.shape)
        if place in seen:
            continue
        seen.add(place)
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().to(torch.float16 if tensor.is_floating_point() else tensor.dtype)
        digest.update(values.cpu().contiguous().flatten().view(torch.uint8).numpy().data)


FILE = "body.json"


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """What ``body.json`` holds."""

    body_sha256: str
    """See `backbone.hf.fingerprint.body_digest`."""
    models: tuple[str, ...]
    """Digests of whole models with this body, see `backbone.hf.fingerprint.model_digest`."""


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
