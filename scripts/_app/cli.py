"""What the command files share: the list of commands, running one, common options, and output.

A command is one file: ``scripts/train_captioner.py`` is ``polygraft train captioner``, and in no list. Its docstring is
an example that runs, the line in the list of commands, and further help; ``Options`` is a frozen dataclass with help
below each field; ``main`` takes one and returns the exit code. `scripts.generate` is a short one to copy. Torch is
imported within functions, so that --help need not wait.

Fields of nested dataclasses become plain flags (``--beams``, not ``--decoding.beams``); a command with more than twenty
options names those of its help page in a tuple ``SHOWN``; the others are keys of ``--config`` and flags all the same.
``Decoding`` and ``TrainConfig`` bring their own ``--seed``. Foreseen failures raise ``PolygraftError``; nothing in a
command calls ``sys.exit``.
"""

import ast
import difflib
import errno
import io
import json
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from textwrap import fill, indent
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import tyro
from tqdm import tqdm

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import is_free
from backbone.training.logger import watched
from scripts._app.options import help_page, options_of, with_config

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone

Device = Annotated[str, tyro.conf.arg(help="Where to compute: auto (CUDA, Metal or CPU), cpu, cuda, cuda:N, mps.")]
"""``device: Device = "auto"``, the same option in every command."""
Seed = Annotated[int, tyro.conf.arg(help="Random seed.")]
"""``seed: Seed = 0``, for commands that have neither ``Decoding`` nor ``TrainConfig``."""
Json = Annotated[bool, tyro.conf.arg(help="Print JSON, one object a line, instead of text.")]
"""``json: Json = False``, the same option in every command that prints results."""

# flags without their --no- twin; nested dataclasses give plain flags; positionals are called by their field
_STYLE = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.PositionalMetavarFromFieldName,
    tyro.conf.DisallowNone,
)

progress = watched  # iterate with a bar on standard error, see `backbone.training.logger.watched`

INTERRUPTED = 130  # as shells report SIGINT
PIPE_CLOSED = 141  # as shells report SIGPIPE


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand: ``scripts/train_captioner.py`` is ``polygraft train captioner``."""

    name: str  # words of the command with a space between them
    file: Path  # the file whose ``Options`` and ``main`` it is
    example: str  # first paragraph of the file's docstring: a command line that runs
    text: str  # the rest of the docstring

    @property
    def summary(self) -> str:
        """What the text says before its first comma, colon or stop."""
        return re.split(r"[,;:.](?:\s|$)", " ".join(self.text.split()), maxsplit=1)[0]

    @property
    def program(self) -> str:
        """The command as it is typed: research outside ``scripts`` is run as a module."""
        if self.file.parent.name == "scripts":
            return f"polygraft {self.name}"
        return f"python -m {self.module.removesuffix('.__main__')}"

    @property
    def module(self) -> str:
        """Dotted name under which the file is imported."""
        return f"{self.file.parent.name}.{self.file.stem}"


def emit(text: str) -> None:
    """Print one line of result to standard output, at once and clear of any progress bar."""
    _write(text, sys.stdout)


def tell(facts: Mapping[str, Any], *, as_json: bool, digits: int = 0) -> None:
    """Print facts one a line or as one JSON object; 0 digits: numbers as Python writes them."""
    if as_json:
        emit(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        emit(f"{name}\t{value:.{digits}g}" if digits and isinstance(value, float) else f"{name}\t{value}")


def emit_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, digits: int = 0) -> None:
    """Print rows with the same names as the result of a command: a table with tabs, or one JSON object a row.

    Args:
        rows: At least one; what is None or empty is shown as a dash in a table.
        as_json: As objects.
        digits: Behind the point of numbers with a fraction, in a table; 0: as Python writes them.
    """
    if not as_json:
        emit("\t".join(rows[0]))
    for row in rows:
        cells = (f"{cell:.{digits}f}" if digits and isinstance(cell, float) else cell for cell in row.values())
        emit(
            json.dumps(row, ensure_ascii=False)
            if as_json
            else "\t".join("-" if cell in (None, "") else str(cell) for cell in cells)
        )


def check_free(out: Path) -> None:
    """Refuse an --out that is taken, before the work and not after it."""
    if not is_free(out):
        raise PolygraftError(f"{out} exists already and is not replaced: choose another --out or remove it")


def check_file(option: str, path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, is there already, or is in no folder.

    Raises:
        PolygraftError: Names the option and what to do.
    """
    if path.is_dir():
        raise PolygraftError(f"{path} is a folder, but --{option} must be a file")
    if path.exists() and not overwrite:
        raise PolygraftError(f"{path} exists already: --overwrite replaces it")
    if not path.parent.is_dir():
        raise PolygraftError(f"there is no folder {path.parent}: make it or choose another --{option}")


def load_with_context(name: str, device: str, context: int) -> tuple["Backbone", int]:
    """Return a language model and the tokens of a text: ``context``, or for 0 as many as it takes, 1,024 at most."""
    from backbone.gpt2 import Backbone

    backbone = Backbone.from_pretrained(name, device=device)
    if context > backbone.context:
        raise UsageError(f"context is {context}, but {name} takes {backbone.context} tokens at most")
    return backbone, context or min(backbone.context, 1024)


def remark(text: str) -> None:
    """Print a line that is no result to standard error, clear of any progress bar."""
    _write(text, sys.stderr)


def stage(text: str) -> None:
    """Say on a terminal what is being done now, where a step of some seconds has no bar."""
    if sys.stderr.isatty():
        remark(f"{text} ...")


def _write(text: str, stream: TextIO) -> None:
    tqdm.write(text, file=stream)
    stream.flush()


def run_file(file: str) -> NoReturn:
    """Run the command in ``file`` with the arguments of this process, and leave with its exit code."""
    # Python puts the script's own folder first, where every command would be a top-level module
    path = Path(file).resolve()
    sys.path[0] = str(path.parents[1])
    sys.exit(guard(lambda: run(read_command(path), sys.argv[1:])))


def run(command: Command, argv: Sequence[str]) -> int:
    """Parse ``argv`` into the command's options and run it. Returns the exit code."""
    module = import_module(command.module)
    return int(module.main(parse(command, argv)))


def parse(command: Command, argv: Sequence[str]) -> Any:
    """Return the command's ``Options`` for ``argv``; prints and leaves on ``--help`` (0) and on wrong usage (2)."""
    module = import_module(command.module)
    words = list(argv)
    if {"-h", "--help"} & set(words):
        emit(describe(command))
        emit(help_page(command.program, options_of(module.Options), getattr(module, "SHOWN", ()), page_width()))
        raise SystemExit(0)
    # the table of options is read from source files, which a plain call need not wait for
    if any(word.startswith("--config") for word in words):
        words = with_config(options_of(module.Options), words)
    return tyro.cli(module.Options, prog=command.program, description="", args=words, config=_STYLE)


def describe(command: Command) -> str:
    """Return example and text of a command, in lines that fit the terminal; indented paragraphs stay as they are."""
    paragraphs = command.text.split("\n\n")
    wrapped = [text if text.startswith(" ") else fill(" ".join(text.split()), page_width()) for text in paragraphs]
    return "\n\n".join([indent(command.example, "    "), *wrapped, ""])


def guard(action: Callable[[], int]) -> int:
    """Run ``action`` and turn the failures we foresee into one sentence on standard error and an exit code.

    ``POLYGRAFT_DEBUG=1`` shows the traceback as well. What we do not foresee is a fault of ours and passes through.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name or caption the terminal cannot show
    try:
        code = action()
        sys.stdout.flush()  # so that a full disk behind a redirection is seen here
        return code
    except BrokenPipeError:
        # the reader (`| head`) has gone; what is still buffered must not raise again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        sentence = _foreseen(error)
        if sentence is None:  # a fault of the program
            raise
        return _fail(sentence, 1)


def _fail(sentence: str, code: int) -> int:
    if os.environ.get("POLYGRAFT_DEBUG", "") not in ("", "0"):
        traceback.print_exc()
    remark(f"polygraft: {sentence}")
    return code


def _foreseen(error: Exception) -> str | None:
    if isinstance(error, PolygraftError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return _system_sentence(error)
    # torch.OutOfMemoryError by its name, since most commands never import torch
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory: ask for a smaller --batch-size or a smaller model, or try --device cpu"
    return None


def _system_sentence(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk is full{place}: free some space and run the command again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"permission denied{place}: choose a place that this user may read and write"
        case _:
            return f"{(error.strerror or str(error)).lower()}{place}"


# The list of commands, read from their files without importing them

SCRIPTS = Path(__file__).resolve().parents[1]

# Headings of the list of commands; a command is under the first whose words it begins with, and else under the last.
_TASKS = {
    "caption images": ("caption", "train captioner", "evaluate caption", "convert clipcap"),
    "narrate videos": ("narrate", "vocabulary", "train narrator", "evaluate narrate"),
    "move a model to another language": ("transfer", "vectors"),
    "train and evaluate language models": ("train language", "generate", "evaluate language", "evaluate tasks"),
    "prepare text": ("corpus", "tokenizer"),
    "look into results": ("metrics", "info"),
}


def find_commands(folder: Path = SCRIPTS) -> dict[str, Command]:
    """Return the commands of ``folder`` by name, in alphabetical order."""
    files = (file for file in folder.glob("*.py") if not file.name.startswith("_"))
    found = (read_command(file) for file in files)
    return {command.name: command for command in sorted(found, key=lambda command: command.name)}


def read_command(file: Path) -> Command:
    """Return the command that ``file`` holds, from its docstring; the file is not imported."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    example, _, text = docstring.partition("\n\n")
    return Command(name=file.stem.replace("_", " "), file=file, example=example, text=text.strip())


def split_words(commands: Mapping[str, Command], argv: Sequence[str]) -> tuple[str, list[str]]:
    """Split a command line into the name of a command or of a group of commands, and what follows it.

    The longest name wins; the group of all commands is ``""``.

    Raises:
        UsageError: No command and no group begins like this; says which names are close.
    """
    words = list(takewhile(lambda word: not word.startswith("-"), argv[:3]))  # no command has more words
    for length in range(len(words), 0, -1):
        name = " ".join(words[:length])
        if name in commands or (length == len(words) and _members(commands, name)):
            return name, list(argv[length:])
    if words:
        raise UsageError(_unknown(commands, words))
    return "", list(argv)


def listing(commands: Mapping[str, Command], group: str = "") -> str:
    """Return the commands of a group, one line each; all commands under headings by task."""
    head = f"usage: polygraft {group + ' ' if group else ''}COMMAND ..."
    tail = "`polygraft COMMAND --help` shows the options of one."
    if group:
        return "\n".join([head, "", *_lines(_members(commands, group), commands), "", tail])
    parts = [head, ""]
    for task, members in _by_task(commands).items():
        parts += [f"{task}:", *_lines(members, commands), ""]
    return "\n".join([*parts, tail])


def _by_task(commands: Mapping[str, Command]) -> dict[str, list[Command]]:
    found: dict[str, list[Command]] = {task: [] for task in _TASKS}
    for command in commands.values():
        fitting = (
            task for task, names in _TASKS.items() if f"{command.name} ".startswith(tuple(f"{n} " for n in names))
        )
        found[next(fitting, list(_TASKS)[-1])].append(command)
    return {task: members for task, members in found.items() if members}


def _lines(members: Sequence[Command], commands: Mapping[str, Command]) -> list[str]:
    width = max(map(len, commands))
    indent = " " * (width + 4)
    return [
        fill(f"  {member.name:{width}}  {member.summary}", page_width(), subsequent_indent=indent) for member in members
    ]


def page_width() -> int:
    """Return the width of help texts: the terminal's, at most 100 columns."""
    return min(shutil.get_terminal_size().columns, 100)


def _members(commands: Mapping[str, Command], group: str) -> list[Command]:
    return [command for command in commands.values() if command.name.startswith(group + " ")]


def _unknown(commands: Mapping[str, Command], words: Sequence[str]) -> str:
    group = _members(commands, words[0])
    asked = " ".join(words[:2] if group else words[:1])
    names = [command.name for command in group] or list(commands)
    candidates = {*names, *(name.split()[0] for name in names)} - {words[0]}
    close = difflib.get_close_matches(" ".join(words[:2]), candidates, n=3, cutoff=0.7)
    close = close or difflib.get_close_matches(asked, candidates, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(name) for name in close)}?" if close else "`polygraft` lists them all."
    return f"there is no command {asked!r}; {hint}"
