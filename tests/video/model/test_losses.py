"""The losses against loops that are written out, in one piece and in many, with narrations that several clips share."""

import math

import pytest
import torch
import torch.nn.functional as F

from video.model.projection import batch_loss, vocabulary_loss

ROWS = torch.tensor([3, 0, 3, 8, 1, 3])


@pytest.fixture
def vocabulary():
    return F.normalize(torch.randn(11, 5, generator=torch.Generator().manual_seed(0)), dim=1)


@pytest.fixture
def queries():
    return F.normalize(torch.randn(6, 5, generator=torch.Generator().manual_seed(1)), dim=1).requires_grad_()


@pytest.fixture
def scale():
    return torch.tensor([20.0], requires_grad=True)


def naive_entropy(logits, rights):
    """Return by how much an even guess among the right places is surprised by the softmax of ``logits``."""
    total = math.log(sum(math.exp(logit) for logit in logits))
    return sum(total - logits[right] for right in rights) / len(rights) - math.log(len(rights))


def test_the_batch_loss_is_the_sum_of_both_directions(queries, vocabulary, scale):
    cosines = [[20 * float(q @ vocabulary[row]) for row in ROWS] for q in queries.detach()]
    expected = 0.0
    for own, row in enumerate(ROWS.tolist()):
        rights = [other for other, theirs in enumerate(ROWS.tolist()) if theirs == row]
        expected += naive_entropy(cosines[own], rights)
        expected += naive_entropy([line[own] for line in cosines], rights)
    assert batch_loss(queries, vocabulary[ROWS], ROWS, scale).item() == pytest.approx(expected, rel=1e-5)


def test_the_vocabulary_loss_is_the_entropy_among_all_texts(queries, vocabulary, scale):
    expected = sum(
        naive_entropy([20 * float(query @ text) for text in vocabulary], [row])
        for query, row in zip(queries.detach(), ROWS.tolist(), strict=True)
    )
    assert vocabulary_loss(queries, vocabulary, ROWS, scale).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("chunk", [1, 4, 11])
def test_pieces_give_the_loss_and_the_gradients_of_the_whole(queries, vocabulary, scale, chunk):
    found = []
    for size in (chunk, 65_536):
        loss = vocabulary_loss(queries, vocabulary, ROWS, scale, chunk=size)
        found.append((loss, *torch.autograd.grad(loss, (queries, scale))))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-5)


def test_only_the_pieces_at_work_are_in_memory(queries, scale):
    """Saved for the gradient are queries, texts and sums, never the logits, which are as many as both together."""
    texts = F.normalize(torch.randn(4000, 5), dim=1).half()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        vocabulary_loss(queries, texts, ROWS, scale, chunk=500)
    assert max(kept) < 6 * 500


def test_two_clips_with_one_narration_are_no_wrong_answers_to_each_other(vocabulary, scale):
    twins = vocabulary[[2, 2]].clone().requires_grad_()
    loss = batch_loss(twins, vocabulary[[2, 2]], torch.tensor([2, 2]), scale)
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert torch.autograd.grad(loss, twins)[0].norm() < 1e-4
    # the release: 2 ln 2 a clip
    blind = batch_loss(twins, vocabulary[[2, 2]], torch.tensor([0, 1]), scale)
    assert blind.item() == pytest.approx(4 * math.log(2), rel=1e-5)


def test_a_learned_query_finds_its_text_by_either_loss(vocabulary, scale):
    for loss in (
        lambda q: batch_loss(q, vocabulary[ROWS], ROWS, scale.detach()),
        lambda q: vocabulary_loss(q, vocabulary, ROWS, scale.detach()),
    ):
        free = torch.randn(6, 5, generator=torch.Generator().manual_seed(2)).requires_grad_()
        optimizer = torch.optim.Adam([free], lr=0.1)
        for _ in range(60):
            optimizer.zero_grad()
            loss(F.normalize(free, dim=1)).backward()
            optimizer.step()
        found = F.normalize(free, dim=1) @ vocabulary[ROWS.unique()].T
        assert ROWS.unique()[found.argmax(dim=1)].tolist() == ROWS.tolist()


def test_half_precision_texts_are_taken_as_they_are(queries, vocabulary, scale):
    half = vocabulary.half()
    expected = vocabulary_loss(queries, half.float(), ROWS, scale)
    torch.testing.assert_close(vocabulary_loss(queries, half, ROWS, scale), expected)
