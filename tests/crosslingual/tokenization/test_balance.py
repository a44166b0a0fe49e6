from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from crosslingual.language_model.mixture import reading_rates, reread

SIZES = {"en": 900_000, "sw": 90_000, "ff": 10_000}


def shares(rates):
    read = {language: rate * SIZES[language] for language, rate in rates.items()}
    return {language: size / sum(read.values()) for language, size in read.items()}


def test_temperature_one_reads_each_text_once():
    assert reading_rates(SIZES, 1) == pytest.approx(dict.fromkeys(SIZES, 1.0))


def test_shares_are_powers_of_sizes_as_in_xlm_r():
    powers = {language: (size / 1e6) ** 0.3 for language, size in SIZES.items()}
    expected = {language: power / sum(powers.values()) for language, power in powers.items()}
    assert shares(reading_rates(SIZES, 1 / 0.3)) == pytest.approx(expected)
    assert shares(reading_rates(SIZES, 1e9)) == pytest.approx(dict.fromkeys(SIZES, 1 / 3), rel=1e-6)


@given(
    st.dictionaries(st.text(max_size=3), st.integers(1, 10**15), min_size=1), st.floats(1, 1e6), st.integers(0, 10**9)
)
def test_as_many_bytes_are_read_as_there_are_or_as_the_limit(sizes, temperature, limit):
    read = sum(rate * sizes[language] for language, rate in reading_rates(sizes, temperature, limit or None).items())
    assert read == pytest.approx(min(sum(sizes.values()), limit or float("inf")))


def test_texts_are_read_as_often_as_the_rate_says_and_chosen_by_the_seed():
    texts = [("en", f"e{number}") for number in range(4000)] + [("sw", f"s{number}") for number in range(500)]
    rates = {"en": 0.25, "sw": 2.5}
    read = list(reread(texts, rates, seed=3))
    assert read == list(reread(texts, rates, seed=3)) != list(reread(texts, rates, seed=4))
    count = Counter(text[0] for text in read)
    assert count["e"] == pytest.approx(1000, rel=0.1) and count["s"] == pytest.approx(1250, rel=0.1)
    assert set(Counter(text for text in read if text[0] == "s").values()) == {2, 3}


def test_the_choice_in_one_language_does_not_depend_on_another():
    swahili = [("sw", str(number)) for number in range(100)]
    mixed = [pair for text in swahili for pair in (text, ("en", "x"))]
    alone = list(reread(swahili, {"sw": 0.5}, seed=0))
    assert [text for text in reread(mixed, {"en": 0.5, "sw": 0.5}, seed=0) if text != "x"] == alone


def test_a_language_without_text_is_one_sentence():
    with pytest.raises(PolygraftError, match="no text of sw"):
        reading_rates({"en": 5, "sw": 0}, 2)
