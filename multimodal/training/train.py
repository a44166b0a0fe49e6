"""Trains a captioner on images and captions, and writes its metrics and model card."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from backbone.checkpoint import ModelCard, load_strict
from backbone.errors import PolygraftError
from backbone.training.config import TrainConfig
from backbone.training.loop import FitResult, fit
from backbone.training.sampler import Batches
from multimodal.batches import CaptionBatch, CaptionBatches, CaptionSet
from multimodal.captioner import Captioner
from multimodal.config import Objective
from multimodal.model.mapper import build_mapper
from multimodal.model.user_mapper import ImageInput
from multimodal.profile.profile import Context
from multimodal.profile.tensors import UserBatch, UserTensors
from multimodal.training.reward import ImageBatches, RewardObjective
from multimodal.training.validation import CaptionValidation

_SOURCES = {
    "mlp": "an MLP, ClipCap, Mokady et al. 2021",
    "transformer": "a transformer, ClipCap, Mokady et al. 2021",
    "query": "learned queries, the image's part of the design of Wang et al. 2023",
    "user": "user-aware, the design of Wang et al. 2023",
}


class CaptionObjective(nn.Module):
    """The mapper, judged by the frozen language model, which is no submodule.

    Args:
        captioner: The captioner, whose mapper is trained in place.

    Raises:
        PolygraftError: it takes features that are not normalised, which batches do not hold.
    """

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        if not captioner.config.normalize:
            raise PolygraftError("a captioner whose image features are not normalised, as ClipCap's, is not trained on")
        self.mapper = captioner.mapper
        self.backbone = captioner.backbone
        self.config = captioner.config
        self._captioner = captioner
        self._prefix_norm = torch.zeros(())

    def forward(self, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
        """Return the summed loss of a batch and its number of tokens."""
        batch = batch.to(self.backbone.device)
        image = ImageInput(pooled=batch.pooled, grid=batch.grid)
        user = self._dropped(batch.user) if batch.user is not None else None
        prefix = self._captioner.prefix_of(image, user)
        self._prefix_norm = prefix.embeds.detach().norm(dim=-1).mean()
        tokens = self._captioner.token_scores(prefix, batch.ids, batch.mask)
        return -tokens.sum(), torch.tensor(len(tokens), device=tokens.device)

    def _dropped(self, user: UserBatch) -> UserBatch:
        if not self.training or not self.config.user_dropout:
            return user
        return user.only(torch.rand(len(user.known), device=user.known.device) >= self.config.user_dropout)

    def health(self) -> dict[str, float]:
        """Return the length of the last prefixes over that of word embeddings: near 1 is healthy."""
        return {"prefix_over_embedding": float(self._prefix_norm) / self.backbone.embedding_norm}


@dataclass(frozen=True, kw_only=True)
class TrainedCaptioner:
    """A trained captioner and how it came about."""

    captioner: Captioner
    result: FitResult
    collapsed: bool  # whether it says the same about nearly all validation images
    captions: int  # how many it learned from
    images: int
    validation: int  # images held out


def train_captioner(
    captioner: Captioner,
    data: CaptionSet,
    config: TrainConfig,
    *,
    validation: CaptionSet | None = None,
    folder: Path | None = None,
    users: Sequence[Context] | None = None,
    validation_users: Sequence[Context] | None = None,
    objective: Objective = "likelihood",
) -> TrainedCaptioner:
    """Train the mapper of ``captioner``.

    Args:
        captioner: The captioner, a fresh one or one to train on.
        data: The images and captions to learn from.
        config: How it is trained; ``eval_every`` and ``patience`` need ``validation``.
        validation: The held-out images: they choose the weights that are kept and stop a collapsed training.
        folder: Keeps the log and the state to resume from; calling again with it continues.
        users: What is shown of the author of each caption of ``data``, where the mapper knows users.
        validation_users: Likewise of ``validation``.
        objective: ``likelihood`` of the captions, a sample of ``batch_size`` being a caption; or ``cider``, the
            CIDEr-D of sampled captions, a sample being an image, see `multimodal.training.reward`.

    Raises:
        CollapseError: the captioner says the same about nearly all validation images.
        PolygraftError: see `backbone.training.loop.fit`.
    """
    evaluate = CaptionValidation(captioner, validation, users=validation_users) if validation else None
    shown = UserTensors(users, captioner.backbone, captioner.config.past_tokens) if users is not None else None
    if objective == "cider":
        module: nn.Module = RewardObjective(captioner, data)
        batches: Batches = ImageBatches(data)
    else:
        module = CaptionObjective(captioner)
        batches = CaptionBatches(data, captioner.backbone, captioner.config.max_tokens, shown)
    result = fit(module, batches, config, folder=folder, evaluate=evaluate)
    # a fresh mapper: under FSDP2 the one that was trained stays in shards, while the result is whole on every process
    mapper = build_mapper(captioner.config)
    load_strict(mapper, {name.removeprefix("mapper."): tensor for name, tensor in result.tensors.items()})
    return TrainedCaptioner(
        captioner=Captioner(captioner.encoder, captioner.backbone, mapper.eval(), captioner.config, captioner.table),
        result=result,
        collapsed=evaluate is not None and evaluate.guard.is_low(result.metrics["distinct"]),
        captions=len(data.rows),
        images=len(set(data.rows)),
        validation=len(validation.features) if validation else 0,
    )


def describe(trained: TrainedCaptioner, *, title: str, source: str) -> ModelCard:
    """Return the card of a trained captioner.

    Args:
        trained: What `train_captioner` gave.
        title: The heading of the card.
        source: Where the posts came from.
    """
    config, result = trained.captioner.config, trained.result
    limits = "It knows the kind of image and the kind of caption it was trained on, and no others."
    if trained.collapsed:
        limits += " It has collapsed: it says the same about nearly all images."
    return ModelCard(
        title=title,
        summary=(
            f"A captioner: a mapper ({_SOURCES[config.mapper]}) turns the features of an image "
            f"into {config.prefix_length} prefix vectors for a frozen language model."
        ),
        data=f"{trained.captions} captions of {trained.images} images from `{source}`.",
        use='`polygraft caption --model FOLDER a.jpg`, or `Captioner.from_pretrained(FOLDER).caption(["a.jpg"])`.',
        limits=limits,
        metrics=_metrics(trained) + f"\n\nTrained in {result.steps} steps, {result.seconds:.0f} seconds.",
    )


def _metrics(trained: TrainedCaptioner) -> str:
    if not trained.validation:
        return "Not measured: nothing was held out."
    rows = [f"| {name} | {value:.4f} |" for name, value in trained.result.metrics.items() if name != "score"]
    intro = f"On {trained.validation} held-out images (texts are compared on 256 of them at most), greedy decoding:"
    return "\n".join([intro, "", "| figure | value |", "|---|---|", *rows])
