"""Texts in natural form, and in those of the papers."""

import re
import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal.data.normalization import FORMS, PAPER_WORDS, natural, paper_instagram, paper_yfcc

ANY = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
EMOJI = "😀☀✂🚀🌀"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  My  DOG\n\tRex! 😀 ", "My DOG Rex! 😀"),
        ("cafe\u0301", "café"),
        ("a\u00a0b\u2003c", "a b c"),
        ("#Sunset@home", "#Sunset@home"),
        ("שלום  עולם", "שלום עולם"),
        (" \n", ""),
    ],
)
def test_natural_text_keeps_case_punctuation_and_emoji(text, form):
    assert natural(text) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("My#Dog@Anna.B_1, ok?", "my #dog @username ok"),
        ("one\ntwo", "one two"),
        ("HELLO World", "hello world"),
        ("sun😀day", r"sun \U0001f600 day"),
        ("❤️", r"\u2764"),
        ("café日本 del mar", "caf del mar"),
        ("snake_case well-known", "snake-case well-known"),
        ('Wow! "Really"? yes, ok.', "wow really yes ok"),
        ("a - b -- c- -d", "a b c- -d"),
        ("rock'n'roll & 50% (off)", "rock'n'roll 50 off"),
        (r"back\slash", "back slash"),
        ("@", "@"),
        ("!?", ""),
    ],
)
def test_the_form_of_instapic(text, form):
    assert paper_instagram(text) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("My+Dog%21+in+the%20park", "my dog in the park"),
        ("see http://a.org/b?c=1 HTTPS://B.org now", "see now"),
        ("see www.a.org/b or flickr.com/photos now", "see or now"),
        ('by <a href="x.html" rel="nofollow">Anna</a> and <b>Bob</b>', "by and bob"),
        ("[a] (b) ~c=d+e", "a b c d e"),
        ("don't; stop: now!", "dont stop now"),
        ("hi 😀☀ there", "hi there"),
        ("Café Łódź Straße ﬁn", "cafe lodz strasse fin"),
        ("IMG_1234 in 2012, 3rd b4", "img- in 0rd b0"),
        ("1/2 and/or a\\b", "andor ab"),
        ("a - b well_known", "a b well-known"),
        ("日本", ""),
    ],
)
def test_the_form_of_yfcc(text, form):
    assert paper_yfcc(text) == form


@pytest.mark.parametrize("name", ["instagram", "yfcc"])
def test_benchmarks_cut_at_fifteen_words(name):
    words = [f"w{'abcdefghijklmnopqrst'[number]}" for number in range(20)]
    assert FORMS[name]("  ".join(words)) == " ".join(words[:PAPER_WORDS]) == " ".join(words[:15])
    assert FORMS[name]("Ab c!") == "ab c"
    assert FORMS[name]("") == ""


@given(ANY)
def test_natural_text_is_composed_and_stays_as_it_is(text):
    once = natural(text)
    assert natural(once) == once == unicodedata.normalize("NFC", once)
    assert "  " not in once and once == once.strip()


@given(st.one_of(ANY, st.text(string.printable + EMOJI, max_size=60)))
def test_any_text_has_the_alphabet_of_instapic(text):
    word = r"[a-z0-9#@'-]+|\\U[0-9a-f]{8}|\\u[0-9a-f]{4}"
    assert all(re.fullmatch(word, part) for part in paper_instagram(text).split(" ") if part)


@given(st.text(string.printable + "éé日\u0130\u212a", max_size=60))
def test_the_form_of_instapic_stays_as_it_is_where_there_are_no_emoji(text):
    once = paper_instagram(text)
    assert paper_instagram(once) == once


@given(st.one_of(ANY, st.text(string.printable + EMOJI, max_size=60)))
def test_any_text_has_the_alphabet_of_yfcc(text):
    form = paper_yfcc(text)
    assert form.isascii()
    assert not set(form) & set("_/\\123456789")
    assert form == " ".join(form.split())


# percent signs make characters, angle brackets and what is dropped between them make links
@given(st.text("".join(set(string.printable) - set("%<>")) + EMOJI, max_size=60))
def test_the_form_of_yfcc_stays_as_it_is_where_it_makes_nothing_new(text):
    once = paper_yfcc(text)
    assert paper_yfcc(once) == once


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["a.", '<a href="', "<a b>", "</a>", "www.", "-", "_", "@", "#@", "1", "%", "(", "é"])
def test_no_text_takes_long(piece):
    text = piece * (300_000 // len(piece))
    paper_yfcc(text), paper_instagram(text), natural(text)
