import numpy as np
import pytest

from backbone.errors import PolygraftError
from crosslingual.vectors.dictionary import Matches
from crosslingual.vectors.procrustes import AlignmentOptions, align, held_out_precision, mutual_neighbours, unit


def rotation(size, seed=1):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0].astype(np.float32)


def points(count, width, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def every(count):
    return Matches(source=np.arange(count), target=np.arange(count))


@pytest.mark.parametrize(
    "options",
    [
        AlignmentOptions(),
        AlignmentOptions(normalise=True),
        AlignmentOptions(drop_worst=0.2),
        AlignmentOptions(refine=2, refine_words=150),
    ],
    ids=str,
)
def test_a_planted_rotation_is_found_again(options):
    planted, x = rotation(16), points(200, 16)
    found = align(x, x @ planted, every(60), options)
    assert np.abs(found.rotation - planted).max() < 1e-4
    assert np.abs(found.source(x) - found.target(x @ planted)).max() < 1e-4


def test_a_shift_is_found_where_vectors_are_centred_alone():
    planted, x = rotation(8), points(200, 8)
    y = x @ planted + 5
    centred = align(x, y, every(200), AlignmentOptions(centre=True))
    assert np.abs(centred.source(x) - centred.target(y)).max() < 1e-4
    assert np.abs(align(x, y, every(200)).rotation - planted).max() > 0.1


def test_zero_vectors_stay_zero():
    x = points(20, 4)
    x[3] = 0
    found = align(x, x, every(20), AlignmentOptions(centre=True, normalise=True))
    assert not found.source(x)[3].any() and not found.target(x)[3].any() and found.source(x)[4].any()


def test_wrong_pairs_are_dropped():
    planted, x = rotation(16), points(300, 16)
    y = x @ planted
    wrong = Matches(source=np.arange(100), target=np.r_[np.arange(80), np.roll(np.arange(80, 100), 1)])
    plain, dropped = (
        np.abs(align(x, y, wrong, AlignmentOptions(drop_worst=share)).rotation - planted).max() for share in (0, 0.2)
    )
    assert dropped < 1e-3 < plain


def test_the_narrower_space_is_laid_into_the_wider_without_distortion():
    planted, x = rotation(12)[:5], points(100, 5)
    narrow = align(x, x @ planted, every(100))
    assert narrow.rotation.shape == (5, 12)
    assert np.abs(narrow.rotation @ narrow.rotation.T - np.eye(5)).max() < 1e-5
    assert np.abs(narrow.source(x) - x @ planted).max() < 1e-4
    wide = align(x @ planted, x, every(100))
    assert wide.rotation.shape == (12, 5)
    assert np.abs(wide.source(x @ planted) - x).max() < 1e-4


def test_mutual_neighbours_are_the_planted_ones_and_never_zero():
    planted, x = rotation(16), points(50, 16)
    x[7] = 0
    order = np.random.default_rng(3).permutation(50)
    found = mutual_neighbours(x @ planted, (x @ planted)[order])
    assert (order[found.target] == found.source).all() and 7 not in found.source
    assert len(found) == 49


def test_held_out_precision_is_one_for_a_rotation_and_chance_for_noise():
    planted, x = rotation(16), points(300, 16)
    perfect = held_out_precision(x, x @ planted, every(300))
    assert (perfect.precision, perfect.words, perfect.candidates) == (1.0, 30, 300)
    assert perfect.chance == pytest.approx(1 / 300)
    assert held_out_precision(x, points(300, 16, seed=5), every(300)).precision < 0.2


def test_a_held_out_word_is_held_out_with_all_its_translations():
    # each source word has two targets, of which one is far off: seen in training, it would tell nothing of the other
    planted, x = rotation(8), points(40, 8)
    y = np.concatenate([x @ planted, points(40, 8, seed=9)])
    both = Matches(source=np.r_[np.arange(40), np.arange(40)], target=np.arange(80))
    score = held_out_precision(x, y, both, share=0.25)
    assert score.words == 10 and score.chance == pytest.approx(2 / 80)
    assert held_out_precision(x, y, every(1)) is None


def test_options_are_checked():
    with pytest.raises(PolygraftError, match="drop_worst"):
        AlignmentOptions(drop_worst=1.0)
    with pytest.raises(PolygraftError, match="refine"):
        AlignmentOptions(refine=-1)


def test_unit_vectors():
    assert np.linalg.norm(unit(points(5, 3)), axis=1) == pytest.approx(1, abs=1e-6)
    assert not unit(np.zeros((1, 3), np.float32)).any()
