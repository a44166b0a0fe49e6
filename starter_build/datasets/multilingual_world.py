"""The text of the seventeen languages as a corpus."""

from functools import partial
from pathlib import Path

from starter_build.datasets.multilingual_texts import MultilingualMaterial, build_material
from starter_build.datasets.world import WORLD, kept_for_test, world_documents

# pages of help are short and hold menus, chapters are one line
_RULES = "[rules]\nmin_words = 10\nmin_ended_lines = 0.0\nmax_newlines = 0.5\n"


def world_material(data: Path, folder: Path) -> MultilingualMaterial:
    """Return the corpus of all languages, made where it is missing.

    Args:
        data: where fetched packages are kept.
        folder: where the corpus is kept, and what it is made of.
    """
    languages = {code: partial(world_documents, data, code) for code in WORLD}
    return build_material(languages, folder, for_test=kept_for_test, rules=_RULES)
