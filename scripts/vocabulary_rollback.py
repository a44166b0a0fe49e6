"""polygraft vocabulary rollback kitchen

Roll back an update of a narration vocabulary, the latest or the one that is named.

The narrations that it added are removed; its record stays, and `polygraft vocabulary show` lists it. The original
vocabulary and other updates are untouched.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from scripts._app.cli import Json, emit, run_file


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which vocabulary, and which update."""

    folder: tyro.conf.Positional[Path]
    """Folder of the vocabulary."""
    id: str = ""
    """Update to roll back, such as 0001; empty: the latest."""
    json: Json = False


def main(options: Options) -> int:
    """Roll the update back and print what it was."""
    from video.update.rollback import rollback

    update = rollback(options.folder, options.id)
    facts = {
        "id": update.header.id,
        "film": update.header.film,
        "proposer": update.header.proposer,
        "removed": update.header.counts.narrations,
    }
    emit(json.dumps(facts, ensure_ascii=False) if options.json else "\t".join(str(value) for value in facts.values()))
    return 0


if __name__ == "__main__":
    run_file(__file__)
