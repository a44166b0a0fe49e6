"""What makes two builds the same, and the folder of a build while it lasts."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError, UsageError
from backbone.io.atomic_files import read_json, write_text
from crosslingual.corpus.manifest import MANIFEST, read_settings
from crosslingual.corpus.options import BuildOptions
from crosslingual.corpus.plan import Unit
from crosslingual.corpus.sources import SourceList

UNFINISHED = "unfinished"
"""Folder within the corpus that keeps what a build has done."""

_SETTINGS = "settings.json"

Settings = Mapping[str, Any]


def describe(listed: SourceList, units: Sequence[Unit], options: BuildOptions) -> Settings:
    """Return the settings of a build: options, sources, rules, and the files by name and size."""
    files = {piece.name: piece.size for unit in units for piece in unit.pieces}
    settings = {
        "options": asdict(options),
        "sources": {source.name: asdict(source) for source in listed.sources},
        "rules": {language: rules.applied() for language, rules in listed.rules.items()},
        "files": files,
    }
    plain: Settings = json.loads(json.dumps(settings))
    return plain


def is_built(out: Path, settings: Settings, *, overwrite: bool) -> bool:
    """Return whether ``out`` is the corpus that these settings make.

    Raises:
        PolygraftError: it is a file, holds something that is no corpus, or a corpus of other settings.
    """
    if out.exists() and not out.is_dir():
        raise PolygraftError(f"{out} is a file, but --out must be a folder")
    found = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if not found or found == {UNFINISHED}:
        return False
    if MANIFEST not in found:
        strange = sorted(found - {UNFINISHED})[0]
        raise PolygraftError(f"{out} holds {strange}, which is no part of a corpus: choose another --out")
    if overwrite:
        return False
    _refuse_others(read_settings(out), settings, f"{out} holds a corpus built")
    return True


def begin(out: Path, settings: Settings, *, overwrite: bool) -> Path:
    """Return the folder where the build of these settings keeps what it has done, from this call or an earlier one.

    Raises:
        UsageError: a build with other settings is unfinished there.
    """
    work = out / UNFINISHED
    if (work / _SETTINGS).is_file():
        before = read_json(work / _SETTINGS)
        if not overwrite:
            _refuse_others(before, settings, f"{out} holds a build begun")
        if before == settings:
            return work
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("parts", "shards"):
        (work / folder).mkdir(parents=True)
    write_text(work / _SETTINGS, json.dumps(settings, ensure_ascii=False))
    return work


def _refuse_others(before: Settings, now: Settings, place: str) -> None:
    for group, values in now.items():
        old = before.get(group, {})
        changed = [name for name in sorted(values.keys() | old.keys()) if values.get(name) != old.get(name)]
        if changed:
            raise UsageError(
                f"{place} with other {group} ({', '.join(changed[:3])}): give the same, choose another --out, or "
                "--overwrite it"
            )
