"""polygraft convert clipcap coco.pt --mapper mlp --prefix-length 10 --out coco

Convert published ClipCap weights into a captioner: a folder that --model takes, as if it had been trained here.

WEIGHTS is a state dict of ClipCap (github.com/rmokady/CLIP_prefix_caption), saved by torch or as safetensors; only
tensors are read from it. Sizes are read from the tensors and compared with the options. Where the language model was
tuned too, --keep-language-model saves it in the folder; without it captions are worse. The image encoder must be the
one that the weights were trained with: ViT-B-32:openai (width 512) or RN50x4:openai (width 640) for the published ones.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.settings import check_range
from scripts._app.cli import Json, check_free, remark, run_file, tell

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone
    from multimodal.captioner import Captioner
    from multimodal.model.clipcap import ClipCap


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which weights, what they are, and where to keep the captioner."""

    weights: tyro.conf.Positional[Path]
    """File of a ClipCap state dict, such as coco_weights.pt."""
    mapper: Literal["mlp", "transformer"]
    """ClipCap's --mapping_type."""
    prefix_length: int
    """ClipCap's --prefix_length: 10 for coco_weights.pt, 40 for the published transformer."""
    out: Path
    """Folder of the captioner; new or empty."""
    clip_length: int = 0
    """ClipCap's --prefix_length_clip, for the transformer; 0: read from the weights."""
    backbone: str = "gpt2"
    """Language model that the weights were trained with: a folder, or a name on a hub."""
    clip: str = "ViT-B-32:openai"
    """Image encoder that the weights were trained with: MODEL:TAG of open_clip, or a folder."""
    keep_language_model: bool = False
    """Save the tuned language model of the weights in the folder."""
    normalized: bool = False
    """The weights were trained with ClipCap's --normalize_prefix."""
    json: Json = False

    def __post_init__(self) -> None:
        check_range(self, "prefix_length", 1)
        check_range(self, "clip_length", 0)
        if self.clip_length and self.mapper != "transformer":
            raise UsageError(f"clip_length {self.clip_length} does nothing with --mapper {self.mapper}: leave it out")


def main(options: Options) -> int:
    """Convert the weights and print what was read."""
    check_free(options.out)  # before the models are loaded
    from backbone.gpt2 import Backbone
    from multimodal.model.clipcap import Expected, load_state_dict, read_clipcap, tuned_backbone

    tensors = load_state_dict(options.weights)
    # in full precision, so that weights are compared and saved as they are
    backbone = Backbone.from_pretrained(options.backbone, device="cpu", dtype="float32")
    try:
        expected = Expected(
            mapper=options.mapper,
            prefix_length=options.prefix_length,
            clip_length=options.clip_length,
            text_width=backbone.width,
            normalized=options.normalized,
        )
        found = read_clipcap(tensors, expected)
        tuned = tuned_backbone(backbone, found.language_model)
    except PolygraftError as error:
        raise PolygraftError(f"{options.weights}: {error}") from error
    keep = _keep(options, found, is_tuned=tuned is not backbone)
    captioner = _captioner(options, found, tuned if keep else backbone)
    captioner.save_pretrained(
        options.out, card=_card(options), record={"options": asdict(options)}, with_language_model=keep
    )
    _tell(options, captioner, kept=keep)
    return 0


def _keep(options: Options, found: "ClipCap", *, is_tuned: bool) -> bool:
    if options.keep_language_model and not found.language_model:
        raise PolygraftError(f"{options.weights} holds no language model: leave out --keep-language-model")
    if is_tuned and not options.keep_language_model:
        remark(
            f"the tuned language model in {options.weights} is dropped, so captions will be worse: "
            "--keep-language-model keeps it"
        )
    return options.keep_language_model


def _captioner(options: Options, found: "ClipCap", backbone: "Backbone") -> "Captioner":
    from backbone.checkpoint import load_strict
    from backbone.clip import ImageEncoder
    from multimodal.captioner import Captioner
    from multimodal.model.mapper import build_mapper

    encoder = ImageEncoder.from_pretrained(options.clip, device="cpu", dtype="float32")
    if encoder.width != found.config.image_width:
        raise PolygraftError(
            f"{options.weights} takes image features of width {found.config.image_width}, but {options.clip!r} gives "
            f"{encoder.width}: name the image encoder that they were trained with by --clip"
        )
    mapper = build_mapper(found.config)
    load_strict(mapper, found.mapper)
    return Captioner(encoder, backbone, mapper.eval(), found.config)


def _card(options: Options) -> Any:
    from backbone.checkpoint import ModelCard

    features = "image features of length 1" if options.normalized else "image features as the encoder gives them"
    return ModelCard(
        title=options.out.name,
        summary=f"A captioner: ClipCap weights (Mokady et al., 2021) from `{options.weights.name}`.",
        data="Whatever the weights were trained on; they do not tell.",
        use=f"Captions images with `polygraft caption --model`. The {options.mapper} mapper takes {features}.",
        limits="The weights learned no end of text: a caption ends with its first full stop, or at its longest.",
        licence="unknown",
    )


def _tell(options: Options, captioner: "Captioner", *, kept: bool) -> None:
    config = captioner.config
    transformer = {"clip_length": config.clip_length, "layers": config.layers}
    facts = {
        "out": str(options.out),
        "mapper": config.mapper,
        "prefix_length": config.prefix_length,
        **(transformer if config.mapper == "transformer" else {}),
        "image_width": config.image_width,
        "text_width": config.text_width,
        "parameters": sum(parameter.numel() for parameter in captioner.mapper.parameters()),
        "language_model": "of the weights" if kept else options.backbone,
    }
    tell(facts, as_json=options.json)


if __name__ == "__main__":
    run_file(__file__)
