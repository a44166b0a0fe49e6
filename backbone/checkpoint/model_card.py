"""The model card: the README.md of every checkpoint, with the front matter that model hubs read."""

import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LANGUAGE_MODEL = "language-model"

# what a hub accepts as a repository name, and no path that begins with ./
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def command_line() -> str:
    """Return the command of this process as one would type it, without the place of the program."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        words = ["python", "-m", program.parent.name]
    elif program.suffix == ".py":
        words = ["python", f"{program.parent.name}/{program.name}"]
    else:
        words = [program.name]
    return shlex.join([*words, *sys.argv[1:]])


@dataclass(frozen=True, kw_only=True)
class FrozenPart:
    """A model that a checkpoint needs beside itself, and holds by name only."""

    name: str
    """Hub name, open_clip name, ``starter`` or the name of a folder."""
    sha256: str
    """Digest of its weights, as the frozen model itself computes it."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What people should know before they use a checkpoint. Markdown is welcome; an empty part says so."""

    title: str
    summary: str
    data: str = ""
    """What it was trained on, with licences."""
    use: str = ""
    """How to use it, and what for."""
    limits: str = ""
    """What it is bad at."""
    metrics: str = ""
    """How it was measured, and the figures."""
    command: str = field(default_factory=command_line)
    """The command that made it."""
    licence: str = "apache-2.0"
    """As hubs write it, in lower case."""

    def render(self, kind: str, frozen: Mapping[str, FrozenPart], weights: str) -> str:
        """Return the card as Markdown with YAML front matter.

        Args:
            kind: kind of the checkpoint, for the tags.
            frozen: the frozen models by role.
            weights: one line on the trained weights.
        """
        parts = {
            "Bases": _bases(frozen),
            "Weights": weights,
            "Data": self.data,
            "Use": self.use,
            "Limits": self.limits,
            "Metrics": self.metrics,
            "Made by": f"```\n{self.command}\n```",
        }
        sections = [f"## {title}\n\n{text.strip() or 'Not stated.'}\n" for title, text in parts.items()]
        head = f"# {self.title}\n\n{self.summary.strip()}\n"
        return "\n".join([self._front_matter(kind, frozen), head, *sections])

    def _front_matter(self, kind: str, frozen: Mapping[str, FrozenPart]) -> str:
        entries: dict[str, str | list[str]] = {
            "license": self.licence,
            "library_name": "transformers" if kind == LANGUAGE_MODEL else "polygraft",
            "tags": ["polygraft", kind],
        }
        names = sorted({part.name for part in frozen.values()})
        bases = [name for name in names if _HUB_NAME.fullmatch(name) and name != "starter"]
        if bases:
            entries["base_model"] = bases
        # JSON values are YAML values, with every quotation mark in place
        lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()]
        return "\n".join(["---", *lines, "---", ""])


def write_card(folder: Path, card: ModelCard, *, weights: str = "") -> None:
    """Write the card of a whole language model, saved in transformers' own format."""
    (folder / "README.md").write_text(card.render(LANGUAGE_MODEL, {}, weights), encoding="utf-8")


def _bases(frozen: Mapping[str, FrozenPart]) -> str:
    if not frozen:
        return "None: these weights are the whole model."
    rows = [f"| {role} | `{part.name}` | `{part.sha256}` |" for role, part in sorted(frozen.items())]
    intro = (
        "These frozen models are needed, exactly these. They are not in this folder, but for those whose name begins "
        "with `./`."
    )
    return "\n".join([intro, "", "| role | name | SHA-256 |", "|---|---|---|", *rows])
