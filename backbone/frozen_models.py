"""The frozen models that a grafted part belongs to: by the names in its checkpoint, or by those that are given."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from backbone.checkpoint import Checkpoint, check_frozen
from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone

STARTER = "starter"
_OPTIONS = {"language_model": "--backbone (Python: backbone=)", "image_encoder": "--clip (Python: encoder=)"}

Frozen = TypeVar("Frozen", Backbone, ImageEncoder)


def check_width(kind: str, part: str, name: str, found: int, wanted: int) -> None:
    """Refuse a frozen model of another width than what is grafted onto it was made for."""
    if found != wanted:
        raise PolygraftError(f"the {kind} needs {part} of width {wanted}, but {name!r} has {found}")


def lasting_name(name: str) -> str:
    """Return a name that holds from another working directory: files and folders by their full path."""
    model, colon, file = name.rpartition(":")  # MODEL:FILE of open_clip
    return f"{model}{colon}{Path(file).resolve()}" if name != STARTER and Path(file).exists() else name


def frozen_part(checkpoint: Checkpoint, role: str, given: str | Frozen | None, load: Callable[[str], Frozen]) -> Frozen:
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
    kin = given.kin if isinstance(given, Backbone) else ()
    check_frozen(checkpoint, role, given.name, given.digest, kin)
    return given


def frozen_parts(
    checkpoint: Checkpoint, backbone: str | Backbone | None, encoder: str | ImageEncoder | None, device: str, dtype: str
) -> tuple[ImageEncoder, Backbone]:
    """Return the frozen models of a checkpoint: those given, or loaded by the names given or kept in it."""
    language_model = frozen_part(
        checkpoint,
        "language_model",
        backbone,
        lambda name: Backbone.from_pretrained(name, device=device, dtype=dtype),
    )
    image_encoder = frozen_part(
        checkpoint, "image_encoder", encoder, lambda name: ImageEncoder.from_pretrained(name, device=device)
    )
    return image_encoder, language_model
