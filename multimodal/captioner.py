"""The captioner: a frozen image encoder, a small trained mapper and a frozen language model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from backbone.checkpoint import (
    Checkpoint,
    FrozenPart,
    ModelCard,
    check_frozen,
    config_from_dict,
    load_checkpoint,
    load_strict,
    save_checkpoint,
)
from backbone.clip import ImageEncoder
from backbone.decoding import Decoding
from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone, Generation
from backbone.images import open_image
from backbone.starter import starter_path
from multimodal.batches import CaptionBatch
from multimodal.config import CaptionerConfig as CaptionerConfig
from multimodal.mapper import build_mapper

KIND = "captioner"
STARTER = "starter"
_OPTIONS = {"language_model": "--backbone (Python: backbone=)", "image_encoder": "--clip (Python: encoder=)"}

Frozen = TypeVar("Frozen", Backbone, ImageEncoder)

Picture = Path | str | bytes | Image.Image
Pictures = Sequence[Picture] | Tensor
"""Pictures, or their pooled features (N, dv)."""


class Captioner:
    """Pictures become captions.

    Args:
        encoder: frozen, pictures to features.
        backbone: frozen language model.
        mapper: trained, features (B, dv) to a prefix (B, k, d); moved to the language model's device.
        config: what ``mapper`` was built from.

    Raises:
        PolygraftError: the frozen models have other widths than ``config``.
    """

    def __init__(self, encoder: ImageEncoder, backbone: Backbone, mapper: nn.Module, config: CaptionerConfig) -> None:
        _check_width("an image encoder", encoder.name, encoder.width, config.image_width)
        _check_width("a language model", backbone.name, backbone.width, config.text_width)
        self.encoder = encoder
        self.backbone = backbone
        self.mapper = mapper.to(backbone.device)
        self.config = config

    @classmethod
    def build(cls, encoder: ImageEncoder, backbone: Backbone, config: CaptionerConfig) -> "Captioner":
        """Return an untrained captioner; the widths of ``config`` are taken from the frozen models.

        Raises:
            PolygraftError: prefix and caption are too long for the language model, or a width does not fit.
        """
        config = replace(config, image_width=encoder.width, text_width=backbone.width)
        needed = config.prefix_length + config.max_tokens
        if needed > backbone.context:
            raise PolygraftError(
                f"prefix_length {config.prefix_length} and max_tokens {config.max_tokens} need {needed} positions, "
                f"but the language model {backbone.name!r} has {backbone.context}"
            )
        return cls(encoder, backbone, build_mapper(config, embedding_norm=backbone.embedding_norm), config)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path = STARTER,
        *,
        device: str = "auto",
        dtype: str = "auto",
        backbone: str | Backbone | None = None,
        encoder: str | ImageEncoder | None = None,
    ) -> "Captioner":
        """Load a captioner and the frozen models it was trained on.

        Args:
            folder: a checkpoint folder, or ``starter`` for the one that ships with the package.
            device: where to compute; ``auto`` takes CUDA, then MPS, then the CPU.
            dtype: precision of the frozen language model.
            backbone: the language model, where it is not found under the name that the checkpoint holds.
            encoder: the image encoder, likewise.

        Raises:
            PolygraftError: the folder is missing, damaged or of another kind; a frozen model is missing or another.
        """
        path = starter_path(KIND) if folder == STARTER else Path(folder)
        checkpoint = load_checkpoint(path, kind=KIND)
        config = config_from_dict(CaptionerConfig, checkpoint.config)
        language_model = _frozen_part(
            checkpoint,
            "language_model",
            backbone,
            lambda name: Backbone.from_pretrained(name, device=device, dtype=dtype),
        )
        image_encoder = _frozen_part(
            checkpoint, "image_encoder", encoder, lambda name: ImageEncoder.from_pretrained(name, device=device)
        )
        mapper = build_mapper(config)
        load_strict(mapper, checkpoint.tensors)
        return cls(image_encoder, language_model, mapper.eval(), config)

    def save_pretrained(
        self, folder: str | Path, *, card: ModelCard | None = None, record: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the checkpoint folder: the mapper's weights, the config, and which frozen models they belong to.

        Args:
            folder: where; an older checkpoint there is replaced.
            card: what people should know; a plain one by default.
            record: how it was trained, for ``training.json``.
        """
        checkpoint = Checkpoint(
            kind=KIND,
            config=asdict(self.config),
            frozen={
                "language_model": FrozenPart(name=_lasting(self.backbone.name), sha256=self.backbone.digest),
                "image_encoder": FrozenPart(name=_lasting(self.encoder.name), sha256=self.encoder.digest),
            },
            tensors=self.mapper.state_dict(),
        )
        card = card or ModelCard(title=Path(folder).name, summary="A captioner: pictures become text.")
        return save_checkpoint(folder, checkpoint, card=card, record=record)

    def prefix(self, pooled: Tensor) -> Tensor:
        """Map pooled features (B, dv) to the prefix (B, k, d) that the language model reads."""
        prefix: Tensor = self.mapper(pooled.to(self.backbone.device, torch.float32))
        return prefix

    def loss(self, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of the captions summed over their tokens, and the number of tokens.

        The targets are the caption's tokens and the end of text; prefix and padding are no targets.
        """
        batch = batch.to(self.backbone.device)
        return self.backbone.loss(self.prefix(batch.pooled), batch.ids, batch.mask)

    @torch.no_grad()
    def generate(
        self, pictures: Pictures, decoding: Decoding | None = None, *, batch_size: int = 32
    ) -> list[list[Generation]]:
        """Caption pictures; returns for each its ``decoding.num_return`` captions with tokens and scores.

        Args:
            pictures: files, bytes or images of Pillow; or pooled features (N, dv), which are not encoded again.
            decoding: how to search for the text; greedy by default.
            batch_size: pictures at a time.

        Raises:
            PolygraftError: a picture cannot be read.
        """
        found: list[list[Generation]] = []
        for pooled in self._features(pictures, batch_size):
            found += self.backbone.generate(self.prefix(pooled), decoding or Decoding())
        return found

    def caption(self, pictures: Pictures, decoding: Decoding | None = None, *, batch_size: int = 32) -> list[list[str]]:
        """Caption pictures as `generate` does; returns the texts alone, ``decoding.num_return`` for each picture."""
        found = self.generate(pictures, decoding, batch_size=batch_size)
        return [[generation.text for generation in row] for row in found]

    def _features(self, pictures: Pictures, batch_size: int) -> Iterator[Tensor]:
        """Yield pooled features, a batch at a time."""
        for start in range(0, len(pictures), batch_size):
            batch = pictures[start : start + batch_size]
            if isinstance(batch, Tensor):
                yield batch
            else:
                yield self.encoder.encode([open_image(picture) for picture in batch]).pooled


class CaptionObjective(nn.Module):
    """What `fit` trains: the mapper, judged by the frozen language model, which is no submodule.

    Args:
        captioner: its mapper is trained in place.
    """

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.mapper = captioner.mapper
        self.backbone = captioner.backbone
        self._prefix_norm = torch.zeros(())

    def forward(self, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch and its number of tokens."""
        batch = batch.to(self.backbone.device)
        prefix = self.mapper(batch.pooled)
        self._prefix_norm = prefix.detach().norm(dim=-1).mean()
        return self.backbone.loss(prefix, batch.ids, batch.mask)

    def health(self) -> dict[str, float]:
        """Return the length of the last prefixes over that of word embeddings: near 1 is healthy."""
        return {"prefix_over_embedding": float(self._prefix_norm) / self.backbone.embedding_norm}


def _check_width(part: str, name: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise PolygraftError(f"the captioner needs {part} of width {wanted}, but {name!r} has {found}")


def _lasting(name: str) -> str:
    """Return a name that holds from another working directory: files and folders by their full path."""
    model, colon, file = name.rpartition(":")
    return f"{model}{colon}{Path(file).resolve()}" if name != STARTER and Path(file).exists() else name


def _frozen_part(
    checkpoint: Checkpoint, role: str, given: str | Frozen | None, load: Callable[[str], Frozen]
) -> Frozen:
    """Return the frozen model of ``role``: the one given, or loaded by the name given or kept in the checkpoint."""
    if given is None or isinstance(given, str):
        if role not in checkpoint.frozen:
            raise PolygraftError(f"this {checkpoint.kind} names no {role}: it was saved by something else")
        name = given or checkpoint.frozen[role].name
        try:
            given = load(name)
        except PolygraftError as error:
            advice = f"if it lies elsewhere, say where with {_OPTIONS[role]}"
            raise PolygraftError(f"this {checkpoint.kind} needs the {role} {name!r}, but {error} ({advice})") from error
    check_frozen(checkpoint, role, given.name, given.digest)
    return given
