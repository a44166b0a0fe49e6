"""The narrator: frames and a question become one vector that retrieves a narration, or a narration word by word.

Shapes: B clips, T frames, L tokens of a question, dv width of frames, d of the language model, D of text vectors.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.checkpoint import (
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
from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.generation.kv_cache import LanguageModel
from backbone.gpt2 import Backbone, Generation
from backbone.io.settings import config_from_dict
from backbone.lora import Adapted
from video.config import NarrateOptions
from video.config import NarratorConfig as NarratorConfig
from video.data.clips import Report
from video.data.feature_cache import VideoCache
from video.model.projection import ClipBatch as ClipBatch
from video.model.projection import (
    NarrationBatch,
    Projection,
    Prompt,
    Questions,
    batch_loss,
    masked_mean,
    vocabulary_loss,
)
from video.timeline.narrate import Narrated, narrate_encoded
from video.timeline.query import EncodedVideo, encode_video
from video.vocabulary.novelty import CalibratedMargin, FixedThreshold, Novelty
from video.vocabulary.vectors import TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary

KIND = "narrator"


class Narrator:
    """Clips become narrations, retrieved or written.

    Args:
        encoder: Frozen, frames to features and texts to vectors of one space.
        backbone: Frozen language model.
        projection: Trained; moved to the language model's device.
        config: What ``projection`` was built from.

    Raises:
        PolygraftError: The frozen models have other widths than ``config``.
    """

    def __init__(
        self, encoder: ImageEncoder, backbone: Backbone, projection: Projection, config: NarratorConfig
    ) -> None:
        check_width(KIND, "an image encoder", encoder.name, encoder.width, config.image_width)
        check_width(KIND, "a language model", backbone.name, backbone.width, config.text_width)
        self.encoder = encoder
        self.backbone = backbone
        self.projection = projection.to(backbone.device)
        self.config = config
        self._merged: tuple[list[tuple[int, int]], dict[str, Tensor]] | None = None
        self._questions = Questions()

    @classmethod
    def build(cls, encoder: ImageEncoder, backbone: Backbone, config: NarratorConfig) -> "Narrator":
        """Return an untrained narrator in evaluation mode; the widths of ``config`` are taken from the frozen models.

        Raises:
            PolygraftError: Frames, question and narration are too long for the language model; narrations are to be
                retrieved, but the encoder has no text side.
        """
        vectors = encoder.encode_text(["a"]).shape[1] if config.answer == "retrieve" else 0
        config = replace(config, image_width=encoder.width, text_width=backbone.width, vector_width=vectors)
        written = config.max_tokens if config.answer == "generate" else 1
        needed = config.max_frames * config.visual_tokens + config.max_question + 1 + written
        if config.body != "none" and needed > backbone.context:
            raise PolygraftError(
                f"max_frames {config.max_frames} of visual_tokens {config.visual_tokens} and max_question "
                f"{config.max_question} need {needed} positions, but {backbone.name!r} has {backbone.context}"
            )
        return cls(encoder, backbone, Projection(config, backbone).eval(), config)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path = STARTER,
        *,
        device: str = "auto",
        dtype: str = "auto",
        backbone: str | Backbone | None = None,
        encoder: str | ImageEncoder | None = None,
    ) -> "Narrator":
        """Load a narrator and the frozen models it was trained on; see `multimodal.captioner.Captioner`.

        Raises:
            PolygraftError: The folder is missing, damaged or of another kind; a frozen model is missing or another.
        """
        checkpoint = load_checkpoint(starter_path(KIND) if folder == STARTER else Path(folder), kind=KIND)
        config = config_from_dict(NarratorConfig, checkpoint.config)
        load_language_model = partial(Backbone.from_pretrained, device=device, dtype=dtype)
        language_model = frozen_part(checkpoint, "language_model", backbone, load_language_model)
        load_encoder = partial(ImageEncoder.from_pretrained, device=device)
        image_encoder = frozen_part(checkpoint, "image_encoder", encoder, load_encoder)
        projection = Projection(config, language_model)
        load_strict(projection, checkpoint.tensors)
        return cls(image_encoder, language_model, projection.eval(), config)

    def save_pretrained(
        self, folder: str | Path, *, card: ModelCard | None = None, record: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the checkpoint folder: the trained weights, the config, and which frozen models they belong to."""
        checkpoint = Checkpoint(
            kind=KIND,
            config=asdict(self.config),
            frozen={
                "language_model": FrozenPart(name=lasting_name(self.backbone.name), sha256=self.backbone.digest),
                "image_encoder": FrozenPart(name=lasting_name(self.encoder.name), sha256=self.encoder.digest),
            },
            tensors=self.projection.state_dict(),
        )
        card = card or ModelCard(title=Path(folder).name, summary="A narrator: videos become narrations.")
        return save_checkpoint(folder, checkpoint, card=card, record=record)

    # From clips to what the language model reads

    @property
    def language_model(self) -> LanguageModel:
        """The frozen model with the changes that were trained."""
        weights = self._tuned()
        return Adapted(backbone=self.backbone, weights=weights) if weights else self.backbone

    def _tuned(self) -> dict[str, Tensor]:
        """Return the changed weights; where no gradient is wanted, those of the last call if nothing has changed.

        Merging low-rank changes writes all matrices of the body, which takes longer than a query.
        """
        tuning = self.projection.tuning
        if torch.is_grad_enabled():
            return tuning.weights(self.backbone)
        state = [(p.data_ptr(), 0 if p.is_inference() else p._version) for p in tuning.parameters()]
        if self._merged is None or self._merged[0] != state:
            self._merged = (state, tuning.weights(self.backbone))
        return self._merged[1]

    def batch(self, frames: Sequence[Tensor], questions: Sequence[str]) -> ClipBatch:
        """Put clips side by side.

        Args:
            frames: Of each clip (T, dv), one frame at least; of more than ``max_frames`` as many are taken evenly.
            questions: One a clip; "" asks nothing.

        Raises:
            PolygraftError: A clip has no frame.
        """
        if any(not len(clip) for clip in frames):
            raise PolygraftError("a clip has no frame: give its video a longer span or more frames a second")
        kept = [evenly(clip, self.config.max_frames) for clip in frames]
        width = max(map(len, kept))
        padded = torch.stack([F.pad(clip, (0, 0, 0, width - len(clip))) for clip in kept])
        tokens = self.backbone.encode(questions, max_tokens=self.config.max_question, eos=False)
        return ClipBatch(
            frames=F.normalize(padded.float(), dim=-1),
            mask=torch.arange(width) < torch.tensor([len(clip) for clip in kept])[:, None],
            question=tokens.ids,
            asked=tokens.mask,
        )

    def prompt(self, batch: ClipBatch) -> Prompt:
        """Return what the language model reads of a batch."""
        batch = batch.to(self.backbone.device)
        frames = self.projection.adapted(batch.frames, batch.mask)
        end = self.backbone.embed(torch.tensor([self.backbone.eos_id]))[0]
        return self.projection.prompt(frames, batch.mask, self.backbone.embed(batch.question), batch.asked, end)

    def query(self, batch: ClipBatch) -> Tensor:
        """Return the vector that retrieves the answer for each clip, (B, D) float32 of length 1.

        A batch gives what each of its clips gives alone. Gradients flow; under ``torch.no_grad`` it is quicker.

        Raises:
            PolygraftError: The narrator writes its answers.
        """
        self._check_answer("retrieve", "writes narrations and has no query vectors")
        batch = batch.to(self.backbone.device)
        mean = masked_mean(batch.frames, batch.mask)
        if self.config.body == "none":
            return self.projection.vector(
                masked_mean(self.projection.adapted(batch.frames, batch.mask), batch.mask), mean
            )
        hidden = self._questions.hidden(self.language_model, self.prompt(batch), batch)
        return self.projection.vector(hidden[:, -1], mean)

    # Videos

    @property
    def novelty(self) -> Novelty:
        """Detector of moments that a vocabulary has no words for: calibrated on held-out clips, or as published."""
        if not self.config.novelty:
            return FixedThreshold()
        first, second, bias, threshold = self.config.novelty
        return CalibratedMargin(weights=(first, second), bias=bias, threshold=threshold)

    @property
    def text_encoder(self) -> TextEncoder:
        """The text side of the encoder, in whose space queries lie."""
        return TextEncoder.of(self.encoder)

    def encode_video(
        self,
        video: str | Path,
        options: NarrateOptions | None = None,
        *,
        cache: str | Path | None = None,
        report: Report | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> EncodedVideo:
        """Sample a video's frames and compute the query vectors of its moments, the first half of `narrate`.

        Args:
            video: A file.
            options: The question, how often it is asked, and how frames are sampled.
            cache: Folder of features of videos; None: nothing is kept.
            report: Called with a sentence about a video that is damaged.
            progress: Called with the time of each frame that is read anew, in seconds.

        Raises:
            PolygraftError: The video cannot be read or shows nothing; the narrator writes its answers.
        """
        self._check_answer("retrieve", "writes narrations and has no query vectors")
        with ExitStack() as stack:
            folder = Path(cache) if cache else Path(stack.enter_context(TemporaryDirectory()))
            features = VideoCache(folder, self.encoder)
            wanted = options or NarrateOptions()
            return encode_video(Path(video), self._ask, features, wanted, report=report, progress=progress)

    @torch.no_grad()
    def _ask(self, frames: Sequence[Tensor], questions: Sequence[str]) -> Tensor:
        return self.query(self.batch(frames, questions))

    def narrate_encoded(self, encoded: EncodedVideo, vocabulary: NarrationVocabulary) -> list[Narrated]:
        """Retrieve the narrations of an encoded video, the second half of `narrate`."""
        vocabulary.check_encoder(self.text_encoder.part)
        scale = float(self.projection.scale.detach())
        return narrate_encoded(encoded, vocabulary, scale=scale, novelty=self.novelty)

    def narrate(
        self,
        video: str | Path,
        vocabulary: NarrationVocabulary,
        options: NarrateOptions | None = None,
        *,
        cache: str | Path | None = None,
    ) -> list[Narrated]:
        """Return what happens in a video, when: spans in the order of time, each with a narration of the vocabulary.

        Args:
            video: A file; of any length, its frames are never held together.
            vocabulary: With vectors of this narrator's text encoder.
            options: What is asked, how often, how steady the answers are.
            cache: Folder of features of videos, so that a video is decoded once; None: nothing is kept.

        Raises:
            PolygraftError: The video cannot be read or shows nothing; the vocabulary has no vectors, is damaged, or was
                made with another text encoder; the narrator writes its answers.
        """
        vocabulary.check_encoder(self.text_encoder.part)
        return self.narrate_encoded(self.encode_video(video, options, cache=cache), vocabulary)

    @torch.no_grad()
    def generate(self, batch: ClipBatch, decoding: Decoding | None = None) -> list[list[Generation]]:
        """Write the answer for each clip, see `Backbone.generate`; greedily by default.

        Raises:
            PolygraftError: The narrator retrieves its answers.
        """
        self._check_answer("generate", "retrieves narrations and writes none")
        prompt = self.prompt(batch)
        wanted = decoding or Decoding(max_tokens=self.config.max_tokens)
        return self.backbone.generate(prompt.embeds, wanted, prefix_mask=prompt.mask, model=self.language_model)

    def _check_answer(self, wanted: str, found: str) -> None:
        if self.config.answer != wanted:
            raise PolygraftError(f"this narrator {found}: train one with --answer {wanted}")

    # Learning

    def loss(self, batch: NarrationBatch, vocabulary: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch (nats) summed over what is predicted, and how much that is.

        Where narrations are retrieved a clip is predicted, see `video.model.projection`; where they are written, a
        token, the end of text included.

        Args:
            batch: Clips with their narrations.
            vocabulary: (N, D) vectors of the distinct texts, on the language model's device; ignored where
                narrations are written.
        """
        batch = batch.to(self.backbone.device)
        if self.config.answer == "generate":
            prompt, model = self.prompt(batch.clips), self.language_model
            states = self.backbone.predicting(prompt.embeds, batch.ids, prefix_mask=prompt.mask, model=model)
            logits = self.backbone.head(states[batch.mask])
            return F.cross_entropy(logits, batch.ids[batch.mask], reduction="sum"), batch.mask.sum()
        queries, scale = self.query(batch.clips), self.projection.scale
        with torch.autocast(queries.device.type, enabled=False):  # half precision would blur cosines times 1 / 0.05
            if self.config.loss == "batch":
                found = batch_loss(queries, vocabulary[batch.rows].to(queries), batch.rows, scale)
            else:
                found = vocabulary_loss(queries, vocabulary, batch.rows, scale)
        return found, found.new_tensor(len(batch.rows))


def evenly(frames: Tensor, limit: int) -> Tensor:
    """Return ``limit`` of the frames (T, dv) at even distances, the first and the last among them; all if so few."""
    if len(frames) <= limit:
        return frames
    return frames[torch.linspace(0, len(frames) - 1, limit).round().long()]
