"""One number for a frozen language model: which weights, which vocabulary."""

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor


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
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in sorted(tensors.items()):
        place = (tensor.data_ptr(), tensor.shape)
        if place in seen:
            continue
        seen.add(place)
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().to(torch.float16 if tensor.is_floating_point() else tensor.dtype)
        digest.update(values.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(json.dumps([heads, sorted(vocabulary.items())]).encode())
    return digest.hexdigest()
