"""A model with a new vocabulary: input rows, output rows and output bias mixed from the old ones, the body shared.

Shapes: V old rows, T new rows, d width.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.hf.vocabulary import check_output, is_tied, replace_vocabulary
from crosslingual.transfer.mixing_matrix import Mixing


def with_mixed_vocabulary(model: Any, tokenizer: Any, mixing: Mixing, *, source: Any, seed: int = 1234) -> Any:
    """Return a model for another tokenizer. The given one is left as it is, and its body is shared, not copied.

    Args:
        model: any model of transformers with input embeddings and an output layer of as many rows: causal (GPT-2,
            LLaMA), masked (RoBERTa, BERT) or encoder-decoder (T5), tied or not.
        tokenizer: the new one.
        mixing: from the old tokenizer's ids to the new one's.
        source: the old tokenizer.
        seed: of drawn rows.

    Raises:
        PolygraftError: the model has fewer rows than its tokenizer ids, no output layer, or positions that the new
            padding id would move.
    """
    check_output(model)
    rows, output = model.get_input_embeddings().weight, model.get_output_embeddings()
    return replace_vocabulary(
        model,
        tokenizer,
        _mixed(rows, mixing, seed),
        None if is_tied(model) else _mixed(output.weight, mixing, seed),
        bias=None if output.bias is None else torch.from_numpy(mixing.apply_bias(_as_array(output.bias))),
        source=source,
    )


def _mixed(rows: Tensor, mixing: Mixing, seed: int) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(mixing.apply(_as_array(rows), seed=seed))).to(rows)


def _as_array(tensor: Tensor) -> "np.ndarray[Any, np.dtype[Any]]":
    array: np.ndarray[Any, np.dtype[Any]] = tensor.detach().float().cpu().numpy()  # numpy has no bfloat16
    return array
