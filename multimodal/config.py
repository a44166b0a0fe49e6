"""CaptionerConfig: arguments, checkpoint config and command-line flags of a captioner; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.settings import check_range, config_from_dict

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone

_COUNTS = (
    "prefix_length", "clip_length", "layers", "heads", "max_tokens", "past_tokens", "mapping_layers", "fusion_layers",
)  # fmt: skip
_SIZES = ("width", "words", "past_posts")
_WIDTHS = ("image_width", "grid_width", "text_width")
_LARGEST_BOTTLENECK = 512

# options of the first checkpoints that measured no gain, and the values at which they were off; None: of training alone
_RETIRED = {
    "user_encoder": "embedding", "prompt_posts": 0, "deep": 0, "text_layers": 0, "text_heads": 0, "negatives": None,
    "negative_weight": None, "prefix": "queries",
}  # fmt: skip
# options of later checkpoints, at the values that say what earlier ones do
_ADDED = {"prompt": ""}

Objective = Literal["likelihood", "cider"]

Preset = Literal["clipcap", "default", "paper"]

PRESETS: dict[Preset, dict[str, Any]] = {
    "clipcap": {},
    "default": {"mapper": "user", "prefix_length": 20},
    "paper": {
        "mapper": "user", "prefix_length": 20, "clip_length": 1, "width": -1, "mapping_layers": 5, "fusion_layers": 5,
        "past_posts": 0, "style": False, "copy": False, "user_dropout": 0.0,
    },
}  # fmt: skip
"""Settings by name: ClipCap's mapper, which knows no user; ours; and the published design alone, at full width."""


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """The trained part of a captioner: a network that turns image features into a prefix for the language model."""

    mapper: Literal["mlp", "transformer", "query", "user"] = "mlp"
    """ClipCap's mapping network: mlp, or transformer (8 layers attending to the image); query: learned queries that
    read pooled or grid features; user: these and a user."""
    prefix_length: int = 10
    """Prefix vectors that the language model reads before the caption; the queries of the query and user mappers."""
    prompt: str = ""
    """Text that the language model reads between prefix and caption, such as the line break after which it was taught
    to write a caption."""
    clip_length: int = 10
    """Slots that all mappers but mlp unfold the pooled features into."""
    layers: int = 8
    """Layers of the transformer mapper."""
    heads: int = 8
    """Attention heads of the mapper."""
    calibrate: bool = True
    """Give prefix vectors the length of word embeddings, by a norm and a learned gain; off: ClipCap's own form."""
    max_tokens: int = 40
    """Tokens of a training caption, the end-of-text token included; longer ones are truncated."""
    width: int = 0
    """Width of the query and user mappers; 0: the language model's, 512 at most; -1: the language model's."""
    features: Literal["pooled", "grid"] = "pooled"
    """Image features of the query and user mappers: pooled, or pooled and grid."""
    mapping_layers: int = 2
    """Layers in which queries attend to the image."""
    fusion_layers: int = 2
    """Layers of the fusion transformer, in which they attend to the user."""
    dropout: float = 0.1
    """Dropout in the query and user mappers."""
    words: int = 60
    """Characteristic words of the user, by TF-IDF."""
    past_posts: int = 3
    """Past captions in the profile context: those of the user's most similar images."""
    past_tokens: int = 16
    """Tokens per past caption."""
    style: bool = True
    """Use style features of the user: length, case, tags, emoji, punctuation."""
    copy: bool = True
    """Copy tokens of past captions (pointer network)."""
    user_dropout: float = 0.3
    """Share of training captions whose user is hidden, so that the captioner works without one."""
    normalize: tyro.conf.Suppress[bool] = True
    """Whether the mapper takes image features of length 1, or as long as the encoder gives them (most of ClipCap's)."""
    full_stop: tyro.conf.Suppress[bool] = False
    """Whether a caption ends with its first full stop, for weights that learned no end of text (ClipCap's)."""
    image_width: tyro.conf.Suppress[int] = 0
    """Width of the image features; read from the image encoder."""
    grid_width: tyro.conf.Suppress[int] = 0
    """Width of its grid features, where they are used."""
    text_width: tyro.conf.Suppress[int] = 0
    """Width of the language model; read from it."""

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "CaptionerConfig":
        """Return the config of a checkpoint, also of one from before options were retired or added.

        Raises:
            PolygraftError: It uses a retired option, or see `backbone.io.settings.config_from_dict`.
        """
        for name, off in _RETIRED.items():
            if off is not None and saved.get(name, off) != off:
                raise PolygraftError(
                    f"the captioner was trained with {name} {saved[name]!r}, which is gone: train it anew"
                )
        kept = {name: value for name, value in saved.items() if name not in _RETIRED}
        return config_from_dict(cls, _ADDED | kept)

    def __post_init__(self) -> None:
        check_range(self, " ".join(_COUNTS), 1)
        for name in (*_SIZES, *_WIDTHS):
            check_range(self, name, -1 if name == "width" else 0)
        for name in ("dropout", "user_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is 0 up to, not including, 1")
        width = self.mapper_width if self.has_queries else self.text_width
        if self.mapper != "mlp" and width % self.heads:
            raise UsageError(f"heads is {self.heads}, allowed is a divisor of the mapper's width {width}")

    @property
    def mapper_width(self) -> int:
        """Width of the query and user mappers, once that of the language model is known."""
        if self.width > 0:
            return self.width
        return self.text_width if self.width else min(self.text_width, _LARGEST_BOTTLENECK)

    @property
    def has_queries(self) -> bool:
        """Whether learned queries read the image, which may be its grid features."""
        return self.mapper in ("query", "user")

    @property
    def knows_users(self) -> bool:
        """Whether captions depend on who asks."""
        return self.mapper == "user"

    @property
    def copies(self) -> bool:
        """Whether there is something to copy from."""
        return self.copy and self.past_posts > 0

    def with_widths(self, encoder: "ImageEncoder", backbone: "Backbone") -> "CaptionerConfig":
        """Return this config with the widths of the frozen models."""
        return replace(
            self,
            image_width=encoder.width,
            grid_width=encoder.grid_shape[1] if self.features == "grid" and self.has_queries else 0,
            text_width=backbone.width,
        )

    def preset(self, name: Preset) -> "CaptionerConfig":
        """Return this config with the settings of a preset, but for those that differ from the defaults already."""
        own = {field.name for field in fields(self) if getattr(self, field.name) != field.default}
        return replace(self, **{key: value for key, value in PRESETS[name].items() if key not in own})
