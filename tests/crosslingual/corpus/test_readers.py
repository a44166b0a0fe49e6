"""Reading sources: every format and rule, whole and cut into pieces, hostile files, wrong lists."""

import bz2
import gzip
import io
import json
import lzma
import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from crosslingual.corpus.compressed_io import LineWriter, open_unpacked, read_lines, read_objects, read_through
from crosslingual.corpus.quality_filters import Rules
from crosslingual.corpus.readers import Piece, Unit, plan_units, read_documents
from crosslingual.corpus.sources import Source, SourceList, _published, preset_rules, read_sources
from crosslingual.corpus.unicode_scripts import writing_of
from tests.crosslingual.tiny_corpus import build, source

PACKERS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def read(folder, name, data, *, limit=1000, unit_bytes=10**9, **fields):
    """Write a file and return what is read of it, by place, in as many units as it takes."""
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    one = Source(name="s", language="en", licence="", path=name, **fields)
    units = plan_units(SourceList(sources=(one,), rules={}, folder=folder), unit_bytes)
    found = [document for unit in units for document in read_documents(unit, limit)]
    return {
        document.id.removeprefix(f"s/{name}").removeprefix(":"): document.lost or document.text for document in found
    }


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ("file", {"": "one\ntwo\n\n \nthree"}),
        ("line", {"0": "one\n", "4": "two\n", "11": "three"}),
        ("paragraph", {"0": "one\ntwo\n", "11": "three"}),
    ],
)
def test_what_a_document_of_a_text_file_is(tmp_path, documents, expected):
    assert read(tmp_path, "a.txt", "one\ntwo\n\n \nthree", documents=documents) == expected


def test_json_lines_and_what_is_wrong_with_them(tmp_path):
    lines = ['{"text": "a"}', "", '{"text": 3}', '{"body": "b"}', "[1]", "{", '{"text": "\\ud800"}', "[" * 500]
    found = read(tmp_path, "a.jsonl", "\n".join(lines))
    assert list(found.values()) == ["a", "no_text", "no_text", "no_text", "not_json", "not_unicode", "not_json"]
    assert list(read(tmp_path, "b.ndjson", '{"body": "b"}', text="body").values()) == ["b"]


@pytest.mark.parametrize("ending", PACKERS)
def test_packed_files_are_read_and_cut_off_ones_told(tmp_path, ending):
    data = "\n".join(f"line {number} {number * 7919 % 10007}" for number in range(3000)).encode()
    whole = read(tmp_path, f"a.txt.{ending}", PACKERS[ending](data), documents="line")
    assert whole == read(tmp_path, "a.txt", data, documents="line")
    for cut in (-1, -5, len(PACKERS[ending](data)) // 2):
        with pytest.raises(PolygraftError, match=rf"b.txt.{ending} is cut off or damaged"):
            read(tmp_path, f"b.txt.{ending}", PACKERS[ending](data)[:cut], documents="line")
    with pytest.raises(PolygraftError, match=rf"c.txt.{ending} (is cut off or damaged|cannot be read)"):
        read(tmp_path, f"c.txt.{ending}", b"this was never packed", documents="line")


def test_several_zstandard_frames_on_end_are_one_file(tmp_path):
    frames = PACKERS["zst"](b"one\n") + PACKERS["zst"](b"") + PACKERS["zst"](b"two\n")
    assert list(read(tmp_path, "a.txt.zst", frames, documents="line").values()) == ["one\n", "two\n"]


def test_bytes_that_are_no_text_are_lost_one_by_one(tmp_path):
    found = read(tmp_path, "a.txt", b"\xef\xbb\xbfgood\n\xff\xfe bad\nfine \xc3\xa9\n", documents="line")
    assert list(found.values()) == ["good\n", "not_unicode", "fine é\n"]


@pytest.mark.parametrize("documents", ["file", "line", "paragraph"])
def test_a_document_at_the_limit_is_read_and_one_byte_more_is_lost(tmp_path, documents):
    for size, expected in ((1000, "x" * 1000), (1001, "too_long")):
        assert list(read(tmp_path, "a.txt", b"x" * size, documents=documents).values()) == [expected]
    lines = b"x" * 600 + b"\n" + b"x" * 600 + b"\n\nend"
    assert list(read(tmp_path, "b.txt", lines, documents="paragraph").values()) == ["too_long", "end"]


class _Endless(io.RawIOBase):
    """Two gigabytes without a line end, then one line."""

    def __init__(self, size=2 << 30):
        self._left = size

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(len(buffer), self._left)
        self._left -= count
        if count:
            buffer[:count] = b"a" * count
            return count
        tail, self._tail = getattr(self, "_tail", b"\nlast\n"), b""
        buffer[: len(tail)] = tail
        return len(tail)


def test_a_line_of_two_gigabytes_is_passed_over_in_constant_memory():
    tracemalloc.start()
    lines = list(read_lines(io.BufferedReader(_Endless(), 1 << 20), limit=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [(0, (2 << 30) + 1, None), ((2 << 30) + 1, 5, b"last\n")]
    assert peak < 8 << 20


def test_a_packed_file_that_unpacks_to_a_thousand_times_as_much_is_passed_over_in_constant_memory(tmp_path):
    with zstandard.ZstdCompressor().stream_writer((tmp_path / "a.txt.zst").open("wb")) as out:
        for _ in range(1 << 8):
            out.write(b"a" * (1 << 20))
    one = Source(name="s", language="en", licence="", path="a.txt.zst")
    piece = Piece(name="s/a", path=tmp_path / "a.txt.zst", size=1, stop=1)
    tracemalloc.start()
    found = list(read_documents(Unit(number=0, source=one, pieces=(piece,)), 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(document.lost, document.size) for document in found] == [("too_long", 1 << 28)]
    assert peak < 100 << 20


LINES = st.lists(st.sampled_from(["", " ", "a", "word", "é" * 7, "\r", '{"text": "x"}', "  x"]))


@given(LINES, st.integers(1, 40), st.sampled_from(["line", "jsonl"]))
def test_a_file_cut_anywhere_gives_the_same_documents(tmp_path_factory, lines, unit_bytes, kind):
    folder = tmp_path_factory.mktemp("cut")
    fields = {"documents": "line"} if kind == "line" else {"format": kind}
    whole = read(folder, "a.txt", "\n".join(lines), **fields)
    assert read(folder, "a.txt", "\n".join(lines), unit_bytes=unit_bytes, **fields) == whole


def test_small_files_are_taken_together(tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * 10)
    one = Source(name="s", language="en", licence="", path="*.txt")
    units = plan_units(SourceList(sources=(one,), rules={}, folder=tmp_path), 35)
    assert [len(unit.pieces) for unit in units] == [3, 3, 3, 1]


# Columns


@pytest.fixture
def parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"text": ["a", None, "b"], "n": [1, 2, 3]}), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_parquet(parquet):
    folder = parquet.parent
    assert read(folder, "a.parquet", parquet.read_bytes()) == {"0": "a", "1": "no_text", "2": "b"}
    with pytest.raises(PolygraftError, match=r"a\.parquet .*'body'"):
        read(folder, "a.parquet", parquet.read_bytes(), text="body")
    with pytest.raises(PolygraftError, match=r"b\.parquet"):
        read(folder, "b.parquet", parquet.read_bytes()[:-9])


def test_a_data_set_is_streamed_shard_by_shard(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "set").mkdir()
    for number in range(3):
        (tmp_path / "set" / f"{number}.jsonl").write_text(json.dumps({"text": f"text {number}"}) + "\n")
    one = Source(name="s", language="en", licence="", dataset=str(tmp_path / "set"))
    units = plan_units(SourceList(sources=(one,), rules={}), 10**6)
    found = [(document.id, document.text) for unit in units for document in read_documents(unit, 100)]
    assert len(units) == 3 and found == [(f"s/{number}:0", f"text {number}") for number in range(3)]
    other = Source(name="s", language="en", licence="", dataset=str(tmp_path / "set"), text="body")
    with pytest.raises(PolygraftError, match="'body'"):
        list(read_documents(plan_units(SourceList(sources=(other,), rules={}), 10**6)[0], 100))
    with pytest.raises(PolygraftError, match="nowhere-at-all"):
        plan_units(
            SourceList(sources=(Source(name="s", language="en", licence="", dataset="nowhere-at-all"),), rules={}), 9
        )


# Our own lines


def test_lines_come_back_and_are_the_same_bytes(tmp_path):
    items = [{"text": "é\n\u2028", "id": "1"}, {}, {"n": [1, None]}]
    for name in ("a.zst", "b.zst"):
        with LineWriter(tmp_path / name) as out:
            for item in items:
                out.write(item)
    with open_unpacked(tmp_path / "a.zst") as stream:
        assert list(read_objects(stream)) == items
    assert (tmp_path / "a.zst").read_bytes() == (tmp_path / "b.zst").read_bytes()


def test_a_file_that_vanishes_is_told(tmp_path):
    with pytest.raises(PolygraftError, match=r"gone\.txt"):
        list(read_through(tmp_path / "gone.txt", (open_unpacked(path) for path in [tmp_path / "gone.txt"])))


# The list


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "there is no [[source]] in it"),
        ("[[source", "is not TOML"),
        ("[sources]", "the list has no 'sources' (nearest: 'source'): it knows language, rules, source"),
        ("source = 3", "there is no [[source]] in it"),
        (source("a", "en", "a.txt", colour="red"), "source 'a' has no 'colour'"),
        (source("a", "en", "a.txt", licence=""), "source 'a' has no licence"),
        (source("a/b", "en", "a.txt"), "name 'a/b' is not letters, digits, dots and dashes"),
        (source("a", "../x", "a.txt"), "language '../x' is not a code"),
        (source("a", "en", "a.txt", dataset="c4"), "needs one of path and dataset"),
        (source("a", "en", ""), "needs one of path and dataset"),
        (source("a", "en", 3), "source 'a' path is 3"),
        (source("a", "en", "a.txt", format="pdf"), "format is 'pdf'"),
        (source("a", "en", "a.txt", documents="page"), "documents is 'page'"),
        (source("a", "en", "a.txt") * 2, "two sources are called 'a'"),
        (source("a", "en", "a.txt") + "[rules]\nmin_word = 3", "the rules of en has no 'min_word'"),
        (source("a", "en", "a.txt") + '[rules]\nmin_words = "3"', "min_words is '3'"),
        (source("a", "en", "a.txt") + "[rules]\nmin_words = -1", "a threshold is 0 or more"),
        (source("a", "en", "a.txt") + "[rules]\npreset = 'c4'", "preset is 'c4', but must be one of gopher, fineweb-2"),
        (
            source("a", "tlh", "a.txt") + "[rules]\npreset = 'fineweb-2'",
            "knows no thresholds of 'tlh': write preset",
        ),
        (source("a", "en", "a.txt") + "[rules]\nmax_top_ngrams = [true, 'x']", "max_top_ngrams is True"),
        (source("a", "en", "a.txt") + '[language.en]\nscripts = ["LATEIN"]', "scripts names 'LATEIN'"),
        (
            source("a", "en", "a.txt") + "[language.de]\nmin_words = 3",
            "[language] has no 'de' (nearest: 'en'): it knows en",
        ),
    ],
)
def test_a_wrong_list_is_one_sentence(tmp_path, text, told):
    (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(PolygraftError) as caught:
        read_sources(tmp_path / "sources.toml")
    assert told in str(caught.value) and str(caught.value).startswith(str(tmp_path / "sources.toml"))


def test_published_thresholds_hold_where_nothing_else_is_said(tmp_path):
    rules = "[rules]\npreset = 'fineweb-2'\nmin_words = 3\n"
    rules += "[language.ru]\nmax_newlines = 0.5\n[language.th]\npreset = 'gopher'\n"
    names = ("sw", "ru", "en", "th")
    (tmp_path / "sources.toml").write_text("".join(source(name, name, name) for name in names) + rules)
    found = read_sources(tmp_path / "sources.toml").rules
    assert found["en"] == found["th"] == Rules(min_words=3)
    assert (found["sw"].max_word_length, found["sw"].max_top_ngrams) == (9, (0.396, 0.282, 0.231))
    assert found["sw"].stop_words[:3] == ("ya", "na", "wa") and found["sw"].max_newlines == 0.167
    assert (found["ru"].max_newlines, found["ru"].min_language, found["ru"].min_words) == (0.5, 0.9, 3)


def test_every_published_threshold_is_one_that_there_is():
    for code in _published():
        rules = Rules(
            **{name: tuple(v) if isinstance(v, list) else v for name, v in preset_rules("fineweb-2", code).items()}
        )
        assert (len(rules.stop_words) >= rules.min_stop_words or code == "ko") and writing_of(code).scripts, code
        assert [len(rules.max_top_ngrams), len(rules.max_repeated_ngrams)] == [3, 6], code
        assert rules.min_word_length < rules.max_word_length and 0.5 < rules.min_letter_words < 1, code
        assert min(rules.max_repeated_ngrams) > 0 and max(*rules.max_top_ngrams, rules.max_repeated_lines) < 1, code


def test_rules_of_a_language_go_before_common_ones(tmp_path):
    rules = "[rules]\nmin_words = 3\nmax_words = 9\n[language.ru]\nmin_words = 4\nstop_words = ['и', 'в']\n"
    (tmp_path / "sources.toml").write_text(source("a", "en", "a") + source("b", "ru", "b") + rules)
    found = read_sources(tmp_path / "sources.toml").rules
    assert [(rule.min_words, rule.max_words, rule.stop_words) for rule in found.values()] == [
        (3, 9, ()),
        (4, 9, ("и", "в")),
    ]


def test_sources_that_cannot_be_read_are_told_before_anything_is_written(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    (tmp_path / "texts" / "b").write_text("b")
    for listed, told in (
        (source("a", "en", "none/*.txt"), "none/\\*.txt cannot be read, it matches no file"),
        (source("a", "en", "texts"), "texts cannot be read, it is a folder: write texts/\\*"),
        (source("a", "en", "texts/b"), "the ending of .*b tells no format: give source 'a' a format"),
        (
            source("a", "en", "texts/a.txt") + source("b", "de", "texts/*.txt"),
            "a.txt belongs to two sources, 'a' and 'b'",
        ),
    ):
        with pytest.raises(PolygraftError, match=told):
            build(tmp_path, listed)
        assert not (tmp_path / "corpus").exists()
    with pytest.raises(PolygraftError, match=r"none\.toml"):
        read_sources(tmp_path / "none.toml")
