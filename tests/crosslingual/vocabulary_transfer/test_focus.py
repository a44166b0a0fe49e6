from importlib import import_module

import numpy as np
import pytest
import torch

from backbone.errors import PolygraftError
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.methods import clp, omp
from crosslingual.vocabulary_transfer.methods.omp import pursue
from crosslingual.vocabulary_transfer.overlap import copies
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, byte_bpe


@pytest.fixture(scope="module")
def both():
    return Vocabulary.of(byte_bpe(ENGLISH, 420)), Vocabulary.of(byte_bpe(GERMAN, 400))


def donor_of(width, seed=0, mean=1.0):
    return np.random.default_rng(seed).normal(mean, 1, (400, width)).astype(np.float32)


def split(both):
    shared = copies(*both)
    here = np.flatnonzero(shared.known)
    return here, shared.matrix.indices[shared.matrix.indptr[here]], np.flatnonzero(~shared.known)


def test_clp_is_the_mean_of_all_shared_tokens_by_cosine(both):
    donor = donor_of(6)
    here, there, new = split(both)
    mixing = clp(*both, donor)
    unit = donor.astype(np.float64) / np.linalg.norm(donor.astype(np.float64), axis=1, keepdims=True)
    for row in new[:5].tolist():
        cosines = unit[here] @ unit[row]
        assert cosines.min() < 0  # these are kept
        expected = np.zeros(420)
        np.add.at(expected, there, cosines / cosines.sum())
        assert mixing.matrix[[row]].toarray()[0] == pytest.approx(expected), row
    assert mixing.counts().keys() - {"none"} == {"identical", "byte", "clp"}


def test_clp_of_large_vocabularies_has_the_most_similar_alone(both, monkeypatch):
    here, there, new = split(both)
    monkeypatch.setattr(import_module(clp.__module__), "_WEIGHTS", 3 * len(new))
    donor = donor_of(6)
    mixing = clp(*both, donor)
    unit = donor / np.linalg.norm(donor, axis=1, keepdims=True)
    best = np.argsort(-(unit[here] @ unit[new[0]]))[:3]
    assert {source for source, _ in mixing.neighbours(int(new[0]))} == set(there[best].tolist())


def test_a_row_whose_cosines_cancel_is_left_to_others(both):
    _, _, new = split(both)
    donor = donor_of(6, mean=3.0)
    donor[new[0]] *= -1
    mixing = clp(*both, donor)
    assert not mixing.known[new[0]] and mixing.known[new[1]]


def test_omp_finds_planted_sums(both):
    here, there, new = split(both)
    donor = donor_of(150, mean=0.0)
    chosen = here[[3, 40, 90]]
    donor[new[0]] = donor[chosen].T @ np.array([2.0, -1.0, 0.5], dtype=np.float32)
    mixing = omp(*both, donor, atoms=5)
    found = dict(mixing.neighbours(int(new[0])))
    planted = dict(zip(there[[3, 40, 90]].tolist(), (2.0, -1.0, 0.5), strict=True))
    assert {source: found.get(source, 0.0) for source in planted} == pytest.approx(planted, abs=1e-5)
    assert sum(abs(weight) for source, weight in found.items() if source not in planted) < 1e-5
    assert mixing.counts().keys() == {"identical", "byte", "omp"}


def slowly(target, points, count):
    """Orthogonal matching pursuit as one reads it, with a least-squares fit in each step."""
    chosen, left = [], target
    for _ in range(count):
        products = np.abs(points @ left)
        products[chosen] = -np.inf
        chosen.append(int(np.argmax(products)))
        weights = np.linalg.lstsq(points[chosen].T, target, rcond=None)[0]
        left = target - points[chosen].T @ weights
    return chosen, weights


@pytest.mark.parametrize("count", [1, 4, 12])
def test_pursuit_is_that_of_the_slow_reference(count):
    generator = np.random.default_rng(1)
    points, targets = generator.normal(size=(40, 12)), generator.normal(size=(7, 12))
    chosen, weights = pursue(torch.from_numpy(targets).float(), torch.from_numpy(points).float(), count)
    for row in range(7):
        expected, sums = slowly(targets[row].astype(np.float32), points.astype(np.float32), count)
        assert chosen[row].tolist() == expected
        assert weights[row].numpy() == pytest.approx(sums, abs=1e-4)


def test_repeated_points_and_too_many_add_nothing():
    points = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    chosen, weights = pursue(torch.tensor([[3.0, 1.0, 0.0]]), points, 64)
    sums = torch.zeros(3, dtype=torch.float64).scatter_(0, chosen[0], weights[0])
    assert chosen.shape == (1, 3) and (sums @ points.double()).tolist() == pytest.approx([3, 1, 0])
    assert (weights != 0).sum() == 2


@pytest.mark.parametrize("method", [clp, omp])
def test_a_donor_of_another_tokenizer_is_one_sentence(both, method):
    with pytest.raises(PolygraftError, match="399 x 6 .*400"):
        method(*both, donor_of(6)[:399])


@pytest.mark.parametrize("method", [clp, omp])
def test_a_donor_that_is_padded_is_cut_and_one_that_is_zero_copies_alone(both, method):
    padded = np.concatenate([donor_of(6), np.ones((8, 6), np.float32)])
    assert np.array_equal(method(*both, padded).matrix.toarray(), method(*both, donor_of(6)).matrix.toarray())
    assert method(*both, np.zeros((400, 6), np.float32)).counts().keys() == {"identical", "byte", "none"}
