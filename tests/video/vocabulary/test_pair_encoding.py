import random
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import UsageError
from video.config import CodingOptions
from video.vocabulary.pair_encoding import FUNCTION_WORDS, Pair, encode


def decode(pairs):
    return [f"{pair.prefix} {pair.postfix}" if pair.postfix else pair.prefix for pair in pairs]


BARE = CodingOptions(min_base_words=1, function_word_guard=False)

words = st.sampled_from(["open", "door", "with", "on", "knife", "a"])
narrations = st.lists(st.lists(words, min_size=1, max_size=6).map(" ".join), max_size=25)
options = st.builds(
    CodingOptions,
    min_share=st.integers(1, 3),
    min_base_words=st.integers(1, 3),
    function_word_guard=st.booleans(),
)


def extensions(texts):
    """Every narration, each other one that it begins with, and what follows: by comparing all with all."""
    return [
        (longer, base, longer[len(base) + 1 :]) for longer in texts for base in texts if longer.startswith(base + " ")
    ]


def plain(texts, options):
    """The coding as it is described, slowly."""
    listed = [row for row in extensions(texts) if len(row[1].split()) >= options.min_base_words]
    followed = Counter(tail for _, _, tail in listed)
    prefixes, pairs = set(), {}
    for text in sorted(texts, key=lambda text: len(text.split())):
        pairs[text] = Pair(text, text)
        for _, base, tail in sorted((row for row in listed if row[0] == text), key=lambda row: -len(row[1])):
            guarded = options.function_word_guard and tail.split()[0] not in FUNCTION_WORDS
            if base in prefixes and followed[tail] >= options.min_share and not guarded:
                pairs[text] = Pair(text, base, tail)
                break
        else:
            prefixes.add(text)
    return sorted(prefixes), [pairs[text] for text in sorted(texts)]


# Properties


@given(narrations, options)
def test_nothing_is_lost(texts, options):
    coding = encode(texts, options)
    assert decode(coding.pairs) == [pair.narration for pair in coding.pairs] == sorted(set(texts))
    assert {pair.prefix for pair in coding.pairs} == set(coding.prefixes) <= set(texts)
    assert Counter(pair.postfix for pair in coding.pairs if pair.postfix) == Counter(coding.postfixes)


@given(narrations, options)
def test_it_is_the_coding_described(texts, options):
    coding = encode(texts, options)
    assert (list(coding.prefixes), list(coding.pairs)) == plain(set(texts), options)


@given(narrations, options, st.randoms())
def test_order_and_repeats_do_not_matter(texts, options, shuffler):
    other = [*texts, *texts[:3]]
    shuffler.shuffle(other)
    first, second = encode(texts, options), encode(other, options)
    assert first == second
    assert list(first.postfixes) == list(second.postfixes) == sorted(first.postfixes)


@given(narrations, options)
def test_coding_again_changes_nothing(texts, options):
    coding = encode(texts, options)
    assert encode(decode(coding.pairs), options) == coding
    alone = encode(coding.prefixes, options)
    assert (alone.prefixes, alone.postfixes) == (coding.prefixes, {})


# Examples


def test_the_longest_accepted_prefix_is_taken():
    texts = ["cut", "cut bread", "cut bread with a knife", "cut bread with a knife on a board"]
    assert [(pair.prefix, pair.postfix) for pair in encode(texts, BARE).pairs] == [
        ("cut", ""),
        ("cut", "bread"),
        ("cut", "bread with a knife"),
        ("cut", "bread with a knife on a board"),
    ]
    assert [(pair.prefix, pair.postfix) for pair in encode(texts).pairs] == [
        ("cut", ""),
        ("cut bread", ""),
        ("cut bread", "with a knife"),
        ("cut bread", "with a knife on a board"),
    ]


def test_a_postfix_must_be_shared_where_that_is_asked():
    texts = ["cut bread", "cut bread with a knife", "cut cake", "cut cake with a knife", "cut cake on a board"]
    coding = encode(texts, CodingOptions(min_share=2))
    assert coding.postfixes == {"with a knife": 2}
    assert coding.prefixes == ("cut bread", "cut cake", "cut cake on a board")


def test_whole_words_count():
    assert encode(["open a door", "open a doorway with care", "open a d"]).postfixes == {}


def test_no_narrations_give_an_empty_coding():
    assert encode([]).pairs == encode(["", " "]).pairs == ()


def test_blanks_between_words_do_not_count():
    assert encode(["cut  bread ", "cut bread", "cut bread with a knife"]).pairs == (
        Pair("cut bread", "cut bread"),
        Pair("cut bread with a knife", "cut bread", "with a knife"),
    )


@pytest.mark.parametrize("wrong", [{"min_share": 0}, {"min_base_words": 0}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        CodingOptions(**wrong)


# Time


def seconds(texts) -> float:
    start = time.process_time()
    encode(texts, BARE)
    return time.process_time() - start


def test_thousands_of_narrations_take_less_than_a_second():
    drawn = random.Random(0)
    texts = {" ".join(drawn.choices("abcdefghij", k=drawn.randint(1, 9))) for _ in range(12000)}
    assert len(texts) > 8000 and seconds(texts) < 1


def test_time_grows_with_the_words_where_every_narration_extends_all_shorter_ones():
    chains = [[" ".join(["a"] * length) for length in range(1, count)] for count in (150, 900)]
    short, long = (min(seconds(chain) for _ in range(2)) for chain in chains)
    # 36 times the words, which a full memory makes dearer; comparing all with all would take 1,296 times as long
    assert long < 36 * 8 * max(short, 1e-3)
