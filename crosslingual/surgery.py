"""A model with a new vocabulary: input rows, output rows and output bias mixed from the old ones, the body shared.

For causal models, masked models (RoBERTa, BERT) and encoder-decoders (T5); tied or not.

Shapes: V old rows, T new rows, d width.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.errors import PolygraftError
from crosslingual.mixing import Mixing

_ROLES = ("bos", "eos", "pad", "sep", "cls", "mask", "unk")
_PARTS = ("decoder_start", "forced_bos", "forced_eos")


def with_mixed_vocabulary(model: Any, tokenizer: Any, mixing: Mixing, *, source: Any, seed: int = 1234) -> Any:
    """Return a model for another tokenizer. The given one is left as it is, and its body is shared, not copied.

    Args:
        model: any model of transformers with input embeddings and an output layer of as many rows.
        tokenizer: the new one.
        mixing: from the old tokenizer's ids to the new one's.
        source: the old tokenizer.
        seed: of drawn rows.

    Raises:
        PolygraftError: the model has fewer rows than its tokenizer ids, no output layer, or positions that the new
            padding id would move.
    """
    embedding: Tensor = model.get_input_embeddings().weight
    output = model.get_output_embeddings()
    if output is None:
        raise PolygraftError(f"{type(model).__name__} has no output layer: load it with its language model head")
    _check_padding(model, tokenizer)
    renewed = _resized(model, len(mixing.origins))
    replaced = renewed.get_output_embeddings()
    with torch.no_grad():
        renewed.get_input_embeddings().weight.copy_(_mixed(embedding, mixing, seed))
        if output.weight is not embedding:
            replaced.weight.copy_(_mixed(output.weight, mixing, seed))
        if output.bias is not None:
            replaced.bias.copy_(torch.from_numpy(mixing.apply_bias(output.bias.detach().float().cpu().numpy())))
    _set_special_ids(renewed, tokenizer, model.config, source)
    return renewed


def _resized(model: Any, size: int) -> Any:
    """Return a model with ``size`` rows of no meaning yet, and everything else shared with the given one."""
    output = model.get_output_embeddings()
    # transformers resizes tensors in place, so these are copied; what the memo names, deepcopy takes as it is
    own = {id(tensor) for tensor in (model.get_input_embeddings().weight, output.weight, output.bias)}
    shared = [tensor for tensor in (*model.parameters(), *model.buffers()) if id(tensor) not in own]
    renewed = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    renewed.resize_token_embeddings(size, pad_to_multiple_of=1, mean_resizing=False)
    return renewed


def _mixed(rows: Tensor, mixing: Mixing, seed: int) -> Tensor:
    # numpy has no bfloat16
    source = rows.detach().float().cpu().numpy()
    return torch.from_numpy(np.ascontiguousarray(mixing.apply(source, seed=seed))).to(rows)


def _set_special_ids(renewed: Any, tokenizer: Any, old: Any, source: Any) -> None:
    """Give config and generation config the new ids: by role; what a decoder starts with, by the role of the old id.

    Args:
        renewed: the new model.
        tokenizer: the new one.
        old: config of the old model.
        source: the old tokenizer.
    """
    new_ids = {role: getattr(tokenizer, f"{role}_token_id", None) for role in _ROLES}
    has_generation = getattr(renewed, "generation_config", None) is not None
    places = [renewed.config, renewed.generation_config] if has_generation else [renewed.config]

    def put(name: str, number: int | None) -> None:
        for place in places:
            setattr(place, name, number)

    for role, number in new_ids.items():
        # every tokenizer may have the first three; the others only where the model knows them
        if role in ("bos", "eos", "pad") or getattr(old, f"{role}_token_id", None) is not None:
            put(f"{role}_token_id", number)
    start = next((new_ids[role] for role in ("pad", "bos", "eos") if new_ids[role] is not None), None)
    for name in (f"{part}_token_id" for part in _PARTS):
        number = getattr(old, name, None)
        if number is None:
            continue
        roles = [
            role for role in _ROLES for known in (source, old) if getattr(known, f"{role}_token_id", None) == number
        ]
        fitting = next((new_ids[role] for role in roles if new_ids[role] is not None), None)
        put(name, start if fitting is None and name.startswith("decoder_start") else fitting)


def _check_padding(model: Any, tokenizer: Any) -> None:
    """Refuse to move the padding of a model that counts positions from its id, as RoBERTa does."""
    for name, module in model.named_modules():
        counted = name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        if counted and tokenizer.pad_token_id != module.padding_idx:
            raise PolygraftError(
                f"{type(model).__name__} counts positions from its padding id {module.padding_idx}, but the new "
                f"tokenizer's is {tokenizer.pad_token_id}: train it with the special tokens at the ids they have"
            )
