"""Language models as they are stored: whole, or as a vocabulary alone on the body of another model.

A folder with a vocabulary alone holds ``vocabulary.json`` (which model's body, by name and digest),
``rows.safetensors`` (its embeddings) and a tokenizer: a few megabytes for another language on the same body. A whole
model that was made from another by changing nothing but its vocabulary keeps ``body.json`` beside its weights: the
digest of the body, and those of the models it was made from. What was grafted onto one of them fits the others.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from backbone.checkpoint import language_model_place, load_tensors
from backbone.errors import PolygraftError
from backbone.hf.loading import load_model, load_tokenizer
from backbone.hf.vocabulary import is_tied, replace_vocabulary
from backbone.io.files import read_json, write_json
from backbone.io.settings import config_from_dict

HEADER, ROWS = "vocabulary.json", "rows.safetensors"
BODY = "body.json"
_FORMAT = 1


# Digests


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
        place = (tensor.data_ptr(), tensor.shape)  # tied weights share their memory
        if place in seen:
            continue
        seen.add(place)
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().to(torch.float16 if tensor.is_floating_point() else tensor.dtype)
        digest.update(values.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """What ``body.json`` holds."""

    body_sha256: str  # see `body_digest_of`
    models: tuple[str, ...]  # digests of whole models with this body, see `digest_of`


def write_kin(folder: Path, body: str, models: Sequence[str]) -> None:
    """Say in a model's folder which models have the same body."""
    write_json(folder / BODY, asdict(Kinship(body_sha256=body, models=tuple(models))))


def read_kin(folder: Path, body: Callable[[], str]) -> tuple[str, ...]:
    """Return the digests of the models with the same body; none where nothing is said, or the body has changed since.

    Raises:
        PolygraftError: ``body.json`` is damaged.
    """
    if not (folder / BODY).is_file():
        return ()
    kinship = config_from_dict(Kinship, read_json(folder / BODY))
    return kinship.models if kinship.body_sha256 == body() else ()


# Reading and writing


@dataclass(frozen=True, kw_only=True)
class VocabularyHeader:
    """What ``vocabulary.json`` holds."""

    format: int
    base: str  # the model whose body it is: a hub name, a folder, or starter
    base_sha256: str  # digest of that model, see `digest_of`


def read_stored(name: str) -> tuple[Any, Any, tuple[str, ...]]:
    """Load a model on the CPU in the dtype of its files, its tokenizer, and the digests of its kin.

    Kin are models with the same body and another vocabulary.

    Args:
        name: A starter such as starter or starter-fr, a hub name, or the folder of a model or vocabulary.

    Raises:
        PolygraftError: See `backbone.hf.loading.load_model`; or the body that a vocabulary needs is missing or another.
    """
    place = language_model_place(name)
    folder = Path(place).expanduser()
    if (folder / HEADER).is_file():
        return _on_body(folder)
    model, tokenizer = load_model(place)
    return model, tokenizer, read_kin(folder, lambda: body_digest_of(model))


def _on_body(folder: Path) -> tuple[Any, Any, tuple[str, ...]]:
    header = config_from_dict(VocabularyHeader, read_json(folder / HEADER))
    if header.format != _FORMAT:
        raise PolygraftError(f"{folder} has format {header.format}, but this version reads {_FORMAT}: install another")
    rows = load_tensors(folder / ROWS)
    try:
        base, base_tokenizer, kin = read_stored(header.base)
    except PolygraftError as error:
        raise PolygraftError(f"the vocabulary {folder} stands on another model's body, but {error}") from error
    digest = digest_of(base, base_tokenizer)
    if digest != header.base_sha256:  # it would load, and write nonsense
        raise PolygraftError(
            f"the vocabulary {folder} needs the body of {header.base!r} (SHA-256 {header.base_sha256[:12]}), but found "
            f"is another model of that name ({digest[:12]})"
        )
    tokenizer = load_tokenizer(str(folder))
    head, width = rows.get("output"), base.get_input_embeddings().weight.shape[1]
    if "input" not in rows or (head is None) != is_tied(base) or rows["input"].shape[1] != width:
        raise PolygraftError(f"{folder / ROWS} does not fit the body of {header.base!r}: transfer anew")
    model = replace_vocabulary(base, tokenizer, rows["input"], head, bias=rows.get("bias"), source=base_tokenizer)
    return model, tokenizer, (digest, *kin)


def save_vocabulary(folder: Path, backbone: Any, base: Any) -> None:
    """Write the vocabulary of a `backbone.gpt2.Backbone` alone, in half precision, for the body of ``base``.

    That model has to be there, under its name, when the vocabulary is loaded.

    Raises:
        PolygraftError: The two have different bodies.
    """
    if backbone.body_digest != base.body_digest:
        raise PolygraftError(f"{backbone.name} has another body than {base.name}: save it whole")
    output = backbone.model.get_output_embeddings()
    tensors = {"input": backbone.model.get_input_embeddings().weight}
    if not is_tied(backbone.model):
        tensors["output"] = output.weight
    if getattr(output, "bias", None) is not None:
        tensors["bias"] = output.bias
    half = {name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in tensors.items()}
    save_file(half, folder / ROWS)
    backbone.tokenizer.save_pretrained(folder)
    write_json(folder / HEADER, asdict(VocabularyHeader(format=_FORMAT, base=base.name, base_sha256=base.digest)))
