"""A model with another vocabulary: input rows, output rows and output bias new, all other tensors shared.

For causal models, masked models (RoBERTa, BERT) and encoder-decoders (T5); tied or not.

Shapes: V old rows, T new rows, d width.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from backbone.errors import PolygraftError

_ROLES = ("bos", "eos", "pad", "sep", "cls", "mask", "unk")
_PARTS = ("decoder_start", "forced_bos", "forced_eos")


def is_tied(model: Any) -> bool:
    """Whether input and output embedding are one tensor."""
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def replace_vocabulary(
    model: Any,
    tokenizer: Any,
    rows: Tensor,
    head: Tensor | None,
    *,
    bias: Tensor | None = None,
    source: Any = None,
) -> Any:
    """Return a model for another tokenizer. The given one is left as it is, and its body is shared, not copied.

    Args:
        model: A model of transformers with input embeddings and an output layer of as many rows.
        tokenizer: The new tokenizer; config and generation config get its special ids.
        rows: The input embeddings, (T, d).
        head: The output embeddings (T, d); None: tied to ``rows``.
        bias: The bias (T,) of the output, for models that have one.
        source: The old tokenizer, which tells the roles of ids that only the generation names, such as a decoder's
            first.

    Raises:
        PolygraftError: The model has no output layer, or positions that the new padding id would move.
    """
    check_output(model)
    _check_padding(model, tokenizer)
    renewed = _resized(model, len(rows))
    if head is not None and is_tied(renewed):
        _untie(renewed)
    output = renewed.get_output_embeddings()
    with torch.no_grad():
        renewed.get_input_embeddings().weight.copy_(rows)
        if head is not None:
            output.weight.copy_(head)
        if bias is not None:
            output.bias.copy_(bias)
    _set_special_ids(renewed, tokenizer, model.config, source)
    return renewed


def check_output(model: Any) -> None:
    """Refuse a model that puts out no tokens."""
    if model.get_output_embeddings() is None:
        raise PolygraftError(f"{type(model).__name__} has no output layer: load it with its language model head")


def _resized(model: Any, size: int) -> Any:
    """Return a model with ``size`` rows of no meaning yet, and everything else shared with the given one."""
    output = model.get_output_embeddings()
    # transformers resizes tensors in place, so these are copied; what the memo names, deepcopy takes as it is
    own = {id(tensor) for tensor in (model.get_input_embeddings().weight, output.weight, output.bias)}
    shared = [tensor for tensor in (*model.parameters(), *model.buffers()) if id(tensor) not in own]
    renewed = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    # the rows are copied in afterwards, exactly as many as there are tokens
    renewed.resize_token_embeddings(size, pad_to_multiple_of=1, mean_resizing=False)
    return renewed


def _untie(model: Any) -> None:
    output = model.get_output_embeddings()
    output.weight = nn.Parameter(torch.empty_like(output.weight), requires_grad=output.weight.requires_grad)
    model.config.tie_word_embeddings = False
    model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)


def _set_special_ids(renewed: Any, tokenizer: Any, old: Any, source: Any) -> None:
    # what a decoder starts with, and other ids that have no role of their own, go by the role of the old id
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
    if old.pad_token_id is None and new_ids["pad"] == new_ids["eos"]:
        # generation pads with it; but of a model that knows padding, transformers searches every input for it
        renewed.config.pad_token_id = None
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
