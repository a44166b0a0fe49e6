"""The captioner: a frozen image encoder, a small trained mapper and a frozen language model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from backbone.checkpoint import (
    INSIDE,
    STARTER,
    Checkpoint,
    FrozenPart,
    ModelCard,
    check_width,
    frozen_part,
    lasting_name,
    load_checkpoint,
    load_strict,
    save_checkpoint,
    starter_path,
)
from backbone.clip import Features, ImageEncoder
from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.generation.kv_cache import LanguageModel
from backbone.gpt2 import Backbone, Generation
from backbone.io.files import atomic_folder
from backbone.io.images import open_image
from multimodal.batches import CaptionBatch
from multimodal.config import CaptionerConfig as CaptionerConfig
from multimodal.model.mapper import build_mapper
from multimodal.model.steering import CopyHead, Prefix, guide, steer
from multimodal.model.user_mapper import ImageInput
from multimodal.profile.profile import Context, ContextLimits, PastCaption, Profile
from multimodal.profile.tensors import UserBatch, UserTensors, embedded, nobody, word_vectors
from multimodal.profile.text_features import NO_WORDS, WordTable
from multimodal.users.neighbors import Neighbours

KIND = "captioner"
PERSONAL = f"{STARTER}-personal"
_SHIPPED = {STARTER: KIND, PERSONAL: "personal"}

ImageSource = Path | str | bytes | Image.Image
Images = Sequence[ImageSource] | Features | Tensor
"""Images; or their features, or pooled features (N, dv) as `Captioner.image` takes them."""
Users = Profile | Sequence[Context] | None
"""Whose captions: one user's for all images, or what is shown of a user for each image; None: no user."""


class Captioner:
    """Images become captions, in the style of a user where the mapper knows users.

    Args:
        encoder: The frozen image encoder.
        backbone: The frozen language model.
        mapper: The trained part, features to a prefix (B, k, d); moved to the language model's device.
        config: What ``mapper`` was built from.
        table: The words by which users are known; None: no words are.

    Raises:
        PolygraftError: the frozen models have other widths than ``config``.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        backbone: Backbone,
        mapper: nn.Module,
        config: CaptionerConfig,
        table: WordTable | None = None,
    ) -> None:
        check_width(KIND, "an image encoder", encoder.name, encoder.width, config.image_width)
        check_width(KIND, "a language model", backbone.name, backbone.width, config.text_width)
        self.encoder = encoder
        self.backbone = backbone
        self.mapper = mapper.to(backbone.device)
        self.config = config
        self.table = table or NO_WORDS
        self._copying: CopyHead | None = getattr(mapper, "copying", None)

    @classmethod
    def build(
        cls, encoder: ImageEncoder, backbone: Backbone, config: CaptionerConfig, table: WordTable | None = None
    ) -> "Captioner":
        """Return an untrained captioner; the widths of ``config`` are taken from the frozen models.

        Raises:
            PolygraftError: prefix and caption are too long for the language model, or a width does not fit.
        """
        config = config.with_widths(encoder, backbone)
        mapper = build_mapper(config, embedding_norm=backbone.embedding_norm)
        captioner = cls(encoder, backbone, mapper.eval(), config, table)
        prompt = captioner._prompt.shape[1]
        needed = config.prefix_length + prompt + config.max_tokens
        if needed > backbone.context:
            parts = f"prefix_length {config.prefix_length}" + f", the {prompt} tokens of prompt" * bool(prompt)
            raise PolygraftError(
                f"{parts} and max_tokens {config.max_tokens} need {needed} positions, "
                f"but the language model {backbone.name!r} has {backbone.context}"
            )
        return captioner

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
            folder: A checkpoint folder, ``starter`` for the one that ships with the package, or ``starter-personal``
                for the one that knows users.
            device: Where to compute; ``auto`` takes CUDA, then MPS, then the CPU.
            dtype: The precision of the frozen language model.
            backbone: The language model, where it is not found under the name that the checkpoint holds.
            encoder: The image encoder, likewise.

        Raises:
            PolygraftError: the folder is missing, damaged or of another kind; a frozen model is missing or another.
        """
        path = starter_path(_SHIPPED[str(folder)]) if str(folder) in _SHIPPED else Path(folder)
        checkpoint = load_checkpoint(path, kind=KIND)
        config = CaptionerConfig.from_dict(checkpoint.config)
        load_language_model = partial(Backbone.from_pretrained, device=device, dtype=dtype)
        language_model = frozen_part(checkpoint, "language_model", backbone, load_language_model)
        load_encoder = partial(ImageEncoder.from_pretrained, device=device)
        image_encoder = frozen_part(checkpoint, "image_encoder", encoder, load_encoder)
        mapper = build_mapper(config)
        load_strict(mapper, checkpoint.tensors)
        table = WordTable.from_json(checkpoint.tables.get("words")) if config.knows_users else None
        return cls(image_encoder, language_model, mapper.eval(), config, table)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        card: ModelCard | None = None,
        record: Mapping[str, Any] | None = None,
        with_language_model: bool = False,
    ) -> Path:
        """Write the checkpoint folder: the mapper's weights, the config, and which frozen models they belong to.

        Args:
            folder: The folder; an older checkpoint in it is replaced.
            card: What people should know; a plain one by default.
            record: How it was trained, for ``training.json``.
            with_language_model: Put the language model into the folder too, in transformers' format; for one that is
                nowhere else. The folder must then be new or empty.
        """
        name = f"{INSIDE}language_model" if with_language_model else lasting_name(self.backbone.name)
        checkpoint = Checkpoint(
            kind=KIND,
            config=asdict(self.config),
            frozen={
                "language_model": FrozenPart(name=name, sha256=self.backbone.digest),
                "image_encoder": FrozenPart(name=lasting_name(self.encoder.name), sha256=self.encoder.digest),
            },
            tensors=self.mapper.state_dict(),
            tables={"words": self.table.to_json()} if self.config.knows_users else {},
        )
        card = card or ModelCard(title=Path(folder).name, summary="A captioner: images become text.")
        if not with_language_model:
            return save_checkpoint(folder, checkpoint, card=card, record=record)
        with atomic_folder(folder) as partial:
            save_checkpoint(partial, checkpoint, card=card, record=record)
            self.backbone.save_pretrained(partial / name)
        return Path(folder)

    # From images and users to prefixes

    @property
    def limits(self) -> ContextLimits:
        """How much of a user the mapper reads."""
        return ContextLimits(words=self.config.words, posts=self.config.past_posts)

    def image(self, features: Features | Tensor) -> ImageInput:
        """Return features as the mapper takes them: of length 1, or as long as the encoder gives them.

        Args:
            features: The features of B images; or pooled features (B, dv) that are already so.

        Raises:
            PolygraftError: their length or grid features are needed and are not there.
        """
        if isinstance(features, Tensor):
            features = Features(pooled=features, norm=torch.ones_like(features[:, 0]))
        if self.config.features == "grid" and features.grid is None:
            raise PolygraftError("this captioner reads grid features: give it the images, or features with a grid")
        if not self.config.normalize and features.norm is None:
            raise PolygraftError(
                "this captioner takes image features that are not normalised, and a cache keeps no others: "
                "give it the images themselves"
            )
        length = 1.0 if self.config.normalize or features.norm is None else features.norm[:, None]
        return ImageInput(pooled=features.pooled * length, grid=features.grid)

    def users(self, users: Users, features: Features | Tensor) -> UserBatch | None:
        """Return what is shown of a user for each of B images, as the mapper takes it; None for nobody.

        Raises:
            PolygraftError: the mapper knows no users, or see `contexts`.
        """
        if users is None:
            return None
        if not self.config.knows_users:
            raise PolygraftError("this captioner knows no users: train one with --preset default")
        if isinstance(users, Profile):
            users = self.contexts(users, features)
        shown = [replace(context, posts=context.posts[: self.config.past_posts]) for context in users]
        return UserTensors(shown, self.backbone, self.config.past_tokens).batch(range(len(shown)))

    def contexts(
        self, profile: Profile, features: Features | Tensor, *, neighbours: Neighbours | None = None, voters: int = 0
    ) -> list[Context]:
        """Return what is shown of a user for each of B images.

        Args:
            profile: The user.
            features: The features of the images.
            neighbours: Other users, who share past captions; None: nobody.
            voters: See `ContextLimits`; the mapper does not read them.

        Raises:
            PolygraftError: the profile's features come from another encoder.
        """
        if profile.pooled is not None and profile.encoder != self.encoder.digest:
            raise PolygraftError(
                f"the profile of {profile.user!r} was made with another image encoder: make it again from the posts"
            )
        pooled = (features if isinstance(features, Tensor) else features.pooled).float().cpu().numpy()
        limits = replace(self.limits, voters=voters)
        borrowed: list[list[PastCaption]] = [[] for _ in pooled]
        if neighbours is not None:
            borrowed = [
                # what the user wrote of this very image must not tell who writes alike, as in training
                neighbours.borrowed(similarity, neighbours.trust(~profile.same_image(row)), limits.borrows)
                for row, similarity in zip(pooled, neighbours.similarity(pooled), strict=True)
            ]
        pairs = zip(pooled, borrowed, strict=True)
        return [profile.context(row, self.table, limits, borrowed=more) for row, more in pairs]

    def prefix(self, features: Features | Tensor, users: Users = None) -> Prefix:
        """Map features of B images to what the language model reads; see `users`."""
        return self.prefix_of(self.image(features), self.users(users, features))

    def prefix_of(self, image: ImageInput, user: UserBatch | None = None) -> Prefix:
        """Map features, and what is shown of users, to what the language model reads."""
        device = self.backbone.device
        grid = None if image.grid is None else image.grid.to(device, torch.float32)
        image = ImageInput(pooled=image.pooled.to(device, torch.float32), grid=grid)
        if not self.config.knows_users:
            return self._prompted(Prefix(embeds=self.mapper(image if self.config.has_queries else image.pooled)))
        user = (nobody(len(image.pooled), self.backbone) if user is None else user).to(device)
        return self._prompted(self.mapper(image, embedded(user, self.backbone, self._word_vectors)))

    def _prompted(self, prefix: Prefix) -> Prefix:
        """Put the embeddings of the prompt after the prefix vectors."""
        if not self.config.prompt:
            return prefix
        prompt = self.backbone.embed(self._prompt).to(prefix.embeds.dtype).expand(len(prefix.embeds), -1, -1)
        return replace(prefix, embeds=torch.cat([prefix.embeds, prompt], dim=1))

    @cached_property
    def _prompt(self) -> Tensor:
        return self.backbone.encode([self.config.prompt], max_tokens=self.backbone.context, eos=False).ids

    @cached_property
    def _word_vectors(self) -> Tensor:
        vectors = word_vectors(self.table, self.backbone)
        return torch.cat([vectors, vectors.new_zeros(1, self.backbone.width)])  # for the padding of an empty table

    def _model(self, prefix: Prefix) -> LanguageModel | None:
        """Return what stands in the language model's place, so that it copies; None: nothing."""
        return None if prefix.memory is None else steer(self.backbone, prefix, self._copying)

    # Learning and scoring

    def loss(self, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of the captions summed over their tokens, and the number of tokens.

        The targets are the caption's tokens and the end of text; prefix and padding are no targets.
        """
        tokens = self._token_scores(batch)
        return -tokens.sum(), torch.tensor(len(tokens), device=tokens.device)

    @torch.no_grad()
    def score(self, images: Images, texts: Sequence[str], users: Users = None, *, batch_size: int = 32) -> list[float]:
        """Return the log-probability (nats) of one text for each image, its end included."""
        found: list[float] = []
        tokens = self.backbone.encode(texts, max_tokens=self.config.max_tokens)
        for rows, image, user in self._inputs(images, users, batch_size):
            batch = CaptionBatch(
                pooled=image.pooled, grid=image.grid, ids=tokens.ids[rows], mask=tokens.mask[rows], user=user
            )
            found += batch.by_row(self._token_scores(batch)).tolist()
        return found

    def _token_scores(self, batch: CaptionBatch) -> Tensor:
        batch = batch.to(self.backbone.device)
        prefix = self.prefix_of(ImageInput(pooled=batch.pooled, grid=batch.grid), batch.user)
        return self.token_scores(prefix, batch.ids, batch.mask)

    def token_scores(self, prefix: Prefix, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the log-probabilities (nats) of the real tokens of ``ids`` (B, T) under ``mask`` after a prefix, (N,).

        They are float32, row by row; see `CaptionBatch.by_row`.
        """
        states = self.backbone.predicting(prefix.embeds, ids, model=self._model(prefix))
        # logits for the real tokens alone: those of a batch are far larger than anything else in memory
        logits = self.backbone.head(states[mask][:, : self.backbone.width])
        spoken = -F.cross_entropy(logits, ids[mask], reduction="none")
        if prefix.memory is None or self._copying is None:
            return spoken
        own = states.new_zeros(ids.shape, dtype=torch.float32).masked_scatter(mask, spoken)
        return self._copying.target(own, ids, states, prefix.memory)[mask]

    # Captions

    @torch.no_grad()
    def generate(
        self,
        images: Images,
        decoding: Decoding | None = None,
        *,
        users: Users = None,
        personal: float = 1.0,
        batch_size: int = 32,
    ) -> list[list[Generation]]:
        """Caption images; returns for each its ``decoding.num_return`` captions with tokens and scores.

        Args:
            images: Files, bytes or images of Pillow; or features, which are not encoded again.
            decoding: How to search for the text; greedy by default.
            users: Whose style the captions are in.
            personal: The strength of the style: 0 like nobody, 1 as it was learned, above 1 more than that (guidance).
            batch_size: The number of images at a time.

        Raises:
            PolygraftError: an image cannot be read, or see `users`.
        """
        found: list[list[Generation]] = []
        for _, image, user in self._inputs(images, users, batch_size):
            found += self._search(image, user, decoding or Decoding(), personal)
        return [[self._ended(generation) for generation in row] for row in found] if self.config.full_stop else found

    def _search(
        self, image: ImageInput, user: UserBatch | None, decoding: Decoding, personal: float
    ) -> list[list[Generation]]:
        prefix = self.prefix_of(image, user if personal else None)
        embeds, model = prefix.embeds, self._model(prefix)
        if user is not None and personal not in (0.0, 1.0):
            without = self.prefix_of(image, user.only(torch.zeros_like(user.known)))
            embeds = torch.cat([prefix.embeds, without.embeds], dim=-1)
            model = guide(self.backbone, prefix, without, self._copying, personal)
        return self.backbone.generate(embeds, decoding, model=model)

    def _ended(self, generation: Generation) -> Generation:
        # its score is still that of the whole
        stop = int(self.backbone.encode(["."], max_tokens=1, eos=False).ids[0, 0])
        if stop not in generation.ids:
            return generation
        ids = generation.ids[: generation.ids.index(stop) + 1]
        return replace(generation, ids=ids, text=self.backbone.decode(ids).strip())

    def caption(
        self,
        images: Images,
        decoding: Decoding | None = None,
        *,
        users: Users = None,
        personal: float = 1.0,
        batch_size: int = 32,
    ) -> list[list[str]]:
        """Caption images as `generate` does; returns the texts alone, ``decoding.num_return`` for each image."""
        found = self.generate(images, decoding, users=users, personal=personal, batch_size=batch_size)
        return [[generation.text for generation in row] for row in found]

    def _inputs(
        self, images: Images, users: Users, batch_size: int
    ) -> Iterator[tuple[slice, ImageInput, UserBatch | None]]:
        count = len(images.pooled) if isinstance(images, Features) else len(images)
        for start in range(0, count, batch_size):
            rows = slice(start, min(count, start + batch_size))
            if isinstance(images, Tensor):
                features: Features | Tensor = images[rows]
            elif isinstance(images, Features):
                features = images.take(rows)
            else:
                opened = [open_image(image) for image in images[rows]]
                features = self.encoder.encode(opened, grid=self.config.features == "grid")
            some = users if users is None or isinstance(users, Profile) else users[rows]
            yield rows, self.image(features), self.users(some, features)
