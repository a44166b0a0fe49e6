"""Thresholds by language that others have published: those of FineWeb-2 (Penedo et al., 2025)."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from backbone.errors import PolygraftError
from backbone.io.atomic_files import read_json

PresetName = Literal["gopher", "fineweb-2"]
"""What ``preset`` names among the rules: Gopher's thresholds, the same for all languages, or FineWeb-2's for each."""

_FILE = Path(__file__).with_name("fineweb2.json")
_UNTUNED = ("en",)  # FineWeb-2 has no English; the rules of FineWeb are the defaults


def preset_rules(name: object, language: str) -> dict[str, Any]:
    """Return the thresholds that a preset sets otherwise than `Rules` does.

    Those of FineWeb-2 were tuned on text of the language: numbers, and the words that are most frequent in its
    Wikipedia. ``fineweb2.json`` holds those of 63 languages, from the settings that the project has published; the
    words of Korean are left out, since they are particles that no blank parts from their nouns.

    Raises:
        PolygraftError: there is no such preset, or it says nothing of the language.
    """
    if name not in get_args(PresetName):
        raise PolygraftError(f"preset is {name!r}, but must be one of {', '.join(get_args(PresetName))}")
    code = re.split("[-_]", language)[0].lower()
    if name == "gopher" or code in _UNTUNED:
        return {}
    if code not in _published():
        raise PolygraftError(
            f'the preset fineweb-2 knows no thresholds of {code!r}: write preset = "gopher" under [language.{language}]'
        )
    return dict(_published()[code])


@lru_cache(maxsize=1)
def _published() -> dict[str, dict[str, Any]]:
    return read_json(_FILE)
