"""The references of all commands and of all configuration keys as Markdown: ``python -m scripts._app.docs docs``.

Both are made from the code: ``cli.md`` from the help pages, ``config.md`` from the options dataclasses.
"""

import contextlib
import io
import os
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from scripts._app.cli import Command, find_commands, listing, parse
from scripts._app.options import REQUIRED, Option, options_of

_WIDTH = 100

_HEAD = """# The command line

Made by `make docs` from the help of each command; a test compares the two. Do not edit.

`polygraft COMMAND` and, from a checkout, `python -m scripts COMMAND` are the same; so is `python scripts/FILE.py`.

Results go to standard output, one item a line; progress and remarks go to standard error. The exit code is 0 if all
went well, 1 for a failure that is explained in one sentence, 2 for wrong usage, 130 after Ctrl-C. `POLYGRAFT_DEBUG=1`
adds the traceback to the sentence. [config.md](config.md) lists every option, those that a help page leaves out, too.
"""

_CONFIG_HEAD = """# Options and configuration files

Made by `make docs` from the options of each command; a test compares the two. Do not edit.

Every option can be given on the command line or, by its key, in a TOML file: `polygraft COMMAND --config FILE`. The
command line wins. A key that the command does not know is an error. For example:

```toml
# settings.toml, for `polygraft train captioner posts.jsonl --out runs/ours --config settings.toml`
epochs = 10
lr = 1e-3
background_save = true
```
"""


def reference() -> str:
    """Return the page: the list of commands, then the help of each, 100 columns wide and without colours."""
    commands = find_commands()
    with patch.dict(os.environ, COLUMNS=str(_WIDTH)):
        parts = [_HEAD, _block(listing(commands))]
        parts += [f"## polygraft {command.name}\n\n{_block(help_text(command))}" for command in commands.values()]
    return "\n".join(parts)


def configuration() -> str:
    """Return the page of configuration keys: a table of the options of each command."""
    parts = [_CONFIG_HEAD]
    for command in find_commands().values():
        options = options_of(import_module(command.module).Options)
        rows = [_row(option) for option in options if not option.positional]
        parts.append(
            f"## polygraft {command.name}\n\n| key | value | default | meaning |\n|---|---|---|---|\n" + "".join(rows)
        )
    return "\n".join(parts)


def _row(option: Option) -> str:
    default = "required" if option.default is REQUIRED else _toml(option.default)
    value = "true or false" if option.hint is bool else option.metavar
    cells = [f"`{option.name}`", value, default, " ".join(option.help.split())]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _toml(value: object) -> str:
    if value is None or value in ("", (), {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def help_text(command: Command) -> str:
    """Return what ``polygraft COMMAND --help`` prints where there is no terminal."""
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        parse(command, ["--help"])
    return "\n".join(line.rstrip() for line in page.getvalue().rstrip().splitlines())


def _block(text: str) -> str:
    return f"```text\n{text}\n```\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "cli.md").write_text(reference(), encoding="utf-8")
    (folder / "config.md").write_text(configuration(), encoding="utf-8")
