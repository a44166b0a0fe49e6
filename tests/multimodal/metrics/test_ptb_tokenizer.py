import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multimodal.metrics.ptb import PUNCTUATION, tokenize
from tests.multimodal.metrics.coco_caption import original_tokens, parity
from tests.multimodal.metrics.goldens import read_captions

ROWS = read_captions()
FRAGMENTS = sorted({word for row in ROWS for word in row["text"].split(" ")} - {""})
# What adds a line in the original and so shifts all that follows it.
LINE_ENDS = "\r\v\f\u2028\u2029"


def one(caption: str) -> str:
    return tokenize([caption])[0]


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in ROWS}))
def test_tokens_are_those_of_the_original(kind):
    tokens = tokenize([row["text"] for row in ROWS])
    for row, found in zip(ROWS, tokens, strict=True):
        assert row["kind"] != kind or found == row["tokens"], row["text"]


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("A dog, a Cat.", "a dog a cat"),
        ("", ""),
        ("! ? -- ...", ""),
        ("wow!!", "wow !!"),
        ("(x) [y] {z}", "-lrb- x -rrb- -lsb- y -rsb- -lcb- z -rcb-"),
        ("I can't; it's John's", "i ca n't it 's john 's"),
        ("cannot gonna", "can not gon na"),
        ("\U0001f60d love \u2764", "love \u2764"),
        ("\\u0001f60d", "\\ u0001f60d"),
        ("#ootd @jane_doe #throwback_thursday", "#ootd @jane_doe #throwback _ thursday"),
        ("_UNK", "_ unk"),
        ("w/ and/or 5 1/2", "w / and/or 5\u00a01/2"),
        ("日本語 中文。", "日本語 中文 。"),
        ("U.S. e.g. Mr. X", "u.s. e.g. mr. x"),
    ],
)
def test_habits_of_the_original(caption, tokens):
    assert one(caption) == tokens


def test_the_last_word_of_a_caption_may_depend_on_the_next_caption():
    assert tokenize(["vitamin C.", "The dog"]) == ["vitamin c", "the dog"]
    assert tokenize(["vitamin C.", "dogs"]) == ["vitamin c.", "dogs"]


@pytest.mark.parametrize("end", ["\n", "\r\n", *LINE_ENDS])
def test_a_line_end_inside_a_caption_is_a_blank(end):
    assert tokenize([f"a{end}dog", "a cat"]) == ["a dog", "a cat"]


def test_a_tag_that_is_closed_in_a_later_caption_shifts_nothing():
    assert len(tokenize(['see <a href="x', 'y"> here', "a dog"])) == 3


def test_nothing_gives_nothing():
    assert tokenize([]) == []


@given(st.lists(st.text(), max_size=4))
def test_any_text_gives_one_line_of_clean_tokens_each(captions):
    found = tokenize(captions)
    assert len(found) == len(captions)
    for line in found:
        assert not PUNCTUATION.intersection(line.split(" "))
        assert "\n" not in line and line == line.strip(" ")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_blanks_around_a_caption_do_not_matter(caption):
    assert one(f"  {caption} ") == one(f"{caption} ")


# Against the original itself


def joined(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), min_size=1, max_size=8))
    return draw(st.sampled_from(["", " "])).join(parts)


captions_of_fragments = st.composite(joined)().map(lambda text: text.translate(dict.fromkeys(map(ord, LINE_ENDS), " ")))


@parity
@pytest.mark.slow
@settings(max_examples=4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(captions_of_fragments, min_size=20, max_size=200))
def test_made_up_captions_are_split_as_by_the_original(captions):
    assert tokenize(captions) == original_tokens(captions)


@parity
@pytest.mark.slow
def test_thousands_of_hostile_captions_are_split_as_by_the_original():
    draw = random.Random(0)
    signs = "abcntsuUS.,;:'\"`!?-_/\\@#&<>()[]{}=*+$ 0123456789 ’“é\u00ad\u0301日😀"
    captions = ["".join(draw.choices(signs, k=draw.randint(1, 24))) for _ in range(4000)]
    captions += [" ".join(draw.choices(FRAGMENTS, k=draw.randint(1, 8))) for _ in range(4000)]
    captions += [
        f"a{chr(code)}b {chr(code)} 3{chr(code)}4" for code in range(0x20, 0x3000) if chr(code) not in LINE_ENDS
    ]
    assert [
        pair for pair in zip(tokenize(captions), original_tokens(captions), strict=True) if pair[0] != pair[1]
    ] == []
