"""Repair, and rules of quality: each breaks on a text made for it, and fast measures equal slow ones."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslingual.corpus.characters import known_scripts
from crosslingual.corpus.judging import judge_texts
from crosslingual.corpus.languages import writing_of
from crosslingual.corpus.measures import measure
from crosslingual.corpus.repair import repair
from crosslingual.corpus.repetition import repeated_ngram_share, repeats_exceed, top_exceeds, top_ngram_share
from crosslingual.corpus.rules import Rules
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
    assert repair(broken) == whole


@given(st.text() | st.sampled_from(HOSTILE))
def test_what_is_repaired_can_be_written_and_has_no_control_characters(text):
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return  # the reader has dropped it
    repaired = repair(text)
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


@given(WORDS, st.integers(1, 6))
def test_shares_of_runs_of_words(words, n):
    assert top_ngram_share(words, n) == pytest.approx(top_reference(words, n))
    assert repeated_ngram_share(words, n) == pytest.approx(repeated_reference(words, n))
    assert repeated_ngram_share(words, n + 1) <= repeated_ngram_share(words, n)


@given(WORDS, st.lists(st.tuples(st.integers(2, 6), st.floats(0, 1)), max_size=4))
def test_bounds_decide_as_the_shares_do(words, limits):
    assert top_exceeds(words, limits) == any(top_reference(words, n) > limit for n, limit in limits)
    assert repeats_exceed(words, limits) == any(repeated_reference(words, n) > limit for n, limit in limits)


@given(st.lists(st.text("ab1. \n", max_size=40), min_size=1, max_size=6), st.booleans())
def test_texts_measured_together_are_measured_as_alone(texts, by_character):
    found = measure(texts, 3, by_character=by_character)
    for place, text in enumerate(texts):
        words = list("".join(text.split())) if by_character else text.split()
        assert found.words[place] == len(words)
        assert found.characters[place] == len("".join(words))
        assert found.letterless[place] == sum(not any(map(str.isalpha, word)) for word in words)
        heaviest = max((count * len(word) for word, count in Counter(words).items()), default=0)
        assert found.heaviest[place] == heaviest
        assert found.repeated[place] == pytest.approx(repeated_reference(words, 3) * len("".join(words)))
        assert found.kinds[place].sum() == len(text)


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
    from crosslingual.corpus import languages

    assert set(languages._SCRIPTS) <= known_scripts()
    assert writing_of("sr-Latn").scripts == ("CYRILLIC", "LATIN") and writing_of("tlh").scripts == ()
    assert verdict(BROKEN["wrong_script"], "tlh") == "", "of a language that is not known every script is right"


def test_a_rule_without_limits_lets_all_pass():
    rules = replace(Rules(), max_top_ngrams=(), max_repeated_ngrams=())
    assert judge_texts([TEXT + " " + TEXT], writing_of("en"), rules) == [""]
