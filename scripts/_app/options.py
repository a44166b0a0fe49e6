"""The options of a command as a table, read from its dataclass: for the help page, for --config and for the docs."""

import ast
import inspect
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.io.settings import convert, nearest, read_toml

# the marks that tyro puts into annotations, which have no public names
_POSITIONAL, _SUPPRESS = (get_args(marker[int])[1] for marker in (tyro.conf.Positional, tyro.conf.Suppress))
_METAVARS = {str: "TEXT", int: "INT", float: "FLOAT", Path: "PATH", bool: ""}
_COLUMN = 26  # where descriptions begin on a help page
REQUIRED = MISSING  # the default of an option that has none


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a command."""

    name: str  # the field's name, which is also its key in a configuration file
    hint: Any  # its type, without annotations
    default: Any  # `REQUIRED` where it must be given
    help: str  # from the string below the field
    positional: bool = False  # an argument without a flag
    aliases: tuple[str, ...] = ()  # further flags of it
    metavar: str = ""  # what stands for the value in help pages

    @property
    def negated(self) -> bool:
        """Whether the flag switches off what is on by default."""
        return self.hint is bool and self.default is True

    @property
    def flag(self) -> str:
        """The flag as it is typed."""
        return f"--{'no-' if self.negated else ''}{self.name.replace('_', '-')}"

    @property
    def description(self) -> str:
        """What giving the flag does, with the default."""
        text = " ".join(self.help.split())
        if self.negated:
            return f"Do not {text[:1].lower()}{text[1:]}"
        if self.positional or self.default in (REQUIRED, None, "", ()) or self.default is False:
            return text
        shown = " ".join(map(str, self.default)) if isinstance(self.default, tuple) else self.default
        return f"{text} (default: {shown})"


def options_of(cls: type) -> list[Option]:
    """Return the options of a dataclass in the order of its fields; nested dataclasses are flattened."""
    hints = get_type_hints(cls, include_extras=True)
    return [option for field in fields(cls) for option in _options_of_field(cls, field, hints[field.name])]


def _options_of_field(cls: type, field: Field[Any], hint: Any) -> Iterator[Option]:
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        marks = tuple(rest)
    if _SUPPRESS in marks:
        return
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if isinstance(hint, type) and is_dataclass(hint):
        for option in options_of(hint):
            value = option.default if default is MISSING else getattr(default, option.name, option.default)
            yield Option(**{**vars(option), "default": value})
        return

    def marked(name: str) -> Any:
        return next((found for mark in marks if (found := getattr(mark, name, None))), None)

    yield Option(
        name=marked("name") or field.name,
        hint=hint,
        default=default,
        help=_field_docs(cls).get(field.name) or marked("help") or "",
        positional=_POSITIONAL in marks,
        metavar=marked("metavar") or _metavar(hint),
        aliases=tuple(marked("aliases") or ()),
    )


@cache
def _field_docs(cls: type) -> dict[str, str]:
    """Return the strings below the fields of a dataclass and of the classes that it extends."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not is_dataclass(base):
            continue
        module = ast.parse(inspect.getsource(sys.modules[base.__module__]))
        body = next(
            node.body for node in ast.walk(module) if isinstance(node, ast.ClassDef) and node.name == base.__name__
        )
        for node, below in pairwise(body):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[ast.unparse(node.target)] = inspect.cleandoc(str(below.value.value))
    return found


def _metavar(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return "|".join(_metavar(part) for part in get_args(hint) if part is not types.NoneType)
    if get_origin(hint) is Literal:
        return "{" + ",".join(map(str, get_args(hint))) + "}"
    if get_origin(hint) is tuple:
        parts = [_metavar(part) for part in get_args(hint)]
        return f"{parts[0]} ..." if parts[-1] == "" or len(set(parts)) == 1 else " ".join(parts)
    if get_origin(hint) is dict:
        return "KEY VALUE ..."
    return _METAVARS.get(hint, "" if hint is ... else "VALUE")


def help_page(program: str, options: Sequence[Option], shown: Sequence[str], width: int) -> str:
    """Return usage, arguments and options of a command: those ``shown``, or all. The others are counted."""
    arguments = [option for option in options if option.positional]
    # a switch that shares its name with an option that takes a value would read as its negation
    named = [option.name for option in options]
    flags = [
        option
        for option in options
        if not option.positional
        and (not shown or (option.name in shown and not (option.hint is bool and named.count(option.name) > 1)))
    ]
    required = "".join(f" {one.flag} {one.metavar}" for one in flags if one.default is REQUIRED)
    usage = f"usage: {program}{''.join(' ' + _argument(one) for one in arguments)}{required} [OPTIONS]"
    lines = [
        fill(usage, width, subsequent_indent=" " * 10, break_on_hyphens=False),
        "",
        *(_entry(_argument(one), one.description, width) for one in arguments),
    ]
    lines += [
        *([""] if arguments else []),
        "options:",
        *(_entry(f"{one.flag} {one.metavar}".rstrip(), one.description, width) for one in flags),
    ]
    lines.append(_entry("--config FILE", "Read options from a TOML file; those on the command line win.", width))
    lines.append(_entry("-h, --help", "Show this page.", width))
    if hidden := len(options) - len(arguments) - len(flags):
        lines += ["", f"{hidden} more options, for the command line and --config alike, are listed in docs/config.md."]
    return "\n".join(lines)


def _argument(option: Option) -> str:
    several = get_origin(option.hint) is tuple
    return option.name.upper() + ("..." if several else "")


def _entry(name: str, text: str, width: int) -> str:
    indent = " " * _COLUMN
    if len(name) + 4 <= _COLUMN:
        return fill(text, width, initial_indent=f"  {name}".ljust(_COLUMN), subsequent_indent=indent)
    return f"  {name}\n{fill(text, width, initial_indent=indent, subsequent_indent=indent)}"


def with_config(options: Sequence[Option], argv: Sequence[str]) -> list[str]:
    """Replace ``--config FILE`` by the options that the TOML file sets; what the command line gives itself wins.

    Raises:
        UsageError: The file cannot be read, is no TOML, or has a key or value that the command does not take.
    """
    rest, file = _without_config(argv)
    if file is None:
        return rest
    given = {word.split("=")[0].replace("_", "-") for word in rest if word.startswith("--")}
    added: list[str] = []
    try:
        settings = read_toml(Path(file))
    except PolygraftError as error:
        raise UsageError(str(error)) from None
    for key, value in settings.items():
        option, inverted = _find(options, key, file, is_switch=isinstance(value, bool))
        if given.isdisjoint({option.flag, *option.aliases}):
            added += _words(option, not value if inverted else value, file)
    return [*rest, *added]


def _without_config(argv: Sequence[str]) -> tuple[list[str], str | None]:
    rest, files, words = [], [], iter(argv)
    for word in words:
        if word == "--config":
            files.append(next(words, ""))
        elif word.startswith("--config="):
            files.append(word.partition("=")[2])
        else:
            rest.append(word)
    if len(files) > 1:
        raise UsageError(f"--config is given {len(files)} times: put all settings into one file")
    if files == [""]:
        raise UsageError("--config needs a file: --config settings.toml")
    return rest, files[0] if files else None


def _find(options: Sequence[Option], key: str, file: str, *, is_switch: bool) -> tuple[Option, bool]:
    """Return the option that a key names, by its name or one of its flags, and whether it negates it."""
    known: dict[str, tuple[Option, bool]] = {}
    # two options may share a name, a folder --cache and a switch --no-cache: the value says which is meant
    for option in sorted(options, key=lambda one: (one.hint is bool) == is_switch):
        if not option.positional:
            flags = [flag.removeprefix("--").replace("-", "_") for flag in (option.flag, *option.aliases)]
            known |= dict.fromkeys(flags, (option, option.negated)) | {option.name: (option, False)}
    name = key.replace("-", "_")
    if name not in known:
        raise UsageError(
            f"{file} sets {key}, which is no option of this command; the nearest is {nearest(name, known)}; keys stand "
            "at the top level, not in tables"
        )
    return known[name]


def _words(option: Option, value: Any, file: str) -> list[str]:
    try:
        if value == []:
            raise PolygraftError("an option takes at least one value")
        convert(option.name, value, option.hint)
    except PolygraftError:
        allowed = "true or false" if option.hint is bool else option.metavar
        raise UsageError(f"{file} sets {option.name} to {value!r}, allowed is {allowed}") from None
    if option.hint is bool:
        return [option.flag] if value is not option.default else []
    if isinstance(value, dict):
        value = [word for pair in value.items() for word in pair]
    # in one word, so that a value may begin with a hyphen
    return [option.flag, *map(str, value)] if isinstance(value, list) else [f"{option.flag}={value}"]
