"""The checkpoint folder: trained weights, their config, the frozen models they need, and a card.

``config.json``, ``model.safetensors``, ``README.md`` and ``training.json``, described in ``docs/checkpoint.md``.
A folder appears whole or not at all, is loaded strictly, and nothing in it is ever unpickled. Small ones ship with the
package, for trying everything without a network.
"""

import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backbone.errors import PolygraftError
from backbone.io.files import atomic_folder, read_json, write_json
from backbone.io.settings import config_from_dict

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

FORMAT = 1

CONFIG, WEIGHTS, CARD, RECORD = "config.json", "model.safetensors", "README.md", "training.json"
TABLES = "tables.json"
INSIDE = "./"  # begins the name of a frozen model that lies in the checkpoint folder itself
STARTER = "starter"
LANGUAGE_MODEL = "language-model"

_OPTIONS = {"language_model": "--backbone (Python: backbone=)", "image_encoder": "--clip (Python: encoder=)"}

# what a hub accepts as a repository name, and no path that begins with ./
_HUB_NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True, kw_only=True)
class FrozenPart:
    """A model that a checkpoint needs beside itself, and holds by name only."""

    name: str  # hub name, open_clip name, ``starter`` or the name of a folder
    sha256: str  # digest of its weights, as the frozen model itself computes it


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
class ModelCard:
    """What people should know before they use a checkpoint. Markdown is welcome; an empty part says so."""

    title: str
    summary: str
    data: str = ""  # what it was trained on, with licences
    use: str = ""  # how to use it, and what for
    limits: str = ""  # what it is bad at
    metrics: str = ""  # how it was measured, and the figures
    command: str = field(default_factory=command_line)  # the command that made it
    licence: str = "apache-2.0"  # as hubs write it, in lower case

    def render(self, kind: str, frozen: Mapping[str, FrozenPart], weights: str) -> str:
        """Return the card as Markdown with YAML front matter."""
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
        bases = [name for name in names if _HUB_NAME.fullmatch(name) and name != STARTER]
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


@dataclass(frozen=True, kw_only=True)
class Header:
    """The ``config.json`` of a checkpoint."""

    format: int
    kind: str  # what was trained: ``captioner``, ``narrator``
    config: dict[str, Any]  # the options of the model, as ``dataclasses.asdict`` gives them
    frozen: dict[str, FrozenPart]  # the frozen models by role: ``language_model``, ``image_encoder``


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained part, as it is kept in a folder."""

    kind: str
    config: dict[str, Any]
    frozen: dict[str, FrozenPart]
    tensors: "dict[str, Tensor]"  # trained weights by name, nothing of the frozen models
    tables: dict[str, Any] = field(default_factory=dict)
    """What else was learned, as JSON: the words of the training users. Kept in ``tables.json`` where there is any."""


def save_checkpoint(
    folder: str | Path, checkpoint: Checkpoint, *, card: ModelCard, record: Mapping[str, Any] | None = None
) -> Path:
    """Write a checkpoint folder in one step, replacing an older checkpoint of the same name.

    Args:
        folder: The folder to write; its parents are made.
        checkpoint: The trained part to keep.
        card: The card, which becomes ``README.md``.
        record: How it was trained, for ``training.json``; it is kept for people and never read back.

    Raises:
        PolygraftError: A weight is not finite; ``folder`` holds something else than a checkpoint; it cannot be
            written (no space, no permission). An older checkpoint is then as it was.
    """
    from safetensors.torch import save

    folder = Path(folder)
    _check_finite(checkpoint.tensors)
    replaces = _is_ours(folder)
    header = Header(format=FORMAT, kind=checkpoint.kind, config=checkpoint.config, frozen=checkpoint.frozen)
    # safetensors takes no memory that two names share, and no transposed views
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in checkpoint.tensors.items()}
    try:
        with atomic_folder(folder, replace=replaces) as partial:
            write_json(partial / CONFIG, asdict(header))
            (partial / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
            text = card.render(checkpoint.kind, checkpoint.frozen, _weights_line(tensors))
            (partial / CARD).write_text(text, encoding="utf-8")
            write_json(partial / RECORD, made_with(record or {}))
            if checkpoint.tables:
                write_json(partial / TABLES, checkpoint.tables)
    except OSError as error:
        kept = "; the older checkpoint is untouched" if replaces else ""
        raise PolygraftError(f"the checkpoint {folder} could not be saved: {error.strerror}{kept}") from error
    return folder


def _check_finite(tensors: "Mapping[str, Tensor]") -> None:
    bad = sorted(name for name, tensor in tensors.items() if not tensor.isfinite().all())
    if bad:
        raise PolygraftError(f"not saved, since these weights hold NaN or infinity: {', '.join(bad)}")


def _is_ours(folder: Path) -> bool:
    """Return whether ``folder`` is a checkpoint that may be replaced; refuse one that holds anything else."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    strange = sorted({entry.name for entry in folder.iterdir()} - {CONFIG, WEIGHTS, CARD, RECORD, TABLES})
    if strange:
        raise PolygraftError(f"{folder} is not replaced, since it holds {strange[0]}: save to another folder")
    try:
        read_header(folder)
    except PolygraftError as error:
        raise PolygraftError(f"not replaced: {error}; save to another folder") from error
    return True


def _weights_line(tensors: "Mapping[str, Tensor]") -> str:
    parameters = sum(tensor.numel() for tensor in tensors.values())
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()})
    return f"{parameters:,} trained parameters in {len(tensors)} tensors ({', '.join(dtypes)}), `{WEIGHTS}`."


def made_with(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with the versions at work, as plain JSON; NaN and infinity become null."""
    versions = {"python": platform.python_version(), "torch": version("torch"), "polygraft": own_version()}
    text = json.dumps({"made_with": versions, **record}, default=str)
    plain: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)
    return plain


def own_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("polygraft")
    except PackageNotFoundError:
        return "(not installed)"


def read_header(folder: str | Path) -> Header:
    """Read and check a checkpoint's ``config.json`` alone, without importing torch.

    Raises:
        PolygraftError: No folder, no checkpoint, a damaged file, or a format that this version does not read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise PolygraftError(f"there is no checkpoint folder {folder}: give one that `polygraft train` has written")
    if not (folder / CONFIG).is_file():
        raise PolygraftError(f"{folder} is no checkpoint: it has no {CONFIG}")
    content = read_json(folder / CONFIG)
    number = content.get("format")
    if type(number) is not int:  # True is an int to isinstance
        raise PolygraftError(f"{folder} is no polygraft checkpoint: its {CONFIG} has no format number")
    if number != FORMAT:
        advice = "install a newer polygraft" if number > FORMAT else "train it again"
        raise PolygraftError(f"{folder} has format {number}, but this version reads format {FORMAT}: {advice}")
    try:
        return config_from_dict(Header, content)
    except PolygraftError as error:
        raise PolygraftError(f"{folder / CONFIG} is damaged: {error}") from error


def load_checkpoint(folder: str | Path, *, kind: str) -> Checkpoint:
    """Load a checkpoint folder onto the CPU; names of frozen models inside it become paths that lead there.

    Raises:
        PolygraftError: There is none, it is of another kind or format, or its files are damaged.
    """
    folder = Path(folder)
    header = read_header(folder)
    if header.kind != kind:
        raise PolygraftError(f"{folder} holds a {header.kind}, but a {kind} is asked for")
    frozen = {
        role: replace(part, name=str(folder / part.name)) if part.name.startswith(INSIDE) else part
        for role, part in header.frozen.items()
    }
    return Checkpoint(
        kind=kind,
        config=header.config,
        frozen=frozen,
        tensors=load_tensors(folder / WEIGHTS),
        tables=read_json(folder / TABLES) if (folder / TABLES).is_file() else {},
    )


def load_tensors(path: Path) -> "dict[str, Tensor]":
    """Read a safetensors file onto the CPU.

    Raises:
        PolygraftError: The file is missing, truncated, damaged, or a pickle in disguise.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        refuse_pickle(path)
        return load_file(path)
    except OSError as error:
        raise PolygraftError(f"{path} cannot be read: {error.strerror}") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise PolygraftError(f"{path} is truncated or damaged ({error}): copy or train it again") from error


def refuse_pickle(path: Path) -> None:
    """Refuse a pickle in disguise of a safetensors file.

    Raises:
        PolygraftError: The file is one.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(9)
    # a zip archive (torch.save) or a bare pickle of protocol 2 to 5, and no length of a JSON header with such bytes
    pickled = start[:4] == b"PK\x03\x04" or start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    if pickled and start[8:] != b"{":
        raise PolygraftError(f"{path} is a pickle, not a safetensors file, and is not opened: it could run any code")


def frozen_part(checkpoint: Checkpoint, role: str, given: str | T | None, load: Callable[[str], T]) -> T:
    """Return the frozen model of ``role``: the one given, or loaded by the name given or kept in the checkpoint.

    Raises:
        PolygraftError: It cannot be loaded, or is neither the model that the part was trained on nor one of its kin.
    """
    part = checkpoint.frozen.get(role)
    if part is None:
        raise PolygraftError(f"this {checkpoint.kind} names no frozen {role}: it was saved by something else")
    if given is None or isinstance(given, str):
        name = given or part.name
        try:
            given = load(name)
        except PolygraftError as error:
            advice = f"if it lies elsewhere, say where with {_OPTIONS[role]}"
            raise PolygraftError(f"this {checkpoint.kind} needs the {role} {name!r}, but {error} ({advice})") from error
    model: Any = given
    if part.sha256 not in (model.digest, *getattr(model, "kin", ())):
        raise PolygraftError(
            f"this {checkpoint.kind} was trained on the {role} {part.name!r} (SHA-256 {part.sha256[:12]}) and does not "
            f"fit {model.name!r} ({model.digest[:12]}): load the one it was trained on"
        )
    return given


def check_width(kind: str, part: str, name: str, found: int, wanted: int) -> None:
    """Refuse a frozen model of another width than what is grafted onto it was made for."""
    if found != wanted:
        raise PolygraftError(f"the {kind} needs {part} of width {wanted}, but {name!r} has {found}")


def lasting_name(name: str) -> str:
    """Return a name that holds from another working directory: files and folders by their full path."""
    model, colon, file = name.rpartition(":")  # MODEL:FILE of open_clip
    return f"{model}{colon}{Path(file).resolve()}" if name != STARTER and Path(file).exists() else name


def load_strict(module: "nn.Module", tensors: "Mapping[str, Tensor]") -> None:
    """Load ``tensors`` into ``module``: the same names and shapes, no more and no less.

    Raises:
        PolygraftError: Lists what is missing, unexpected or of another shape; the module is then unchanged.
    """
    own = module.state_dict()
    odd = [name for name in own if name in tensors and tensors[name].shape != own[name].shape]
    complaints = {
        "missing": own.keys() - tensors.keys(),
        "unexpected": tensors.keys() - own.keys(),
        "of another shape": {f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}" for name in odd},
    }
    found = [f"{label}: {', '.join(sorted(names))}" for label, names in complaints.items() if names]
    if found:
        raise PolygraftError(f"the weights do not fit the model ({'; '.join(found)})")
    module.load_state_dict(tensors)


# The starter models

STARTER_KINDS = ("gpt2", "clip", "captioner", "personal", "narrator", "vocabulary", "french", "multilingual")
_LANGUAGE_MODELS = {"starter": "gpt2", "starter-fr": "french", "starter-multilingual": "multilingual"}


def starter_root() -> Path:
    """Return the folder of the starter models: ``POLYGRAFT_STARTER`` if set, else the one in the package."""
    override = os.environ.get("POLYGRAFT_STARTER")
    return Path(override) if override else Path(__file__).resolve().parent / "starter_models"


def starter_path(kind: str) -> Path:
    """Return the folder of one starter model.

    Args:
        kind: One of ``gpt2``, ``clip``, ``captioner``, ``personal``, which knows users, ``narrator``, ``vocabulary``,
            the narrations that it retrieves, ``french``, the vocabulary of the language model in French, or
            ``multilingual``, a language model of its own.

    Raises:
        PolygraftError: There is no such model, or it has not been built.
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
        PolygraftError: The starter has not been built.
    """
    return str(starter_path(_LANGUAGE_MODELS[name])) if name in _LANGUAGE_MODELS else name
