"""Help pages and configuration files, which are made from the options dataclass of a command."""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from backbone.errors import UsageError
from scripts._app.cli import find_commands, listing, parse
from scripts._app.docs import help_text
from scripts._app.options import REQUIRED, help_page, options_of, with_config

COMMANDS = find_commands()


@dataclass(frozen=True, kw_only=True)
class Search:
    """Nested."""

    beams: int = 1
    """Width of the beam."""
    cache: bool = True
    """Keep keys and values."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of a command."""

    images: tyro.conf.Positional[tuple[str, ...]]
    """Images."""
    out: Path
    """Folder."""
    start: Annotated[str, tyro.conf.arg(name="from")] = ""
    """Where to begin."""
    search: Search = field(default_factory=lambda: Search(beams=5))
    sizes: tuple[int, ...] = ()
    """Sizes."""
    mode: Literal["a", "b"] = "a"
    """Mode."""
    rate: float | None = None
    """Rate."""
    fast: bool = False
    """Be fast."""
    hidden: tyro.conf.Suppress[int] = 3
    """Never an option."""


TABLE = options_of(Options)


def words(tmp_path, text, *argv):
    file = tmp_path / "settings.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return with_config(TABLE, [*argv, "--config", str(file)])


def test_a_table_of_options_is_flat_and_knows_defaults_and_help():
    found = {option.name: option for option in TABLE}
    assert list(found) == ["images", "out", "from", "beams", "cache", "sizes", "mode", "rate", "fast"]
    assert found["out"].default is REQUIRED and found["beams"].default == 5 and found["images"].positional
    assert [found[name].metavar for name in ("out", "sizes", "mode", "rate")] == ["PATH", "INT ...", "{a,b}", "FLOAT"]
    assert (found["cache"].flag, found["cache"].description) == ("--no-cache", "Do not keep keys and values.")


def test_a_help_page_counts_what_it_leaves_out():
    page = help_page("polygraft x", TABLE, ("out", "cache"), 80)
    assert page.startswith("usage: polygraft x IMAGES... --out PATH [OPTIONS]")
    assert "--no-cache" in page and "--beams" not in page and "6 more options" in page
    assert "--beams INT" in help_page("polygraft x", TABLE, (), 80)


def test_a_configuration_sets_options_and_the_command_line_wins(tmp_path):
    text = 'out = "runs/a"\nbeams = 3\ncache = false\nfast = true\nsizes = [1, 2]\nfrom = "x"\nrate = 1e-3\n'
    assert words(tmp_path, text, "a.jpg", "--beams", "4") == [
        "a.jpg", "--beams", "4", "--out=runs/a", "--no-cache", "--fast", "--sizes", "1", "2", "--from=x",
        "--rate=0.001",
    ]  # fmt: skip
    assert words(tmp_path, "fast = false\ncache = true") == words(tmp_path, "no_cache = false") == []
    assert words(tmp_path, "no-cache = true\nout = '--x'") == ["--no-cache", "--out=--x"]
    assert with_config(TABLE, ["a.jpg"]) == ["a.jpg"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("beam = 3", ["beam,", "beams"]),
        ("images = ['a']", ["images"]),
        ("hidden = 4", ["hidden"]),
        ("beams = true", ["beams", "True", "INT"]),
        ("beams = [1, 2]", ["beams", "INT"]),
        ("beams = 2.5", ["beams", "2.5", "INT"]),
        ("mode = 'c'", ["mode", "'c'", "{a,b}"]),
        ("sizes = ['x']", ["sizes", "INT ..."]),
        ("rate = 'fast'", ["rate", "FLOAT"]),
        ("[search]\nbeams = 1", ["search", "tables"]),
        ("fast = 1", ["fast", "true or false"]),
        ("[beams]\nx = 1", ["beams", "INT"]),
        ("beams = ", ["settings.toml", "not TOML"]),
        (b"out = '\xff'", ["settings.toml", "UTF-8"]),
    ],
)
def test_a_faulty_configuration_is_one_sentence(tmp_path, text, names):
    with pytest.raises(UsageError) as caught:
        words(tmp_path, text)
    assert all(name in str(caught.value) for name in names)
    assert "\n" not in str(caught.value)


def test_a_configuration_that_cannot_be_read_is_one_sentence(tmp_path):
    for file in (tmp_path / "gone.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            with_config(TABLE, [f"--config={file}"])
    with pytest.raises(UsageError, match="2 times"):
        with_config(TABLE, ["--config", "a", "--config=b"])
    with pytest.raises(UsageError, match="--config needs a file"):
        with_config(TABLE, ["--config"])
    (tmp_path / "huge.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(UsageError, match="larger than"):
        with_config(TABLE, ["--config", str(tmp_path / "huge.toml")])


def test_a_command_takes_a_configuration(tmp_path):
    (tmp_path / "c.toml").write_text("epochs = 2.0\nbackground-save = true\nlend = false\ncache = 'features'\n")
    command = COMMANDS["train captioner"]
    options = parse(command, ["posts.jsonl", "--out", "x", "--config", str(tmp_path / "c.toml")])
    assert (options.train.epochs, options.train.background_save, options.lend) == (2.0, True, False)
    assert options.cache == Path("features")


def test_an_empty_configuration_changes_nothing_in_any_command(tmp_path):
    (tmp_path / "empty.toml").touch()
    for command in COMMANDS.values():
        argv = command.example.split()[1 + len(command.name.split()) :]
        assert parse(command, [*argv, "--config", str(tmp_path / "empty.toml")]) == parse(command, argv)


def test_the_list_of_commands_is_short_and_has_each_once_below_a_task():
    lines = [line for line in listing(COMMANDS).splitlines() if line.startswith("  ") and line[2] != " "]
    assert len(lines) == len(COMMANDS) <= 24
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_help_page_shows_at_most_twenty_options_each_with_a_sentence(command):
    module = import_module(command.module)
    options = options_of(module.Options)
    names = {option.name for option in options}
    assert set(getattr(module, "SHOWN", ())) <= names
    assert all(option.help and option.metavar != "VALUE" for option in options)
    shown = [line for line in help_text(command).splitlines() if line.startswith("  --")]
    assert len(shown) <= 21  # --config is one of them
    assert not [line for line in shown if "(default: True)" in line]
