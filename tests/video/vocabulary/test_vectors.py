import numpy as np
import pytest
import torch
import torch.nn.functional as F

import video.vocabulary.vectors
from backbone.errors import PolygraftError
from video.vocabulary.entries import Entry
from video.vocabulary.storage import Table
from video.vocabulary.vectors import ScenePrior, TableVectors, search, search_parts


def table(rows, width=16, seed=0):
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=1).half()


def exhaustive(vectors, queries, k, added=None):
    """Every score in float64, ordered by score and then by row."""
    scores = F.normalize(queries.float(), dim=1).double() @ vectors.double().T
    scores = (scores if added is None else scores + added.double()).float()
    order = [sorted(range(len(vectors)), key=lambda row: (-float(line[row]), row))[:k] for line in scores]
    return torch.tensor(order), scores.gather(1, torch.tensor(order))


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(video.vocabulary.vectors, "_CHUNK", 7)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_it_finds_what_looking_at_every_row_finds(small_chunks, k):
    vectors, queries = table(100), torch.randn(9, 16, generator=torch.Generator().manual_seed(1))
    hits = search(vectors, queries, k)
    rows, scores = exhaustive(vectors, queries, k)
    assert torch.equal(hits.rows, rows) and torch.equal(hits.scores, scores)


def test_one_query_gets_what_it_gets_in_a_batch_whatever_the_chunks(monkeypatch):
    vectors, queries = table(500), torch.randn(20, 16, generator=torch.Generator().manual_seed(1))
    together = search(vectors, queries, 6)
    for chunk, index in ((1, 3), (3, 0), (64, 7), (500, 19)):
        monkeypatch.setattr(video.vocabulary.vectors, "_CHUNK", chunk)
        alone = search(vectors, queries[index : index + 1], 6)
        assert torch.equal(alone.rows[0], together.rows[index])
        assert torch.equal(alone.scores[0], together.scores[index])


def test_one_query_finds_what_lies_closer_together_than_half_precision_tells(small_chunks):
    drawn = torch.randn(2000, 384, generator=torch.Generator().manual_seed(3))
    query = F.normalize(torch.randn(1, 384, generator=torch.Generator().manual_seed(4)), dim=1)
    vectors = F.normalize(query + 0.004 * drawn, dim=1).half()
    hits = search(vectors, query, 8)
    rows, scores = exhaustive(vectors, query, 8)
    assert torch.equal(hits.rows, rows) and torch.equal(hits.scores, scores)
    rounded = (vectors @ query[0].half()).sort(descending=True, stable=True).indices[:8]
    assert not torch.equal(rounded, rows[0])


@pytest.mark.parametrize("queries", [1, 2, 30])
def test_equal_rows_come_in_their_order(small_chunks, queries):
    vectors = table(1).expand(90, -1).contiguous()
    hits = search(vectors, table(queries, seed=2).float(), 50)
    assert torch.equal(hits.rows, torch.arange(50).expand(queries, -1))


def test_a_bonus_counts_before_the_best_are_chosen(small_chunks):
    vectors, queries = table(60), table(4, seed=1).float()
    added = torch.randn(4, 60, generator=torch.Generator().manual_seed(2))
    hits = search(vectors, queries, 5, bonus=lambda start, stop: added[:, start:stop])
    rows, scores = exhaustive(vectors, queries, 5, added)
    assert torch.equal(hits.rows, rows) and torch.equal(hits.scores, scores)


def test_rows_left_out_are_never_found(small_chunks):
    added = torch.full((1, 20), -torch.inf)
    added[0, 11] = 0
    hits = search(table(20), table(1).float(), 3, bonus=lambda start, stop: added[:, start:stop])
    assert hits.rows.tolist() == [[11, -1, -1]]
    assert hits.scores[0, 1:].tolist() == [-torch.inf, -torch.inf]


def test_no_rows_no_queries_and_more_than_there_is():
    assert search(table(0), table(2).float(), 3).rows.shape == (2, 0)
    assert search(table(5), torch.zeros(0, 16), 3).rows.shape == (0, 3)
    assert search(table(5), table(2).float(), 9).rows.shape == (2, 5)


def test_parts_are_searched_with_the_earlier_one_first_between_equals():
    vectors, queries = table(1).expand(6, -1).contiguous(), table(1).float()
    assert search_parts([(vectors[:2], None), (vectors[2:], None)], queries, 5).rows.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_vectors_and_queries_that_are_not_finite_are_refused(small_chunks, bad):
    vectors = table(30)
    vectors[22, 3] = bad
    with pytest.raises(PolygraftError, match="row 23"):
        search(vectors, torch.zeros(2, 16), 1)
    with pytest.raises(PolygraftError, match="row 23"):
        search(vectors, table(1).float(), 1)
    with pytest.raises(PolygraftError, match="query vector holds NaN"):
        search(table(3), torch.full((1, 16), bad), 1)


def test_the_scene_of_a_narration_is_its_likeliest_one():
    rows = {"a": ("x", "z"), "b": (), "c": ("y",)}
    entries = [Entry(text=text, kind="prefix", scenarios=own) for text, own in rows.items()]
    table = TableVectors.of(Table.of(entries, np.zeros((3, 2), np.float16), ["x", "y", "z"]), "cpu")
    values = torch.tensor([[-1.0, -2.0, -0.5, -7.0]])
    assert table.bonus(values, 0, 3).tolist() == [[-0.5, -7.0, -2.0]]
    assert table.bonus(values, 1, 3).tolist() == [[-7.0, -2.0]]


def test_the_prior_is_a_weighted_log_probability_and_the_filter_keeps_the_likeliest():
    scenes, queries = table(4), F.normalize(table(3, seed=5).float(), dim=1)
    p = (queries @ scenes.float().T / 0.1).softmax(dim=1)
    values = ScenePrior(weight=0.3, temperature=0.1).values(queries, scenes)
    assert torch.allclose(values[:, :4], 0.3 * p.log(), atol=1e-5)
    assert torch.allclose(values[:, 4], 0.3 * torch.tensor(0.25).log())
    kept = ScenePrior(weight=0.3, temperature=0.1, keep=2).values(queries, scenes)[:, :4].isfinite()
    assert torch.equal(kept, p >= p.sort(dim=1, descending=True).values[:, 1:2])
