"""The console command ``polygraft``, also ``python -m scripts``: finds the command and runs it."""

import sys
from collections.abc import Sequence

from backbone.checkpoint import own_version
from scripts._app.cli import emit, find_commands, guard, listing, run, split_words

TITLE = "polygraft: small trained parts on one frozen GPT-2, to caption images, narrate videos and learn languages."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` names (the arguments of this process by default). Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guard(lambda: _dispatch(arguments))


def _dispatch(argv: Sequence[str]) -> int:
    if list(argv) == ["--version"]:
        emit(f"polygraft {own_version()}")
        return 0
    commands = find_commands()
    name, rest = split_words(commands, argv)
    if name in commands:
        return run(commands[name], rest)
    emit(listing(commands, name) if name else f"{TITLE}\n\n{listing(commands)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
