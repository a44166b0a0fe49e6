import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from multimodal.metrics.bleu_cider import CiderD, bleu, distinct
from multimodal.metrics.caption import longest_common_subsequence, rouge_l, score, score_each
from multimodal.metrics.meteor import meteor
from multimodal.metrics.personalization import bootstrap
from tests.multimodal.metrics.coco_caption import original_figures, parity
from tests.multimodal.metrics.goldens import read_captions, read_scores

SETS = read_scores()


@pytest.mark.parametrize("name", SETS)
def test_figures_are_those_of_the_original(name):
    each = SETS[name]
    figures = score(each["hypotheses"], each["references"])
    assert figures == pytest.approx(each["figures"] | {"meteor": None}, abs=1e-12)


def test_a_perfect_caption_scores_full_marks():
    texts = {"1": "a man rides a wave", "2": "two dogs in the snow", "3": "a big red bus"}
    figures = score(texts, {id_: [text] for id_, text in texts.items()})
    assert figures["cider_d"] == pytest.approx(10)
    assert figures["bleu_4"] == pytest.approx(1)
    assert figures["rouge_l"] == 1


def test_single_words_reach_a_quarter_of_cider():
    texts = {"1": "dog", "2": "cat", "3": "bus"}
    assert score(texts, {id_: [text] for id_, text in texts.items()})["cider_d"] == pytest.approx(2.5)


def test_cider_of_a_single_image_is_nothing():
    assert score({"1": "a dog"}, {"1": ["a dog"]})["cider_d"] == 0


def test_cider_by_hand():
    # Two images: `a` weighs log(2/2), every other n-gram log(2/1); "dog" shares 1 of 2 words in length 0.
    expected = 10 / 4 * (1 / 1) * math.exp(-1 / 72)
    assert CiderD([["a dog"], ["a cat"]]).each(["dog", "bus"]) == pytest.approx([expected, 0])


def test_bleu_by_hand():
    # clipped: 2 of 7 words (`the` is there twice at most); the brevity of the nearest length
    assert bleu(["the the the the the the the"], [["the cat is on the mat"]])[0] == pytest.approx(2 / 7)
    short = bleu(["a dog"], [["a dog runs", "a dog runs very fast"]])
    assert short[:2] == pytest.approx([math.exp(1 - 3 / 2)] * 2)


def test_rouge_by_hand():
    precision, recall, beta = 1.0, 2 / 3, 1.2**2
    expected = (1 + beta) * precision * recall / (recall + beta * precision)
    assert rouge_l("a dog", ["a big dog"]) == pytest.approx(expected)
    assert rouge_l("a dog", ["cat"]) == 0


def table_of_subsequences(first: list[str], second: list[str]) -> int:
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            longer = max(lengths[i][j + 1], lengths[i + 1][j])
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if one == other else longer
    return lengths[-1][-1]


@given(st.lists(st.sampled_from("abc"), max_size=80), st.lists(st.sampled_from("abcd"), max_size=80))
def test_the_common_subsequence_is_as_long_as_the_table_says(first, second):
    assert longest_common_subsequence(first, second) == table_of_subsequences(first, second)


def test_the_means_of_the_images_are_the_figures_of_the_set():
    each = SETS["captions"]
    items = score_each(each["hypotheses"], each["references"])
    assert list(items) == list(each["references"])
    for name in ("rouge_l", "cider_d"):
        assert statistics.fmean(item[name] for item in items.values()) == pytest.approx(each["figures"][name])


def test_the_order_of_the_hypotheses_does_not_matter():
    each = SETS["posts"]
    turned = dict(reversed(each["hypotheses"].items()))
    assert score(turned, each["references"]) == score(each["hypotheses"], each["references"])


@pytest.mark.parametrize(
    ("hypotheses", "references", "told"),
    [
        ({"1": "a"}, {}, "1 ids have no reference ('1')"),
        ({}, {str(i): ["a"] for i in range(5)}, "5 ids have no hypothesis ('0', '1', '2', ...)"),
        ({"1": "a"}, {"1": []}, "1 ids have an empty list of references"),
        ({}, {}, "there is no caption to score"),
    ],
)
def test_what_does_not_fit_is_said(hypotheses, references, told):
    with pytest.raises(PolygraftError) as caught:
        score(hypotheses, references)
    assert told in str(caught.value)


def test_distinct_counts_different_runs_of_words():
    assert distinct(["a dog", "a cat"], 1) == 3 / 4
    assert distinct(["a dog", "a dog"], 2) == 1 / 2
    assert distinct(["", "a"], 2) == 0


# Intervals


def test_values_that_do_not_differ_have_an_interval_of_one_point():
    assert bootstrap({"a": [2.0], "b": [2.0, 2.0]}) == (2.0, 2.0, 2.0)


def test_the_mean_is_over_items_and_not_over_groups():
    assert bootstrap({"a": [0.0], "b": [3.0, 3.0]}).mean == 2


def test_an_interval_is_decided_by_its_seed():
    values = {str(i): [float(i % 7)] for i in range(40)}
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_items_that_agree_in_a_group_are_no_more_evidence_than_the_group():
    apart = bootstrap({str(i): [float(i % 2)] for i in range(400)})
    together = bootstrap({str(i): [float(i % 2)] * 40 for i in range(10)})
    assert together.high - together.low > 4 * (apart.high - apart.low)
    # 400 coin tosses: 1.96 standard errors of 0.5 / 20
    assert apart.high - apart.mean == pytest.approx(0.049, abs=0.01)


@pytest.mark.parametrize(("values", "level"), [({}, 0.95), ({"a": []}, 0.95), ({"a": [1.0]}, 95.0)])
def test_no_values_or_a_level_in_per_cent_are_refused(values, level):
    with pytest.raises(PolygraftError):
        bootstrap(values, level=level)


# METEOR, and the original


def test_without_java_meteor_is_left_out_with_a_remark(monkeypatch):
    monkeypatch.setenv("PATH", "")
    remarks: list[str] = []
    assert score({"1": "a dog"}, {"1": ["a dog"]}, meteor=True, report=remarks.append)["meteor"] is None
    assert len(remarks) == 1 and "needs Java" in remarks[0]


@parity
@pytest.mark.slow
def test_java_that_does_not_answer_is_ended():
    with pytest.raises(PolygraftError, match="no answer in 0 seconds"):
        meteor(["a dog"], [["a dog"]], timeout=0.05)


@parity
@pytest.mark.slow
def test_java_that_fails_says_why(monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:+NoSuchOption")
    with pytest.raises(PolygraftError, match="NoSuchOption"):
        meteor(["a dog"], [["a dog"]])


@parity
@pytest.mark.slow
def test_meteor_is_that_of_the_original_even_in_a_german_locale(monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE -Dfile.encoding=US-ASCII")
    each = SETS["posts"]
    figures = score(each["hypotheses"], each["references"], meteor=True)
    assert figures["meteor"] == pytest.approx(each["figures"]["meteor"], abs=1e-9)


@parity
@pytest.mark.slow
def test_odd_captions_score_as_in_the_original():
    texts = [row["text"] for row in read_captions()]
    hypotheses = {str(i): text for i, text in enumerate(texts)}
    references = {str(i): [texts[i - 1], texts[i] + " too", *texts[i : i + i % 3]] for i in range(len(texts))}
    assert score(hypotheses, references) == pytest.approx(
        original_figures(hypotheses, references, meteor=False), abs=1e-9
    )
