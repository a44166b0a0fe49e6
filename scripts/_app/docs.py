"""The reference of all commands as Markdown: ``python -m scripts._app.docs docs/cli.md`` writes it from their help."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts._app.cli import parse
from scripts._app.registry import Command, find_commands, listing

_WIDTH = 100

_HEAD = """# The command line

Made by `make docs` from the help of each command; a test compares the two. Do not edit.

`polygraft COMMAND` and, from a checkout, `python -m scripts COMMAND` are the same; so is `python scripts/FILE.py`.

Results go to standard output, one item a line; progress and remarks go to standard error. The exit code is 0 if all
went well, 1 for a failure that is told in one sentence, 2 for wrong usage, 130 after Ctrl-C. `POLYGRAFT_DEBUG=1` adds
the traceback to the sentence.
"""


def reference() -> str:
    """Return the page: the list of commands, then the help of each, 100 columns wide and without colours."""
    commands = find_commands()
    with _fixed_width():
        parts = [_HEAD, _block(listing(commands))]
        parts += [f"## polygraft {command.name}\n\n{_block(help_text(command))}" for command in commands.values()]
    return "\n".join(parts)


def help_text(command: Command) -> str:
    """Return what ``polygraft COMMAND --help`` prints where there is no terminal."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        parse(command, ["--help"])
    return "\n".join(line.rstrip() for line in page.getvalue().rstrip().splitlines())


@contextlib.contextmanager
def _fixed_width() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(_WIDTH)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _block(text: str) -> str:
    return f"```text\n{text}\n```\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
