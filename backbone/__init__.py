"""What is frozen, and the means to train, decode and save small parts on top of it.

Names are imported on first use, so that reading an options dataclass does not import torch.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder as ImageEncoder
    from backbone.generation.config import Decoding as Decoding
    from backbone.gpt2 import Backbone as Backbone
    from backbone.training.loop import TrainConfig as TrainConfig
    from backbone.training.loop import fit as fit


def lazy(package: str) -> tuple[Callable[[str], Any], list[str]]:
    """Return a package's ``__getattr__`` (PEP 562) and ``__all__``: what it imports as itself for type checkers."""
    source = Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8")
    home = {
        alias.name: str(node.module)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return get, sorted(home)


__getattr__, __all__ = lazy(__name__)
