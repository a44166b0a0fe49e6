import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal.metrics.ptb import Rule, Scanner

NAMES = {"digit": "0-9", "NUMBER": "[{digit}]+", "WORD": "x+(-x+)*"}


def same(text: str) -> str:
    return text


def scanned(patterns: list[tuple[str, ...]], text: str) -> list[tuple[int, str]]:
    scanner = Scanner([Rule(same, *each) for each in patterns], NAMES)
    return [(rule, text[start:end]) for rule, start, end in scanner.scan(text)]


def longest_first(patterns: list[str], text: str) -> list[tuple[int, str]]:
    """The slow reference: every rule on every stretch of text."""
    found, start = [], 0
    while start < len(text):
        fits = [
            (end, -rule)
            for rule, pattern in enumerate(patterns)
            for end in range(start + 1, len(text) + 1)
            if re.fullmatch(pattern, text[start:end], re.IGNORECASE)
        ]
        end, rule = max(fits, default=(start + 1, 1))
        found += [(-rule, text[start:end])] if fits else []
        start = end
    return found


def test_the_longest_match_wins_whatever_the_order_of_the_rules():
    assert scanned([("a",), ("ab|abc",), ("abcd?",)], "abcdab") == [(2, "abcd"), (1, "ab")]


def test_of_equal_matches_the_first_rule_wins():
    assert scanned([("[a-z]+",), ("the",)], "the") == [(0, "the")]


def test_what_no_rule_matches_is_passed_over():
    assert scanned([("a",)], "?a!?a") == [(0, "a"), (0, "a")]


def test_what_is_looked_ahead_at_counts_in_the_length_and_is_scanned_again():
    rules = [("can", "not"), ("[a-z]+",)]
    assert scanned(rules, "cannot cannots can") == [(0, "can"), (1, "not"), (1, "cannots"), (1, "can")]


def test_the_cut_before_what_is_looked_ahead_at_is_as_late_as_it_can_be():
    assert scanned([("a+", "a*b")], "aaab") == [(0, "aaa")]
    assert scanned([("a+", "ab")], "aaab") == [(0, "aa")]


def test_letters_match_both_cases_and_classes_only_what_they_list():
    assert scanned([("k[a]s",)], "Kas kAs \u212aa\u017f") == [(0, "Kas"), (0, "\u212aa\u017f")]


def test_names_stand_for_patterns_and_for_sets():
    assert scanned([("{NUMBER}(\\.{NUMBER})?",), ("{WORD}",)], "12.5 x-xx-") == [(0, "12.5"), (1, "x-xx")]


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [("a{2}", "aa"), ("a{1,3}", "aaa"), ("(ab?){2}", "aba"), ("a?a?", "aa"), (r"\.\*", ".*"), ("[^a]b", "?b")],
)
def test_repetitions_and_escapes(pattern, matched):
    assert scanned([(pattern,)], matched) == [(0, matched)]


PATTERNS = ("a", "ab*", "(ab|ba)+", "b{2,3}", "[ab]c?", "(a|b(c|a?)*)c", "a?b?c", "((a|c){2})*", "B+a*", "c(a|b)?c|b")


@given(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=5), st.text("abcABC-", max_size=12))
def test_the_scanner_agrees_with_trying_every_rule_on_every_stretch(patterns, text):
    # `re` folds the case of classes too, so the reference sees them spelt out.
    folded = [pattern.replace("[ab]", "(a|b)") for pattern in patterns]
    assert scanned([(pattern,) for pattern in folded], text) == longest_first(folded, text)
