"""The words of users: weights equal scikit-learn's, order is the same on every machine, damaged tables are reported."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from multimodal.profile.text_features import WordTable, split_words

USERS = {
    "ann": ["The red cat sleeps.", "A cat, a dog, a #sunset"],
    "bob": ["the dog's ball", "dog dog dog @home"],
    "cid": ["the sea"],
}


@pytest.fixture(scope="module")
def table():
    return WordTable.fit(USERS)


def top_words(table, text, limit=60):
    return [(table.words[number], weight) for number, weight in table.top([text], limit)]


def test_words_are_lower_case_and_keep_tags_handles_and_shortcodes():
    assert split_words("Don't PANIC: #Sun-set, @Bob! dog_face 42 naïve…") == [
        "don't", "panic", "#sun-set", "@bob", "dog_face", "42", "naïve",
    ]  # fmt: skip


def test_the_table_lists_frequent_words_first_and_equals_by_alphabet(table):
    assert table.words[:4] == ("dog", "a", "the", "cat")
    assert table.words[4:] == tuple(sorted(table.words[4:]))
    assert table.frequencies[:4] == (2, 1, 3, 1)
    assert table.users == 3


def test_weights_equal_those_worked_out_by_hand(table):
    # idf: the = ln(4/4) + 1, dog = ln(4/3) + 1, sea = ln(4/2) + 1
    rare, common = math.log(2) + 1, math.log(4 / 3) + 1
    found = top_words(table, "the sea, the dog, the dog, unknown")
    assert [word for word, _ in found] == ["the", "dog", "sea"]
    assert [weight for _, weight in found] == pytest.approx([1.0, 2 * common / 3, rare / 3])


def test_weights_equal_scikit_learns(table):
    text = pytest.importorskip("sklearn.feature_extraction.text")
    model = text.TfidfVectorizer(analyzer=split_words, norm=None, vocabulary=list(table.words))
    rows = model.fit_transform([" ".join(texts) for texts in USERS.values()]).toarray()
    for row, texts in zip(rows, USERS.values(), strict=True):
        found = dict(table.top([" ".join(texts)], len(table)))
        expected = {at: value / row.max() for at, value in enumerate(row) if value}
        assert found == pytest.approx(expected)


def test_the_idf_is_scikit_learns_formula_on_any_counts():
    table = WordTable(words=("x", "y"), frequencies=(1, 9), users=9)
    assert table.idf == pytest.approx([math.log(10 / 2) + 1, 1.0])


def test_repeating_a_word_within_a_user_counts_that_user_once():
    table = WordTable.fit({"a": ["w w", "w"], "b": ["v"]})
    assert dict(zip(table.words, table.frequencies, strict=True)) == {"w": 1, "v": 1}


def test_equal_weights_keep_the_order_of_the_table():
    table = WordTable.fit({"a": ["pear fig kiwi"]})
    for text in ("kiwi pear fig", "fig kiwi pear"):
        assert [word for word, _ in top_words(table, text)] == ["fig", "kiwi", "pear"]


def test_the_best_are_kept_and_no_more():
    table = WordTable.fit({"a": [f"w{i:02}" for i in range(80)]})
    found = table.top([f"w{i:02}" for i in range(80) for _ in range(i + 1)], 60)
    assert [table.words[number] for number, _ in found] == [f"w{i:02}" for i in range(79, 19, -1)]
    assert [weight for _, weight in found] == pytest.approx([(i + 1) / 80 for i in range(79, 19, -1)])


def test_the_vocabulary_is_limited_to_the_most_frequent():
    assert WordTable.fit(USERS, limit=2).words == ("dog", "a")


def test_unknown_words_and_empty_texts_give_nothing(table):
    assert table.top(["zebra !!"], 60) == []
    assert WordTable.fit({}).top(["cat"], 60) == []


def test_a_table_comes_back_from_json(table):
    assert WordTable.from_json(table.to_json()) == table


@pytest.mark.parametrize(
    "change",
    [
        {"words": ["a"]},
        {"frequencies": [0] * 11},
        {"frequencies": [4] * 11},
        {"frequencies": [1.5] * 11},
        {"frequencies": None},
        {"words": ["a"] * 11},
        {"words": [1] * 11},
        {"words": "abcdefghijk"},
        {"users": "three"},
        {"users": 3.5},
    ],
)
def test_a_damaged_table_is_one_sentence(table, change):
    assert len(table) == 11
    with pytest.raises(PolygraftError, match="is damaged"):
        WordTable.from_json(table.to_json() | change)


@pytest.mark.parametrize("found", [None, [], {}, {"words": []}, "x", {"words": [], "frequencies": [], "users": "x"}])
def test_something_else_than_a_table_is_one_sentence(found):
    with pytest.raises(PolygraftError, match="is damaged"):
        WordTable.from_json(found)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_any_texts_give_weights_in_order_and_no_more_words_than_were_written(texts):
    table = WordTable.fit({"a": texts, "b": texts[:2]})
    written = Counter(word for text in texts for word in split_words(text))
    found = table.top(["", *texts], 60)
    weights = [weight for _, weight in found]
    assert {table.words[number] for number, _ in found} <= written.keys()
    assert weights == sorted(weights, reverse=True) and all(0 < weight <= 1 for weight in weights)
    assert WordTable.from_json(table.to_json()) == table
