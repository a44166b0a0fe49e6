"""Models that share one body: what was grafted onto one of them fits the others, whatever their vocabularies.

A model that was made from another by changing nothing but its vocabulary keeps ``body.json`` beside its weights: the
digest of the body, and those of the models it was made from.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backbone.checkpoint.schema import config_from_dict
from backbone.io.atomic_files import read_json, write_json

FILE = "body.json"


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """What ``body.json`` holds."""

    body_sha256: str
    """See `backbone.hf.fingerprint.body_digest`."""
    models: tuple[str, ...]
    """Digests of whole models with this body, see `backbone.hf.fingerprint.model_digest`."""


def write_kin(folder: Path, body: str, models: Sequence[str]) -> None:
    """Say in a model's folder which models have the same body."""
    write_json(folder / FILE, asdict(Kinship(body_sha256=body, models=tuple(models))))


def read_kin(folder: Path, body: Callable[[], str]) -> tuple[str, ...]:
    """Return the digests of the models with the same body; none where nothing is said, or the body has changed since.

    Args:
        folder: of a model, or what is no folder.
        body: returns the digest of the body as it is; asked only where something is said.

    Raises:
        PolygraftError: ``body.json`` is damaged.
    """
    if not (folder / FILE).is_file():
        return ()
    told = config_from_dict(Kinship, read_json(folder / FILE))
    return told.models if told.body_sha256 == body() else ()
