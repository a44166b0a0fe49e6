"""Where the models that ship with the package lie: small ones, for trying everything without a network."""

import os
from pathlib import Path

from backbone.errors import PolygraftError

STARTER_KINDS = ("gpt2", "clip", "captioner", "personal", "narrator", "vocabulary", "french", "multilingual")
_LANGUAGE_MODELS = {"starter": "gpt2", "starter-fr": "french", "starter-multilingual": "multilingual"}


def starter_root() -> Path:
    """Return the folder of the starter models: ``POLYGRAFT_STARTER`` if set, else the one in the package."""
    override = os.environ.get("POLYGRAFT_STARTER")
    return Path(override) if override else Path(__file__).resolve().parent / "starter_models"


def starter_path(kind: str) -> Path:
    """Return the folder of one starter model.

    Args:
        kind: ``gpt2``, ``clip``, ``captioner``, ``personal``, which knows users, ``narrator``, ``vocabulary``, the
            narrations that it retrieves, ``french``, the vocabulary of the language model in French, or
            ``multilingual``, a language model of its own.

    Raises:
        PolygraftError: there is no such model, or it has not been built.
    """
    if kind not in STARTER_KINDS:
        raise PolygraftError(f"there is no starter {kind!r}: choose one of {', '.join(STARTER_KINDS)}")
    folder = starter_root() / kind
    if not folder.is_dir() or not any(folder.iterdir()):
        raise PolygraftError(f"the starter {kind} is not in {folder}: make it with `python -m starter_build`")
    return folder


def language_model_place(name: str) -> str:
    """Return the folder of ``starter``, ``starter-fr`` or ``starter-multilingual``; other names as they are.

    Raises:
        PolygraftError: the starter has not been built.
    """
    return str(starter_path(_LANGUAGE_MODELS[name])) if name in _LANGUAGE_MODELS else name
