"""The list of commands, read from the files of this folder without importing them."""

import ast
import difflib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from backbone.errors import UsageError

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


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand: ``scripts/train_captioner.py`` is ``polygraft train captioner``."""

    name: str
    """Words of the command with a space between them."""
    file: Path
    """The file whose ``Options`` and ``main`` it is."""
    example: str
    """First paragraph of the file's docstring: a command line that runs."""
    text: str
    """The rest of the docstring."""

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
        UsageError: no command and no group begins like this; says which names are close.
    """
    words = _leading_words(argv)
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


def _leading_words(argv: Sequence[str]) -> list[str]:
    """Return the words before the first option, at most as many as a command may have."""
    words = list(argv[:3])
    options = [index for index, word in enumerate(words) if word.startswith("-")]
    return words[: options[0]] if options else words


def _unknown(commands: Mapping[str, Command], words: Sequence[str]) -> str:
    group = _members(commands, words[0])
    asked = " ".join(words[:2] if group else words[:1])
    names = [command.name for command in group] or list(commands)
    candidates = {*names, *(name.split()[0] for name in names)} - {words[0]}
    close = difflib.get_close_matches(" ".join(words[:2]), candidates, n=3, cutoff=0.7)
    close = close or difflib.get_close_matches(asked, candidates, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(repr(name) for name in close)}?" if close else "`polygraft` lists them all."
    return f"there is no command {asked!r}; {hint}"
