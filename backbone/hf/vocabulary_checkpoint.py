"""Language models as they are stored: whole, or as a vocabulary alone on the body of another model.

A folder with a vocabulary alone holds ``vocabulary.json`` (which model's body, by name and digest),
``rows.safetensors`` (its embeddings) and a tokenizer: a few megabytes for another language on the same body.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from backbone.checkpoint.folder import load_tensors
from backbone.errors import PolygraftError
from backbone.hf.fingerprint import body_digest_of, digest_of, read_kin
from backbone.hf.loading import load_model, load_tokenizer
from backbone.hf.vocabulary import is_tied, replace_vocabulary
from backbone.io.files import read_json, write_json
from backbone.io.settings import config_from_dict
from backbone.starter import language_model_place

HEADER, ROWS = "vocabulary.json", "rows.safetensors"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class VocabularyHeader:
    """What ``vocabulary.json`` holds."""

    format: int
    base: str
    """The model whose body it is: a hub name, a folder, or starter."""
    base_sha256: str
    """Digest of that model, see `backbone.hf.fingerprint.digest_of`."""


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model on the CPU in the dtype of its files."""

    model: Any
    tokenizer: Any
    kin: tuple[str, ...]
    """Digests of models with the same body and another vocabulary."""


def read_stored(name: str) -> StoredModel:
    """Load a language model with its kin.

    Args:
        name: starter, a language's starter such as starter-fr, a hub name, or a folder, of a model or of a vocabulary.

    Raises:
        PolygraftError: see `backbone.hf.loading.load_model`; or the body that a vocabulary needs is missing or another.
    """
    place = language_model_place(name)
    folder = Path(place).expanduser()
    if (folder / HEADER).is_file():
        return _on_body(folder)
    model, tokenizer = load_model(place)
    return StoredModel(model=model, tokenizer=tokenizer, kin=read_kin(folder, lambda: body_digest_of(model)))


def _on_body(folder: Path) -> StoredModel:
    header = config_from_dict(VocabularyHeader, read_json(folder / HEADER))
    if header.format != _FORMAT:
        raise PolygraftError(f"{folder} has format {header.format}, but this version reads {_FORMAT}: install another")
    rows = load_tensors(folder / ROWS)
    try:
        base = read_stored(header.base)
    except PolygraftError as error:
        raise PolygraftError(f"the vocabulary {folder} stands on another model's body, but {error}") from error
    digest = digest_of(base.model, base.tokenizer)
    if digest != header.base_sha256:
        raise PolygraftError(
            f"the vocabulary {folder} needs the body of {header.base!r} (SHA-256 {header.base_sha256[:12]}), but found "
            f"is another model of that name ({digest[:12]})"
        )
    tokenizer = load_tokenizer(str(folder))
    head, width = rows.get("output"), base.model.get_input_embeddings().weight.shape[1]
    if "input" not in rows or (head is None) != is_tied(base.model) or rows["input"].shape[1] != width:
        raise PolygraftError(f"{folder / ROWS} does not fit the body of {header.base!r}: transfer anew")
    model = replace_vocabulary(base.model, tokenizer, rows["input"], head, bias=rows.get("bias"), source=base.tokenizer)
    return StoredModel(model=model, tokenizer=tokenizer, kin=(digest, *base.kin))


def save_vocabulary(folder: Path, backbone: Any, base: Any) -> None:
    """Write a model's vocabulary alone, in half precision, into an empty folder.

    Args:
        folder: where.
        backbone: the `backbone.gpt2.Backbone`.
        base: another with the same body, which has to be there when it is loaded.

    Raises:
        PolygraftError: the two have different bodies.
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
