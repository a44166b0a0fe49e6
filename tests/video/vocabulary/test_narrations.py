import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from video.vocabulary.narrations import MAX_CHARACTERS, Narration, NarrationRow, clean, collect, read_narrations


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def texts(data: bytes, source: str = "a.txt") -> list[str]:
    return [narration.text for narration in read_narrations(data, source).narrations]


@pytest.mark.parametrize(
    ("written", "cleaned"),
    [
        ("#C C walks around.", "walks around"),
        ("#c c  Picks a Cup #unsure", "picks a cup"),
        ("#O A man X stands #Unsure.", "a man x stands"),
        ("# C C cuts the cake", "cuts the cake"),
        ("#CC wipes", "wipes"),
        ("#C Cuts bread!!", "cuts bread"),
        ("#summary C made tea", "c made tea"),
        ("takes the (unsure) lid [?]", "takes the lid"),
        ("plays a song in C#", "plays a song in c#"),
        ("turns page 3 of #3", "turns page 3 of #3"),
        ("opens\tthe\u2028 door \u200b", "opens the door"),
        ("cafe\u0301", "caf\u00e9"),
        ("#C C #unsure ...", ""),
        ("# #c c", "#"),
    ],
)
def test_tags_case_blanks_and_stops_go(written, cleaned):
    assert clean(written) == cleaned


@given(st.text(st.sampled_from("#cCoO unsrey()[]?.,;\n\tÅé"), max_size=30) | st.text(max_size=30))
def test_cleaning_again_changes_nothing_and_leaves_single_blanks(text):
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert " ".join(cleaned.split()) == cleaned


def test_lines_of_text_count_each():
    found = read_narrations(b"\xef\xbb\xbfopen door\r\nOpen door.\r\n\r\n#C C\nclose door", "a.txt")
    assert found.narrations == (Narration(text="close door"), Narration(text="open door", count=2))
    assert (found.repeats, found.empty, found.scenes) == (0, 1, {})


def test_repeats_within_a_video_are_one_and_the_sources_are_kept():
    found = read_narrations(
        lines(
            {"text": "open door", "video": "b", "scenario": "Cooking", "verb": "open"},
            {"text": "Open door", "video": "b", "scenario": " cooking"},
            {"text": "open door", "video": 7, "scenario": None},
            {"text": "close door", "scenario": "cleaning"},
        ),
        "a.jsonl",
    )
    assert found.narrations == (
        Narration(text="close door", scenarios=("cleaning",)),
        Narration(text="open door", count=2, videos=("7", "b"), scenarios=("cooking",)),
    )
    assert found.scenes == {"cleaning": (), "cooking": ("b",)}
    assert found.repeats == 1


@given(
    st.permutations([NarrationRow(t, v, s) for t in ("a b", "A b.", "c") for v in ("", "x", "y") for s in ("", "S")])
)
def test_the_order_of_the_lines_does_not_matter(rows):
    assert collect(rows) == collect(sorted(rows, key=repr))


def test_json_is_known_by_its_name_or_its_first_line():
    assert texts(b'{"text": "a b"}\n', "a.txt") == texts(b'\n{"text": "a b"}', "standard input") == ["a b"]
    assert texts(b"a {b}\n", "a.txt") == ["a {b}"]
    with pytest.raises(PolygraftError, match="line 1 is not JSON"):
        texts(b"a b\n", "A.JSONL")


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"", "a.txt holds no narration"),
        ("a.txt", b"#C C\n...\n", "holds no narration"),
        ("a.txt", b"fine\ncaf\xe9\n", "a.txt, line 2 is not UTF-8"),
        ("a.txt", "open".encode("utf-16"), "line 1 is not UTF-8"),
        ("a.txt", b"fine\n\no\0p\n", "a.txt, line 3 holds NUL characters"),
        ("a.txt", b"fine\n" + b"x" * 1_000_000, "line 2 has 1,000,000 characters, allowed is 2,000"),
        ("a.jsonl", lines({"text": "x" * (MAX_CHARACTERS + 1)}), "line 1 has 2,001 characters"),
        ("a.jsonl", b'{"text": "fine"}\n{"text": \n', "a.jsonl, line 2 is not JSON"),
        ("a.jsonl", b"[1]\n", "line 1 is a list, not an object"),
        ("a.jsonl", lines({"text": "a"}, {"narration": "b"}), "line 2 has no text under 'text'"),
        ("a.jsonl", lines({"text": ["a"]}), "line 1 has no text under 'text'"),
        ("a.jsonl", lines({"text": "a", "video": ["v"]}), "line 1 has list under 'video'"),
        ("a.jsonl", lines({"text": "a", "scenario": True}), "line 1 has bool under 'scenario'"),
        ("a.jsonl", b'{"text": "a\\u0000b"}\n', "line 1 holds NUL"),
        ("a.jsonl", b'{"text": "a\\ud800b"}\n', "line 1 holds half a surrogate pair"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_bad_input_is_one_sentence_with_file_and_line(name, data, told):
    with pytest.raises(PolygraftError) as caught:
        read_narrations(data, name)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_every_row_passes_before_the_watcher():
    seen = []

    def watch(rows):
        for row in rows:
            seen.append(row.text)
            yield row

    read_narrations(b"b\na\n", "a.txt", progress=watch)
    assert seen == ["b", "a"]
