"""What speaks for a caption: known answers, a slow reference, and nothing for itself."""

from math import exp

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal.evidence import NAMES, compared_form, evidence, likeness_votes, utility_of
from multimodal.profile import NOBODY, Context
from multimodal.style import Style

KNOWN = ("#cat #pet", "#dog #pet", "#car #road", "#sun #sky", "a house")
DRAWN = ("#cat #dog", "a big house", "#cat #pet")
PAST = (("#cat #pet", 0.9), ("#dog #pet", 0.8), ("#car #road", 0.1))
SHOWN = Context(posts=PAST, style=tuple(Style.of(KNOWN).as_vector()), known=True)


def column(name, drawn=DRAWN, shown=SHOWN, known=KNOWN):
    return evidence(drawn, shown, known)[:, NAMES.index(name)]


def slow_votes(sharpness):
    """Return the weighed mean CIDEr-D of each caption with the past ones, one pair at a time."""
    utility, texts, found = utility_of(KNOWN), [*DRAWN, *dict(PAST)], []
    for at, text in enumerate(texts):
        total = gained = 0.0
        for number, (past, cosine) in enumerate(PAST):
            if at != len(DRAWN) + number:
                weight = exp(sharpness * (cosine - 0.9))
                gained += weight * utility.pairwise([compared_form(text), compared_form(past)])[0, 1]
                total += weight
        found.append(gained / total)
    return found


@pytest.mark.parametrize(("name", "sharpness"), [("votes", 5), ("flat", 0)])
def test_votes_are_those_of_plain_loops(name, sharpness):
    assert column(name) == pytest.approx(slow_votes(sharpness))


def test_captions_drawn_vouch_for_others_and_not_for_themselves():
    found = column("drawn", drawn=("#sun #sky", "#cat #pet"))
    assert found[0] == found[1] == 0 and found[2] > 0  # the past caption is as the second one


def test_what_was_drawn_is_told_from_what_was_written_before():
    assert column("made").tolist() == [1, 1, 1, 0, 0, 0]
    assert column("likeness") == pytest.approx([0, 0, 0, 0.9, 0.8, 0.1])


def test_captions_as_the_user_writes_are_near_in_style():
    shouts = Context(posts=(("STOP IT!!", 0.5),), style=tuple(Style.of(["STOP IT!!", "GO ON!!"]).as_vector()))
    far, near, _ = column("style", drawn=("one small thing", "LET GO!!"), shown=shouts)
    assert near < far


def test_words_are_counted_among_the_nearest():
    assert column("length") == pytest.approx([0.2, 0.3, 0.2, 0.2, 0.2, 0.2])
    assert column("shared", drawn=("#pet", "#pet #never", "#never"))[:3] == pytest.approx([2 / 3, 1 / 3, 0])


def test_the_nearest_are_the_first_five():
    shown = Context(posts=tuple((f"w{at}", 0.9 - at / 10) for at in range(6)))
    assert column("shared", drawn=("w4", "w5"), shown=shown)[:2] == pytest.approx([1 / 5, 0])


def test_of_nobody_nothing_is_known_but_what_was_drawn():
    found = evidence(("#cat #pet", "#cat"), NOBODY, ())
    zero = [NAMES.index(name) for name in ("votes", "flat", "shared")]
    assert found.shape == (2, len(NAMES)) and not found[:, zero].any()


def test_the_most_similar_picture_has_one_vote_and_none_has_none():
    assert likeness_votes(np.array([0.5, 0.9]), 10.0) == pytest.approx([exp(-4), 1])
    assert likeness_votes(np.array([]), 10.0).shape == (0,)


@given(st.lists(st.text(max_size=20), max_size=4), st.lists(st.text(max_size=20), max_size=3), st.booleans())
def test_evidence_is_finite_for_any_text(drawn, past, knows):
    if drawn or past:
        found = evidence(drawn, Context(posts=tuple((text, 0.5) for text in past)), tuple(past) if knows else ())
        assert found.shape == (len(drawn) + len(past), len(NAMES)) and np.isfinite(found).all()
