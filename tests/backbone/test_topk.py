"""The exact best rows, whatever the approximate scores say within their error."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from backbone.topk import top_k


@given(
    st.integers(1, 5), st.lists(st.integers(1, 90), max_size=4), st.integers(1, 12), st.integers(1, 30),
    st.integers(0, 9999),
)  # fmt: skip
def test_the_best_are_those_of_a_sort_ties_included(queries, widths, k, levels, seed):
    draw = torch.Generator().manual_seed(seed)
    # few levels, so that many are equal; approximate ones miss by up to the error
    true = [torch.randint(levels, (queries, width), generator=draw).double() for width in widths]
    blocks = [
        (block.float() + torch.rand(block.shape, generator=draw) - 0.5, lambda query, row, own=block: own[query, row])
        for block in true
    ]
    scores, rows = top_k(blocks, queries, k, error=0.51)
    all_scores = torch.cat([torch.zeros(queries, 0).double(), *true], dim=1)
    order = all_scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    assert torch.equal(rows[:, : order.shape[1]], order)
    assert torch.equal(scores[:, : order.shape[1]], all_scores.gather(1, order))
    assert (rows[:, order.shape[1] :] == -1).all() and (scores[:, order.shape[1] :] == -torch.inf).all()


def test_rows_left_out_are_never_scored():
    block = torch.tensor([[0.5, -torch.inf, 0.1]])
    scores, rows = top_k([(block, lambda query, row: block[query, row].double())], 1, 3, error=1.0)
    assert rows.tolist() == [[0, 2, -1]]
    assert scores[0, 2] == -torch.inf
