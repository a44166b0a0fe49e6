"""Backbone: the frozen language model that every small part is grafted onto, with its tokenizer.

Shapes: B rows, k positions of a prefix, T tokens, d width of the model, V tokens of the vocabulary.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from backbone.device import pick_device, pick_dtype
from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.generation.kv_cache import LanguageModel, flush_right, positions_from_mask
from backbone.generation.sampling import search
from backbone.hf.loading import DynamicCache, save_model
from backbone.hf.stored_models import body_digest_of, digest_of, read_stored
from backbone.io.files import atomic_folder


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A generated text."""

    text: str  # without spaces at its ends; bytes that are no UTF-8 become U+FFFD
    ids: tuple[int, ...]  # its tokens, without the end-of-text token
    score: float
    """Mean log-probability (nats) of its tokens under the model, the end-of-text token counted if there is one."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Texts as token ids on the CPU, padded on the right."""

    ids: Tensor  # (B, T) int64
    mask: Tensor  # (B, T) bool, False at padding


class Backbone(LanguageModel):
    """A causal language model of transformers that is never trained, and its tokenizer.

    Frozen means: no parameter requires a gradient, the model is in evaluation mode, and it is no part of the modules
    grafted onto it, so that their ``parameters()``, ``train()`` and ``state_dict()`` do not reach it. Gradients flow
    through it to prefixes.

    Args:
        model: A model with a linear head on its last hidden states that takes ``inputs_embeds``; frozen in place.
        tokenizer: The model's tokenizer. No id is added to either: where there is no padding token, padding is some
            other id under a mask, and token 0 is an ordinary token.
        name: The name it was loaded by: a hub name, a folder, ``starter``.
        digest: The value of `digest`; None: it is computed from the weights when asked for.
        kin: The digests of models with the same body and another vocabulary; what was grafted onto them fits here.

    Raises:
        PolygraftError: The tokenizer has ids that the model does not know, or there is no end-of-text token.
    """

    eos_id = -1  # an attribute here, read from the tokenizer

    def __init__(
        self, model: Any, tokenizer: Any, *, name: str, digest: str | None = None, kin: Sequence[str] = ()
    ) -> None:
        self.model = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.name = name
        self.kin = tuple(kin)
        self._digest = digest
        embedding: Tensor = model.get_input_embeddings().weight
        self.device, self.dtype = embedding.device, embedding.dtype
        self.vocabulary_size, self.width = embedding.shape
        self.context: int = getattr(model.config, "max_position_embeddings", None) or sys.maxsize  # ALiBi has no bound
        self.eos_id, self.bos_id, self.pad_id = _special_ids(tokenizer, model.config, self.vocabulary_size, name)

    @classmethod
    def from_pretrained(cls, name: str = "starter", *, device: str = "auto", dtype: str = "auto") -> "Backbone":
        """Load a model by its name on the hub, from a folder in transformers' format, or the ``starter``.

        Args:
            name: A hub name, a folder or ``starter``.
            device: One of ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
            dtype: Either ``auto`` (bfloat16 on GPUs that compute in it, else float32) or a name such as ``float16``.

        Raises:
            PolygraftError: There is no such model, its files are damaged, or it cannot serve as a backbone.
        """
        place = pick_device(device)
        precision = pick_dtype(place, dtype)
        model, tokenizer, kin = read_stored(str(name))
        # only rounding to half precision loses what the digest is made of, so it is then taken before
        digest = digest_of(model, tokenizer) if precision.itemsize == 2 and precision != model.dtype else None
        for parameter in model.parameters():
            parameter.data = parameter.data.to(precision)  # not model.to(): rotary tables stay in float32
        return cls(model.to(place), tokenizer, name=str(name), digest=digest, kin=kin)

    @classmethod
    def from_parts(cls, model: Any, tokenizer: Any, *, name: str, device: str = "cpu") -> "Backbone":
        """Freeze a model made in memory, in its own dtype, and move it to ``device``."""
        return cls(model.to(pick_device(device)), tokenizer, name=name)

    @property
    def digest(self) -> str:
        """SHA-256 over the weights as float16 values and the vocabulary; see `backbone.hf.stored_models.digest_of`.

        It is that of the weights as stored: the same in float32 on a CPU and in bfloat16 on a GPU, and the same again
        after `save_pretrained` and loading, unless the weights were rounded on loading (float32 in the file, half
        precision in memory), for then the saved model is another. Computed once for each instance.
        """
        if self._digest is None:
            self._digest = digest_of(self.model, self.tokenizer)
        return self._digest

    @cached_property
    def body_digest(self) -> str:
        """SHA-256 of the weights in memory without the vocabulary's, see `backbone.hf.stored_models.body_digest_of`.

        A model that was transferred to another language has that of the model it was made from.
        """
        return body_digest_of(self.model)

    @cached_property
    def embedding_norm(self) -> float:
        """Mean Euclidean norm of the rows of the input embedding: the scale that a prefix should have."""
        return float(self.model.get_input_embeddings().weight.float().norm(dim=-1).mean())

    # Text and tokens

    def encode(self, texts: Sequence[str], *, max_tokens: int, eos: bool = True) -> Tokens:
        """Turn texts into token ids on the CPU, padded to the longest.

        Names of special tokens within a text are read as plain characters.

        Args:
            texts: The B texts.
            max_tokens: The length of the longest row. A text that is longer is cut and has then no end-of-text token.
            eos: Whether the end-of-text token is appended.
        """
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}, allowed is at least 1")
        rows: list[list[int]] = []
        if texts:
            # a special token's name in a text is plain text; long texts are cut below and are no reason to warn
            options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
            rows = self.tokenizer(list(texts), **options)["input_ids"]
        return self.pad([[*row, self.eos_id][:max_tokens] if eos else row[:max_tokens] for row in rows])

    def pad(self, rows: Sequence[Sequence[int]]) -> Tokens:
        """Return rows of token ids on the CPU, padded to the longest."""
        width = max(map(len, rows), default=0)
        ids = torch.tensor([[*row, *[self.pad_id] * (width - len(row))] for row in rows], dtype=torch.int64)
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return Tokens(ids=ids.view(len(rows), width), mask=torch.arange(width) < lengths[:, None])

    def decode(self, ids: Sequence[int]) -> str:
        """Turn token ids into text, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def embed(self, ids: Tensor) -> Tensor:
        """Return the input embeddings of token ids: (B, T) -> (B, T, d)."""
        embedded: Tensor = self.model.get_input_embeddings()(ids.to(self.device))
        return embedded

    # The forward pass

    def hidden(
        self,
        embeds: Tensor,
        mask: Tensor | None = None,
        *,
        positions: Tensor | None = None,
        cache: Any = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the last hidden states of a sequence of embeddings, causally: (B, T, d) -> (B, T, d).

        Args:
            embeds: The embeddings, (B, T, d).
            mask: A bool mask (B, T), False at padding, which may be anywhere; with a cache (B, t + T).
                What comes out at padding means nothing. Or an additive (B, 1, T, t + T) mask, with ``positions``.
            positions: The positions, (B, T) int64; by default real ones are counted from 0.
            cache: A cache of `new_cache` with keys and values of t earlier positions, to which these are added.
            weights: Tensors by name in place of weights of the body, see `backbone.lora`; gradients flow
                to them.
        """
        if positions is None and mask is not None:
            positions = positions_from_mask(mask)
        given = {
            "inputs_embeds": embeds.to(self.device, self.dtype),
            "attention_mask": mask,
            "position_ids": positions,
            "use_cache": cache is not None,
            "cache": cache,
        }
        body = self.model.base_model
        output = functional_call(body, dict(weights), kwargs=given) if weights else body(**given)
        states: Tensor = output.last_hidden_state
        return states

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits for the token after each hidden state, in float32: (..., d) -> (..., V)."""
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        return logits.float()

    def new_cache(self) -> Any:
        """Return an empty cache of keys and values for `hidden`."""
        return DynamicCache()

    def loss(
        self, prefix: Tensor, ids: Tensor, mask: Tensor, *, prefix_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the summed cross-entropy (nats) of the real tokens after a prefix, and their number.

        Every token under the mask counts: token 0 like any other, and the end-of-text token. Logits are computed for
        these alone, since those of a batch are far larger than anything else in memory.

        Args:
            prefix: The embeddings (B, k, d) before the tokens; the gradient flows to them.
            ids: The tokens, (B, T).
            mask: A bool mask (B, T), False at padding.
            prefix_mask: A bool mask (B, k), False at padding; None: no padding.
        """
        mask = mask.to(self.device)
        targets = ids.to(self.device)[mask]
        logits = self.head(self.predicting(prefix, ids, prefix_mask=prefix_mask)[mask])
        return F.cross_entropy(logits, targets, reduction="sum"), mask.sum()

    def predicting(
        self, prefix: Tensor, ids: Tensor, *, prefix_mask: Tensor | None = None, model: LanguageModel | None = None
    ) -> Tensor:
        """Return the hidden states that predict each of ``ids``: those at positions k - 1 to k + T - 2, (B, T, d).

        Args:
            prefix: The embeddings (B, k, d) before the tokens, k at least 1.
            ids: The tokens, (B, T).
            prefix_mask: A bool mask (B, k), False at padding; None: no padding.
            model: The model that runs in the backbone's place, as in `generate`.
        """
        self._check_room(prefix, prefix_mask, ids.shape[1])
        # the last token predicts nothing that is asked for
        inputs = self.embed(ids[:, :-1])
        prefix, mask = prefix.to(inputs), None
        if prefix_mask is not None:
            prefix, prefix_mask = flush_right(prefix, prefix_mask.to(self.device))
            mask = F.pad(prefix_mask, (0, inputs.shape[1]), value=True)
        states = (model or self).hidden(torch.cat([prefix, inputs], dim=1), mask)
        return states[:, prefix.shape[1] - 1 :]

    def _check_room(self, prefix: Tensor, mask: Tensor | None, tokens: int) -> None:
        longest = prefix.shape[1] if mask is None or not len(mask) else int(mask.sum(dim=1).amax())
        # the last token is never fed back
        if longest + tokens - 1 > self.context:
            raise PolygraftError(
                f"{longest} positions of prefix and {tokens} tokens do not fit into the {self.context} positions of "
                f"{self.name}: ask for fewer tokens or shorten the prefix"
            )

    @torch.inference_mode()
    def generate(
        self,
        prefix: Tensor,
        decoding: Decoding,
        *,
        prefix_mask: Tensor | None = None,
        model: LanguageModel | None = None,
    ) -> list[list[Generation]]:
        """Continue prefixes with text. A batch gives what each of its rows gives alone.

        Sampling too draws for a row what it would draw for that row alone: its random numbers depend on the seed, on
        the number of the text among ``decoding.num_return`` and on the likely tokens, not on the place in the batch.
        Settings of the model's own ``generation_config`` are never looked at.

        Args:
            prefix: The embeddings (B, k, d); a prompt is a prefix of `embed`-ded tokens.
            decoding: The options.
            prefix_mask: A bool mask (B, k), False at padding, which may be anywhere; None: no padding.
            model: The model that runs in the backbone's place, such as one that steers it row by row.

        Returns:
            For each row ``decoding.num_return`` texts: best beam first, or samples in their order.

        Raises:
            PolygraftError: Prefix and ``max_tokens`` together exceed the model's context.
        """
        mask = None if prefix_mask is None else prefix_mask.to(self.device, torch.bool)
        self._check_room(prefix, mask, decoding.max_tokens)
        found = search(model or self, prefix.to(self.device, self.dtype), mask, decoding)
        return [
            [Generation(text=self.decode(one.ids).strip(), ids=tuple(one.ids), score=one.score) for one in row]
            for row in found
        ]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model and tokenizer in transformers' format, weights as safetensors in the dtype they are held in.

        Raises:
            PolygraftError: ``folder`` exists and is not empty.
        """
        with atomic_folder(folder) as partial:
            save_model(self.model, self.tokenizer, partial)


def _special_ids(tokenizer: Any, config: Any, vocabulary: int, name: str) -> tuple[int, int, int]:
    """Return the ids that end, begin and pad a text: the tokenizer's, else the model's, else the one that ends it."""
    text_ids = set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids)
    if not text_ids:
        raise PolygraftError(f"{name} has no tokenizer: its tokenizer.json is missing or empty")
    if (largest := max(text_ids)) >= vocabulary:
        raise PolygraftError(
            f"the tokenizer of {name} goes up to id {largest}, but the model knows {vocabulary} ids: "
            "the two do not belong together"
        )

    def find(role: str) -> int | None:
        found = [getattr(owner, f"{role}_token_id", None) for owner in (tokenizer, config)]
        # models with several ends of text list them
        flat = [ids[0] if isinstance(ids, list) and ids else ids for ids in found]
        return next((number for number in flat if isinstance(number, int) and 0 <= number < vocabulary), None)

    eos, bos, pad = find("eos"), find("bos"), find("pad")
    if eos is None:
        raise PolygraftError(f"{name} has no end-of-text token: set eos_token in its tokenizer_config.json")
    return eos, eos if bos is None else bos, eos if pad is None else pad


class Calibration(nn.Module):
    """Bring prefix vectors to the length of word embeddings: LayerNorm, then one learned gain.

    Without it the first steps of a training are spent on finding the scale that the language model reads.

    Args:
        width: The width of the prefix vectors.
        norm: The mean length of the language model's word embeddings, with which the vectors start.
    """

    def __init__(self, width: int, norm: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gain = nn.Parameter(torch.tensor([norm / width**0.5]))  # FSDP2 takes no scalars

    def forward(self, prefix: Tensor) -> Tensor:
        """Map (B, k, d) to (B, k, d)."""
        calibrated: Tensor = self.norm(prefix) * self.gain
        return calibrated
