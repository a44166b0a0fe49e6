"""polygraft vocabulary show kitchen --list prefixes

Show the contents of a narration vocabulary.

Without --list: the counts, how it was made, what updates added, and the most frequent narrations. Prefixes are
narrations, too. Pairs are listed as narration, prefix and postfix, separated by tabs; a narration that is a prefix has
no postfix.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from scripts._app.cli import Json, emit, progress, run_file

if TYPE_CHECKING:
    from video.vocabulary.vocabulary import NarrationVocabulary

_SAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which vocabulary, and what of it."""

    folder: tyro.conf.Positional[Path]
    """Folder of the vocabulary."""
    list: Literal["prefixes", "postfixes", "pairs"] | None = None
    """What to list, one a line."""
    json: Json = False


def main(options: Options) -> int:
    """Print the counts or the list."""
    from video.vocabulary.vocabulary import NarrationVocabulary

    vocabulary = NarrationVocabulary.from_pretrained(options.folder)
    if options.list is None:
        _print(vocabulary, as_json=options.json)
        return 0
    for row in _rows(vocabulary, options.list):
        emit(json.dumps(row, ensure_ascii=False) if options.json else "\t".join(row.values()))
    return 0


def _rows(
    vocabulary: "NarrationVocabulary", what: Literal["prefixes", "postfixes", "pairs"]
) -> Iterator[dict[str, str]]:
    if what == "pairs":
        return (
            {"narration": entry.text, "prefix": entry.prefix or entry.text, "postfix": entry.postfix}
            for entry in vocabulary.entries("narrations")
        )
    return ({"text": entry.text} for entry in vocabulary.entries(what))


def _print(vocabulary: "NarrationVocabulary", *, as_json: bool) -> None:
    made: dict[str, Any] = {
        **asdict(vocabulary.coding),
        "text_encoder": vocabulary.text_encoder.name if vocabulary.text_encoder else None,
        "width": vocabulary.width,
    }
    updates = [
        {
            "id": update.header.id,
            "state": update.header.state,
            "film": update.header.film,
            "proposer": update.header.proposer,
            "when": update.header.when,
            "narrations": update.header.counts.narrations,
        }
        for update in vocabulary.updates
    ]
    if as_json:
        emit(json.dumps({**vocabulary.counts, **made, "updates": updates}, ensure_ascii=False))
        return
    for name, value in {**vocabulary.counts, **made}.items():
        emit(f"{name}\t{_plain(value)}")
    for update in updates:
        emit("update\t" + "\t".join(map(_plain, update.values())))
    for text in _most_frequent(vocabulary):
        emit(f"sample\t{text}")


def _plain(value: Any) -> str:
    return {True: "yes", False: "no", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)


def _most_frequent(vocabulary: "NarrationVocabulary") -> Iterable[str]:
    entries = progress(vocabulary.entries("narrations"), total=vocabulary.size("narrations"), label="reading")
    most = heapq.nsmallest(_SAMPLES, ((-entry.count, entry.text) for entry in entries))
    return (text for _, text in most)


if __name__ == "__main__":
    run_file(__file__)
