"""Repair, and rules of quality: each breaks on a text made for it, and fast measures equal slow ones."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslingual.corpus.clean import repair_text
from crosslingual.corpus.quality_filters import Rules, judge_texts
from crosslingual.corpus.text_stats import measure
from crosslingual.corpus.unicode_scripts import known_scripts, writing_of
from tests.crosslingual.tiny_corpus import prose
from tests.crosslingual.tiny_texts import HOSTILE, MARKED

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), max_size=40)


# Repair


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("cafe\u0301", "café"),
        ("schÃ¶n und groÃŸ", "schön und groß"),
        ("good línea\nlÃ­nea mala", "good línea\nlínea mala"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚, ÐºÐ°Ðº Ð´ÐµÐ»Ð°?", "Привет, как дела?"),
        ("one\r\ntwo\rthree\u2028four\x0cfive", "one\ntwo\nthree\nfour\nfive"),
        ("a\x00b\x1bc\x7f\ufeffd\x80", "abcd"),
        ("  kept\tinside  ", "kept\tinside"),
        ("می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष"),
        ("daß es à l’été «passé» — ÄÖÜ", "daß es à l’été «passé» — ÄÖÜ"),
    ],
)
def test_a_text_is_repaired(broken, whole):
    assert repair_text(broken) == whole


WHOLE = st.text().filter(lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text))
"""Without surrogates: the reader has dropped what has them."""
MISREAD = WHOLE.map(lambda text: text.encode().decode("latin-1"))


@given(WHOLE | MISREAD | st.sampled_from(HOSTILE).map(lambda text: text.encode("utf-8", "ignore").decode()))
def test_what_is_repaired_can_be_written_and_has_no_control_characters(text):
    repaired = repair_text(text)
    assert repaired.encode().decode() == repaired == repaired.strip()
    assert not set(repaired) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))


# Measures against slow references


def top_reference(words, n):
    runs = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    most = max((len("".join(run)) * count for run, count in runs.items() if count > 1), default=0)
    return most / max(len("".join(words)), 1)


def repeated_reference(words, n):
    runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    inside = {place for start, run in enumerate(runs) if run in runs[:start] for place in range(start, start + n)}
    return sum(len(words[place]) for place in inside) / max(len("".join(words)), 1)


@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(1, 6))
def test_runs_of_words_are_measured_as_one_text_at_a_time(texts, length):
    words = measure([" ".join(text) for text in texts], by_character=False).words
    sizes = [max(len("".join(text)), 1) for text in texts]
    assert words.heaviest_run(length) / sizes == pytest.approx([top_reference(text, length) for text in texts])
    assert words.repeated_runs(length) / sizes == pytest.approx([repeated_reference(text, length) for text in texts])
    assert (words.heaviest_bound() >= words.heaviest_run(1)).all()
    assert (words.repeated_runs(length + 1) <= words.repeated_runs(length)).all()


LIMITS = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.35, 0.5, 0.8]), max_size=4).map(tuple)


@given(st.lists(WORDS.filter(len), min_size=1, max_size=5), LIMITS, LIMITS)
def test_too_much_repetition_is_told_as_the_shares_tell(texts, tops, repeats):
    rules = Rules(
        min_words=0, min_word_length=0.0, min_ended_lines=0.0, min_script=0.0, max_top_ngrams=tops,
        max_repeated_ngrams=repeats,
    )  # fmt: skip
    expected = [
        "frequent_ngram"
        if any(top_reference(text, n) > limit for n, limit in enumerate(tops, start=2))
        else "repeated_ngrams"
        if any(repeated_reference(text, n) > limit for n, limit in enumerate(repeats, start=5))
        else ""
        for text in texts
    ]
    assert judge_texts([" ".join(text) for text in texts], writing_of("en"), rules) == expected


@given(st.lists(st.text("ab1. \n", max_size=40), min_size=1, max_size=6), st.booleans())
def test_texts_measured_together_are_measured_as_alone(texts, by_character):
    found = measure(texts, by_character=by_character)
    for place, text in enumerate(texts):
        words = list("".join(text.split())) if by_character else text.split()
        assert found.counts[place] == len(words)
        assert found.characters[place] == len("".join(words))
        assert found.letterless[place] == sum(not any(map(str.isalpha, word)) for word in words)
        assert found.kinds[place].sum() == len(text)
        chosen = np.arange(len(texts)) == place
        assert found.words.of(chosen).repeated_runs(3).tolist() == found.words.repeated_runs(3)[chosen].tolist()


# Rules


TEXT = prose("en", 1)[0]
BROKEN = {
    "wrong_script": prose("ru", 1)[0],
    "few_words": "Too short.",
    "many_words": TEXT * 8,
    "word_length": " ".join("ab" for _ in range(100)) + ".",
    "symbols": TEXT.replace(" ", " #"),
    "few_letters": " ".join(f"{number} {number * 7}" if number % 2 else "letters" for number in range(200)) + " end.",
    "bullet_lines": "\n".join(f"- {line}." for line in TEXT.split(". ")),
    "ellipsis_lines": TEXT.replace(". ", "...\n"),
    "unended_lines": TEXT.replace(". ", "\n").rstrip("."),
    "short_lines": TEXT.replace(" ", ".\n"),
    "repeated_lines": "\n".join([TEXT, TEXT[:40], TEXT[:40], TEXT[:40], TEXT[:40]]),
    "frequent_ngram": TEXT + "".join(f" great white {word}" for word in TEXT.split()),
    "repeated_ngrams": TEXT + " " + TEXT,
}


def verdict(text, language="en", **thresholds):
    return judge_texts([text], writing_of(language), Rules(**thresholds))[0]


@pytest.mark.parametrize("reason", BROKEN)
def test_each_rule_breaks_on_a_text_made_for_it(reason):
    thresholds = {"max_words": 500 if reason == "many_words" else 10**6}
    if reason in ("symbols", "few_letters"):
        thresholds |= {"min_word_length": 0.0}
    assert verdict(BROKEN[reason], **thresholds) == reason
    assert verdict(TEXT, **thresholds) == ""


def test_stop_words_are_looked_for_where_they_are_given():
    assert verdict(TEXT, stop_words=("the", "of", "and")) == ""
    assert verdict(TEXT, stop_words=("le", "la")) == "few_stop_words"
    assert verdict(TEXT, stop_words=("the", "la")) == "few_stop_words"
    assert verdict(TEXT, stop_words=("the", "la"), min_stop_words=1) == ""


def test_stop_words_are_looked_for_within_text_without_blanks():
    text = "国王住在一座大房子里，王后在花园里写信。河水很长，夜晚很冷，城市很小。"
    assert verdict(text, "zh", min_words=10, stop_words=("在", "很")) == ""
    assert verdict(text, "zh", min_words=10, stop_words=("在", "的")) == "few_stop_words"


def test_texts_are_judged_alike_alone_and_together():
    texts = [*BROKEN.values(), TEXT, "", *HOSTILE, *prose("en", 20)]
    rules = Rules(max_words=500)
    together = judge_texts(texts, writing_of("en"), rules)
    assert together == [judge_texts([text], writing_of("en"), rules)[0] for text in texts]
    assert set(together) > {"wrong_script", "few_words", "repeated_ngrams", ""}


@pytest.mark.parametrize("language", ["th", "my", "hi", "bn", "ta"])
def test_text_in_scripts_with_marks_or_without_blanks_passes(language):
    text = MARKED[language]
    rules = Rules(min_words=5, min_ended_lines=0.0, max_top_ngrams=(), max_repeated_ngrams=())
    assert judge_texts([text], writing_of(language), rules) == [""]
    assert judge_texts([text], writing_of("en"), rules) == ["wrong_script"]


def test_chinese_is_counted_by_characters():
    text = "国王住在一座大房子里，王后在花园里写信。河水很长，夜晚很冷，城市很小。"
    assert verdict(text, "zh", min_words=10) == ""
    assert verdict(text, "zh", min_words=20) == "few_words"
    assert verdict(text, "zh-Hant-TW", min_words=10) == ""
    assert verdict(text * 2, "zh", min_words=10, max_top_ngrams=()) == "repeated_ngrams"
    assert verdict(text + "用 LibreOffice Calc 写。", "zh", min_words=10) == ""


def test_the_scripts_of_all_languages_are_known():
    from crosslingual.corpus import unicode_scripts as languages

    assert set(languages._SCRIPTS) <= known_scripts()
    assert writing_of("sr-Latn").scripts == ("CYRILLIC", "LATIN") and writing_of("tlh").scripts == ()
    assert verdict(BROKEN["wrong_script"], "tlh") == "", "of a language that is not known every script is right"


def test_a_rule_without_limits_lets_all_pass():
    rules = replace(Rules(), max_top_ngrams=(), max_repeated_ngrams=())
    assert judge_texts([TEXT + " " + TEXT], writing_of("en"), rules) == [""]
