import re
from pathlib import Path

from scripts._app.cli import find_commands
from scripts._app.docs import configuration, help_text, reference

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_pages_are_what_the_commands_say():
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == reference(), "the page is stale: make docs"
    assert (DOCS / "config.md").read_text(encoding="utf-8") == configuration(), "the page is stale: make docs"


def test_the_page_does_not_depend_on_the_terminal(monkeypatch):
    first = reference()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert reference() == first


def test_the_help_of_a_command_begins_with_example_text_and_usage():
    lines = [line for line in help_text(find_commands()["info"]).splitlines() if line]
    assert lines[0].strip().startswith("polygraft info ")
    assert "usage: polygraft info FOLDER [OPTIONS]" in lines
    assert any(re.match(r"  --json +\S", line) for line in lines)


def test_no_line_is_wider_than_the_page():
    assert max(len(line) for line in reference().split("```text", 1)[1].splitlines()) <= 100
