"""Recall against a slow count, with ties at their worst, repeated texts and several right ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from backbone.errors import PolygraftError
from video import metrics
from video.metrics import coverage, ranks, recall, retrieval_figures


def directions(count, *, seed=0, width=6):
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def slow_rank(query, candidates, truths):
    scores = (candidates.double() @ query.double()).tolist()
    best = max(scores[row] for row in truths)
    return 1 + sum(score >= best and row not in truths for row, score in enumerate(scores))


def test_ranks_are_those_of_a_slow_count(monkeypatch):
    queries, candidates = directions(20), directions(50, seed=1)
    truths = [[number % 50, (7 * number) % 50] for number in range(20)]
    expected = [slow_rank(query, candidates, own) for query, own in zip(queries, truths, strict=True)]
    assert ranks(queries, candidates, truths).tolist() == expected
    monkeypatch.setattr(metrics, "_CHUNK", 7)
    assert ranks(queries, candidates, truths).tolist() == expected


def test_half_precision_ranks_like_the_numbers_it_holds():
    queries, candidates = directions(8), directions(30, seed=1).half()
    truths = [[number] for number in range(8)]
    assert ranks(queries, candidates, truths).tolist() == ranks(queries, candidates.float(), truths).tolist()


def test_ties_are_taken_at_their_worst():
    same = directions(1).repeat(4, 1)
    assert ranks(same, same, [[row] for row in range(4)]).tolist() == [4, 4, 4, 4]
    assert ranks(same[:1], same, [[1, 2]]).tolist() == [3]
    # of a wide vector, whose products differ in their last bits by their place
    wide = directions(1, width=1000).repeat(37, 1)
    assert ranks(wide[:1], wide, [[5]]).tolist() == [37]


def test_a_query_without_a_right_candidate_comes_last():
    assert ranks(directions(2), directions(5, seed=1), [[], [0]])[0] == 6
    assert ranks(directions(1), torch.zeros(0, 6), [[]]).tolist() == [1]


def test_recall_counts_the_first_places():
    found = np.array([1, 2, 5, 6])
    assert [recall(found, at) for at in (1, 2, 5, 10)] == [0.25, 0.5, 0.75, 1.0]
    assert recall(found[:0], 1) == 0.0


def test_the_three_readings_part_where_texts_repeat():
    texts = ["cut", "wash", "open"]
    vectors = directions(3)
    queries = vectors[[0, 0, 1, 2]]
    truths = [["cut"], ["cut"], ["open", "wash"], ["open"]]
    found = retrieval_figures(queries, truths, texts, vectors)
    # the two that say "cut" take each other's place; the third finds its second truth alone
    assert found["plain_recall_1"] == 0.0 + 0.0
    assert found["deduplicated_recall_1"] == 0.75
    assert found["multi_positive_recall_1"] == 1.0
    assert found["plain_recall_5"] == found["deduplicated_recall_5"] == 1.0
    assert 1 < found["mean_rank"] < 2


def test_the_plain_reading_is_the_diagonal():
    queries, own = directions(9), directions(9, seed=1)
    scores = queries @ own.T
    expected = 1 + (scores > scores.diagonal()[:, None]).sum(dim=1)
    texts = [str(number) for number in range(9)]
    found = retrieval_figures(queries, [[text] for text in texts], texts, own, at=range(1, 10))
    for k in range(1, 10):
        assert found[f"plain_recall_{k}"] == float((expected <= k).double().mean())


def test_coverage_is_the_share_that_can_be_found_at_all():
    assert coverage([["cut", "chop"], ["wash"], ["open"]], iter(["chop", "wash", "x"])) == pytest.approx(2 / 3)
    assert coverage([], ["x"]) == 0.0


def test_what_does_not_fit_is_refused():
    with pytest.raises(PolygraftError, match="do not fit"):
        ranks(directions(2), directions(3, width=5), [[0], [0]])
    with pytest.raises(PolygraftError, match="do not fit"):
        ranks(directions(2), directions(3), [[0]])
    with pytest.raises(PolygraftError, match="holds NaN"):
        ranks(directions(1) * float("nan"), directions(3), [[0]])
