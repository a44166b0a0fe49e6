"""What the command files share: running a command, its common options, and where its output goes.

A command is one file: ``scripts/train_captioner.py`` is ``polygraft train captioner``, and in no list. Its docstring is
an example that runs, the line in the list of commands, and further help; ``Options`` is a frozen dataclass with help
below each field; ``main`` takes one and returns the exit code. `scripts.generate` is a short one to copy. Torch is
imported within functions, so that --help need not wait.

Fields of nested dataclasses become plain flags (``--beams``, not ``--decoding.beams``); a command with more than twenty
options names those of its help page in a tuple ``SHOWN``; the others are keys of ``--config`` and flags all the same.
``Decoding`` and ``TrainConfig`` bring their own ``--seed``. Foreseen failures raise ``PolygraftError``; nothing in a
command calls ``sys.exit``.
"""

import errno
import io
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import fill, indent
from typing import Annotated, Any, NoReturn, TextIO

import tyro
from tqdm import tqdm

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import is_free
from backbone.training.logger import watched
from scripts._app.options import help_page, options_of, with_config
from scripts._app.registry import Command, page_width, read_command

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

progress = watched
"""Iterate with a bar on standard error, see `backbone.training.logger.watched`."""

INTERRUPTED = 130  # as shells report SIGINT
PIPE_CLOSED = 141  # as shells report SIGPIPE


def emit(text: str) -> None:
    """Print one line of result to standard output, at once and clear of any progress bar."""
    _write(text, sys.stdout)


def tell(facts: Mapping[str, Any], *, as_json: bool, digits: int = 0) -> None:
    """Print facts as the result of a command, one a line or as one JSON object.

    Args:
        facts: by name.
        as_json: as an object.
        digits: of numbers with a fraction, in lines; 0: as Python writes them.
    """
    if as_json:
        emit(json.dumps(facts, ensure_ascii=False))
        return
    for name, value in facts.items():
        emit(f"{name}\t{value:.{digits}g}" if digits and isinstance(value, float) else f"{name}\t{value}")


def check_free(out: Path) -> None:
    """Refuse an --out that is taken, before the work and not after it."""
    if not is_free(out):
        raise PolygraftError(f"{out} exists already and is not replaced: choose another --out or remove it")


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
        if sentence is None:
            raise
        return _fail(sentence, 1)


def _fail(sentence: str, code: int) -> int:
    if os.environ.get("POLYGRAFT_DEBUG", "") not in ("", "0"):
        traceback.print_exc()
    remark(f"polygraft: {sentence}")
    return code


def _foreseen(error: Exception) -> str | None:
    """Return the sentence for a failure that is not a fault of the program, None for one that is."""
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
