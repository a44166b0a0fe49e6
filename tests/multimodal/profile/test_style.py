import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal.metrics import ptb
from multimodal.profile.text_features import EMOJI, Style, emoji_words, style_distance

TEXTS = st.lists(st.text(max_size=30), max_size=5)


def test_a_style_by_hand():
    style = Style.of(["My Dog, :dog: #fun", "a 😀 it"])
    assert style.words == 7 / 2
    assert style.characters == (18 + 6) / 2
    assert style.emoji == style.hashtags == style.shortcodes == style.first_person == 1 / 7
    assert style.capitals == 2 / 14  # M and D among MyDogdogfunait
    assert style.punctuation == 1 / 19  # the comma


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("DOG FACE", "capitals", 1),
        ("犬の顔", "capitals", 0),
        ("male-cook", "punctuation", 1 / 9),
        ("dog_face", "punctuation", 0),
        ("dog_face", "shortcodes", 1),
        (":+1: at 10:30:45", "shortcodes", 1 / 3),
        ("#1 #! a#b", "hashtags", 1 / 3),
        ("I'm with us in the US", "first_person", 2 / 6),
        ("Wii mew", "first_person", 0),
        ("👨‍👩‍👧 🇩🇪 4️⃣ ❤️ 4 ©", "emoji", 4 / 6),
        (" a \n b ", "characters", 3),
    ],
)
def test_what_counts_as_what(text, name, value):
    assert getattr(Style.of([text]), name) == value


def test_each_figure_has_a_name_and_a_unit():
    names = tuple(field.name for field in dataclasses.fields(Style))
    assert names == Style.NAMES == tuple(Style.UNITS)
    assert len(names) == Style.SIZE == len(Style.of([]).as_vector())


def test_the_vector_is_in_units_and_cut_to_one():
    style = Style.of(["DOG"])
    assert style.as_vector() == [1 / 10, 3 / 60, 0, 0, 1, 0, 0, 0]
    assert Style.of(["a" * 10_000]).as_vector()[:2] == [1 / 10, 1]
    assert Style.of(["dog"] * 3).as_vector() == Style.of(["dog"]).as_vector()


def test_no_text_has_a_style_of_zeros():
    assert Style.of([]).as_vector() == Style.of(["", " "]).as_vector() == [0.0] * Style.SIZE
    assert Style.of(["\ud800"]).words == 1  # half a pair, as broken JSON may hold


def test_a_distance_by_hand():
    # one word and three characters more, capitals instead of none
    assert style_distance(["a"], ["DOG ME"]) == pytest.approx((1 / 10 + 5 / 60 + 1 + 0.5 / 0.5) / 8)


def test_writers_are_nearer_to_themselves_than_to_one_another():
    shouting, coding = ["DOG FACE", "RED APPLE", "SUN"], ["dog_face", "red_apple", "sun_face"]
    assert style_distance(shouting[:2], shouting[2:]) < style_distance(shouting[:2], coding[:2]) / 5


@given(TEXTS)
def test_a_vector_is_finite_and_in_the_unit_cube(texts):
    vector = Style.of(texts).as_vector()
    assert len(vector) == Style.SIZE
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in vector)


@given(TEXTS, TEXTS)
def test_a_distance_is_symmetrical_and_blind_to_order(first, second):
    assert style_distance(first, second) == style_distance(second, first[::-1]) >= 0
    assert style_distance(first, first[::-1]) == 0


# Emoji as words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("so😀!", "so emoji_grinning_face !"),
        ("❤️❤", " emoji_heavy_black_heart  emoji_heavy_black_heart "),
        ("👍🏽", " emoji_thumbs_up_sign_emoji_modifier_fitzpatrick_type_4 "),
        ("👨‍👩‍👧", " emoji_man_woman_girl "),
        ("🇩🇪", " emoji_regional_indicator_symbol_letter_d_regional_indicator_symbol_letter_e "),
        ("1️⃣ 1", " emoji_digit_one_combining_enclosing_keycap  1"),
        ("\U0001faff", " emoji_u1faff "),
        ("© #1 * né", "© #1 * né"),
    ],
)
def test_each_emoji_becomes_one_word(text, words):
    assert emoji_words(text) == words


def test_the_words_live_through_the_tokenizer_that_drops_emoji():
    images = [chr(code) for code in (*range(0x1F300, 0x1F650), *range(0x1F680, 0x1F6D0), *range(0x1F900, 0x1FA00))]
    assert ptb.tokenize(["a 😀 b"]) == ["a b"]
    assert ptb.tokenize([f"a {emoji_words(image)} b" for image in images]) == [
        f"a {emoji_words(image).strip()} b" for image in images
    ]


@given(st.text())
def test_no_emoji_is_left_and_the_rest_stays(text):
    words = emoji_words(text)
    assert not EMOJI.search(words)
    assert (words == text) == (not EMOJI.search(text))
