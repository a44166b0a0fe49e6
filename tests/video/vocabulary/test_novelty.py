import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError, UsageError
from tests.video.toy import WIDTH
from video.timeline.query import Moment, novel_segments
from video.vocabulary.novelty import CalibratedMargin, FixedThreshold, auroc, features

numbers = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


def scores(best, rest, count=60, seed=0):
    """Scores (count, 4), best first, around ``best`` and ``rest``."""
    noise = 0.03 * torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return (torch.tensor([best, rest, rest, rest]) + noise).sort(dim=1, descending=True).values


@given(numbers, numbers)
def test_auroc_is_the_share_of_pairs_in_the_right_order(known, novel):
    pairs = [(new > old) + (new == old) / 2 for new in novel for old in known]
    assert auroc(torch.tensor(known), torch.tensor(novel)) == pytest.approx(sum(pairs) / len(pairs))


def test_what_is_read_is_the_best_score_and_its_margin():
    assert torch.allclose(features(torch.tensor([[0.9, 0.5, 0.3]])), torch.tensor([[0.9, 0.5]]).double())
    with pytest.raises(UsageError, match="at least 2 scores"):
        features(torch.zeros(3, 1))


def test_the_margin_tells_what_the_best_score_cannot():
    known, novel = scores(0.5, 0.2), scores(0.5, 0.4, seed=1)
    margin, fixed = CalibratedMargin.fit(known, novel), FixedThreshold()
    assert auroc(margin.novelty(known), margin.novelty(novel)) > 0.95
    assert auroc(fixed.novelty(known), fixed.novelty(novel)) < 0.7
    assert float(margin.is_novel(novel).double().mean()) > 0.9 > 0.1 > float(margin.is_novel(known).double().mean())
    assert not fixed.is_novel(known).any()


def test_calibration_follows_the_scale_of_the_scores_where_a_fixed_threshold_does_not():
    known, novel = scores(0.25, 0.1), scores(0.12, 0.1, seed=1)
    assert FixedThreshold().is_novel(known).all()
    assert float(CalibratedMargin.fit(known, novel).is_novel(known).double().mean()) < 0.05


def test_kinds_of_different_size_and_examples_that_a_line_separates_are_fine():
    fitted = CalibratedMargin.fit(scores(0.9, 0.1, count=200), scores(0.2, 0.1, count=3, seed=1))
    assert all(torch.tensor([*fitted.weights, fitted.bias]).isfinite())
    assert fitted.is_novel(scores(0.2, 0.1, seed=2)).all() and not fitted.is_novel(scores(0.9, 0.1, seed=3)).any()


@pytest.mark.parametrize(("known", "novel"), [(0, 5), (5, 0)])
def test_one_kind_alone_is_refused(known, novel):
    with pytest.raises(PolygraftError, match="both kinds"):
        CalibratedMargin.fit(torch.zeros(known, 3), torch.zeros(novel, 3))
    with pytest.raises(PolygraftError, match="both kinds"):
        auroc(torch.zeros(known), torch.zeros(novel))


# Segments


def moments(count):
    return [Moment(start=2.0 * i, stop=2.0 * i + 2, frames=range(1)) for i in range(count)]


QUERIES = torch.diag(torch.arange(1.0, WIDTH + 1))


def spans(novel, **options):
    found = novel_segments("f", moments(len(novel)), QUERIES, [mark == "x" for mark in novel], **options)
    return [(segment.start, segment.stop) for segment in found]


@pytest.mark.parametrize(
    ("novel", "bridge", "expected"),
    [
        ("", 0, []),
        ("...", 0, []),
        ("xx.x", 0, [(0, 4), (6, 8)]),
        ("xx.x", 1, [(0, 8)]),
        ("x..x.", 1, [(0, 2), (6, 8)]),
        ("xxxx", 0, [(0, 8)]),
    ],
)
def test_consecutive_new_windows_are_one_segment(novel, bridge, expected):
    assert spans(novel, bridge=bridge) == expected


def test_a_segment_is_the_mean_direction_of_its_new_windows():
    segment = novel_segments("f", moments(3), QUERIES, torch.tensor([True, False, True]), bridge=1, scene="tea")[0]
    assert torch.allclose(segment.query, (torch.eye(WIDTH)[0] + torch.eye(WIDTH)[2]) / 2**0.5)
    assert (segment.video, segment.scene) == ("f", "tea")
