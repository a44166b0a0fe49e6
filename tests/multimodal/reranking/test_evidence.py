"""What speaks for a caption: known answers, a slow reference, and nothing for itself."""

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal.profile.profile import NOBODY, Context, PastCaption
from multimodal.profile.style import Style
from multimodal.reranking.rerank import NAMES, compared_form, evidence, similarity_votes, utility_of

KNOWN = ("#cat #pet", "#dog #pet", "#car #road", "#sun #sky", "a house")
DRAWN = ("#cat #dog", "a big house", "#cat #pet")
PAST = (("#cat #pet", 0.9), ("#dog #pet", 0.8), ("#car #road", 0.1))
BORROWED = (("#cat", 0.7, 0.9), ("#dog #pet", 0.95, 0.3), ("a house", 0.2, 0.6))


def own(*posts):
    return tuple(PastCaption(text, cosine, worth=cosine) for text, cosine in posts)


def borrowed(*posts):
    return tuple(PastCaption(text, cosine, trust, cosine + trust - 1) for text, cosine, trust in posts)


STYLE = tuple(Style.of(KNOWN).as_vector())
SHOWN = Context(own=own(*PAST), style=STYLE, known=True, seen=3)
BOTH = replace(SHOWN, borrowed=borrowed(*BORROWED))


def column(name, drawn=DRAWN, shown=SHOWN, known=KNOWN):
    return evidence(drawn, shown, known)[:, NAMES.index(name)]


def slow_votes(weights):
    """Return the weighed mean CIDEr-D of each caption with the past ones, one pair at a time."""
    utility, past, found = utility_of(KNOWN), [text for text, *_ in (*PAST, *BORROWED)], []
    for at, text in enumerate([*DRAWN, *past]):
        total = gained = 0.0
        for number, (other, weight) in enumerate(zip(past, weights, strict=True)):
            if at != len(DRAWN) + number:
                gained += weight * utility.pairwise([compared_form(text), compared_form(other)])[0, 1]
                total += weight
        found.append(gained / total if total else 0.0)
    return found


NONE = [0.0] * 3
WEIGHTS = {
    "own": [*(exp(5 * (cosine - 0.9)) for _, cosine in PAST), *NONE],
    "own flat": [1.0, 1.0, 1.0, *NONE],
    "borrowed": [*NONE, *(trust * exp(5 * (cosine - 0.95)) for _, cosine, trust in BORROWED)],
    "borrowed flat": [*NONE, *(trust for _, _, trust in BORROWED)],
    "votes": [exp(5 * (worth - 0.9)) for worth in (0.9, 0.8, 0.1, 0.6, 0.25, -0.2)],
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_votes_are_those_of_plain_loops(name):
    assert column(name, shown=BOTH) == pytest.approx(slow_votes(WEIGHTS[name]))


@pytest.mark.parametrize(("seen", "share"), [(0, 0.0), (3, log(4) / log(301)), (300, 1.0), (5_000, 1.0)])
@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(", past")])
def test_some_evidence_grows_with_the_past(name, seen, share):
    shown = replace(BOTH, seen=seen)
    found, plain = column(name, shown=shown), column(name.removesuffix(", past"), shown=shown)
    assert plain.any() and found == pytest.approx(share * plain)


def test_whose_a_caption_is_and_how_like_its_image():
    assert column("is borrowed", shown=BOTH).tolist() == [0] * 6 + [1] * 3
    assert column("similarity", shown=BOTH) == pytest.approx([*NONE, 0.9, 0.8, 0.1, *NONE])
    assert column("borrowed similarity", shown=BOTH) == pytest.approx([*NONE, *NONE, 0.7, 0.95, 0.2])
    assert column("trust", shown=BOTH) == pytest.approx([*NONE, *NONE, 0.9, 0.3, 0.6])


def test_captions_drawn_vouch_for_others_and_not_for_themselves():
    found = column("drawn", drawn=("#sun #sky", "#cat #pet"))
    assert found[0] == found[1] == 0 and found[2] > 0  # the past caption is as the second one


def test_what_was_drawn_is_told_from_what_was_written_before():
    assert column("made").tolist() == [1, 1, 1, 0, 0, 0]
    assert column("similarity") == pytest.approx([0, 0, 0, 0.9, 0.8, 0.1])


def test_captions_as_the_user_writes_are_near_in_style():
    shouts = Context(own=own(("STOP IT!!", 0.5)), style=tuple(Style.of(["STOP IT!!", "GO ON!!"]).as_vector()))
    far, near, _ = column("style", drawn=("one small thing", "LET GO!!"), shown=shouts)
    assert near < far


def test_words_are_counted_among_the_nearest():
    assert column("length") == pytest.approx([0.2, 0.3, 0.2, 0.2, 0.2, 0.2])
    words = ("#pet", "#pet #never", "#never")
    assert column("shared", drawn=words)[:3] == pytest.approx([2 / 3, 1 / 3, 0])
    assert column("borrowed shared", drawn=words, shown=BOTH)[:3] == pytest.approx([1 / 3, 1 / 6, 0])


def test_the_nearest_are_the_first_five():
    shown = Context(own=own(*((f"w{at}", 0.9 - at / 10) for at in range(6))))
    assert column("shared", drawn=("w4", "w5"), shown=shown)[:2] == pytest.approx([1 / 5, 0])


def test_of_nobody_nothing_is_known_but_what_was_drawn():
    found = evidence(("#cat #pet", "#cat"), NOBODY, ())
    zero = [NAMES.index(name) for name in ("votes", "own", "borrowed", "borrowed flat", "shared", "borrowed shared")]
    assert found.shape == (2, len(NAMES)) and not found[:, zero].any()


def test_the_most_similar_image_has_one_vote_and_none_has_none():
    similarity, both = np.array([0.5, 0.9, 0.95]), np.array([True, True, False])
    assert similarity_votes(similarity, 10.0, both) == pytest.approx([exp(-4), 1, 0])
    assert not similarity_votes(similarity, 10.0, both & ~both).any()
    assert similarity_votes(similarity[:0], 10.0, both[:0]).shape == (0,)


TEXTS = st.lists(st.text(max_size=20), max_size=3)


@given(TEXTS, TEXTS, TEXTS, st.booleans())
def test_evidence_is_finite_for_any_text(drawn, past, others, knows):
    if drawn or past or others:
        shown = Context(
            own=own(*((text, 0.5) for text in past)), borrowed=borrowed(*((text, 0.4, 0.0) for text in others))
        )
        found = evidence(drawn, shown, tuple(past) if knows else ())
        assert found.shape == (len(drawn) + len(past) + len(others), len(NAMES)) and np.isfinite(found).all()
