import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal.profile.profile import NOBODY, Context, PastCaption
from multimodal.reranking.rerank import LEARNED, NAMES, VOTES, Agreement

KNOWN = ("#cat #pet", "#dog #pet", "#car #road", "#sun #sky", "a house")


def shown(*posts: tuple[str, float]) -> Context:
    own = tuple(PastCaption(text, cosine, worth=cosine) for text, cosine in posts)
    return Context(own=own, known=True, seen=len(own))


def borrowing(*posts: tuple[str, float, float]) -> Context:
    """Return a user of no own past captions, with borrowed ones: text, similarity, trust."""
    return Context(borrowed=tuple(PastCaption(*post, worth=post[1] + post[2] - 1) for post in posts), known=True)


def test_the_caption_that_others_resemble_is_chosen():
    drawn = ["#sun #sky", "#cat #pet", "#cat #dog"]
    assert Agreement().choose(drawn, NOBODY, KNOWN) == 1


def test_past_captions_vote():
    drawn = ["#sun #sky", "#car #road"]
    assert Agreement(weights=VOTES).choose(drawn, shown(("#car #road #town", 0.9)), KNOWN) == 1


def test_a_past_caption_of_an_unlike_image_is_not_repeated():
    drawn = ["#cat #dog", "#cat #pet", "#cat #pet #dog"]
    for similarity in (0.1, 0.2):
        assert Agreement().choose(drawn, shown(("#car #road #town", similarity)), KNOWN) < 3


def test_texts_without_images_say_nothing_of_the_image():
    drawn = ["#sun #sky", "#cat #pet", "#cat #dog"]
    assert Agreement().choose(drawn, shown(*((text, 0.0) for text in ("#car #road", "#car #road #town"))), KNOWN) == 1


def test_a_past_caption_can_be_chosen():
    drawn = ["#sun", "a house"]
    past = shown(("#cat #pet", 0.9), ("#cat #pet #dog", 0.9))
    assert Agreement().choose(drawn, past, KNOWN) >= len(drawn)


def test_the_caption_agreed_on_is_given_whether_drawn_or_past():
    past = shown(("#cat #pet", 0.9), ("#cat #pet #dog", 0.9))
    assert Agreement().pick(["#sun", "a house"], past, KNOWN) in {one.text for one in past.own}
    assert Agreement().pick(["#sun #sky", "#cat #pet", "#cat #dog"], NOBODY, KNOWN) == "#cat #pet"


def test_the_more_similar_image_has_more_votes():
    past = (("#cat #pet", 0.9), ("#car #road", 0.4))
    drawn = ["#cat", "#car"]
    for name in ("votes", "own"):
        votes = Agreement(weights={name: 1.0, "made": 9.0})
        assert votes.choose(drawn, shown(*past), KNOWN) == 0
        assert votes.choose(drawn, shown(*((text, 1.3 - cosine) for text, cosine in past)), KNOWN) == 1


def test_who_is_trusted_more_has_more_votes():
    votes = Agreement(weights={"borrowed": 1.0, "made": 9.0})
    for trusts, expected in {(1.0, 0.2): 0, (0.2, 1.0): 1}.items():
        past = borrowing(("#cat #pet", 0.8, trusts[0]), ("#car #road", 0.8, trusts[1]))
        assert votes.choose(["#cat", "#car"], past, KNOWN) == expected


def test_a_lent_caption_can_be_chosen():
    past = borrowing(("#cat #pet", 0.9, 1.0), ("#cat #pet #dog", 0.9, 1.0))
    assert Agreement().choose(["#sun", "a house"], past, KNOWN) >= 2


def test_the_weights_decide():
    drawn, past = ["#sun #sky", "#sun #sky #day"], shown(("#car #road", 0.9), ("#car #road #town", 0.8))
    assert Agreement(weights={"drawn": 1.0}).choose(drawn, past, KNOWN) < 2
    assert Agreement(weights={"votes": 1.0}).choose(drawn, past, KNOWN) >= 2
    assert Agreement(weights={"length": 1.0}).pick(drawn, past, KNOWN) == "#sun #sky #day"
    assert Agreement(weights={"similarity": 1.0}).pick(drawn, past, KNOWN) == "#car #road"


def test_weights_are_of_evidence_that_there_is():
    assert set(LEARNED) <= set(NAMES) and set(VOTES) <= set(NAMES)


def test_shortcodes_and_case_are_compared_word_by_word():
    drawn = [":sun_sky:", ":BIG_CAT:", ":cat_big:"]
    assert Agreement().choose(drawn, NOBODY, ["big cat", "sun", "sky"]) in (1, 2)


@pytest.mark.parametrize("drawn", [["one"], [""], ["", ""]])
def test_little_to_choose_from(drawn: list[str]):
    assert Agreement().choose(drawn, NOBODY) == 0


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.lists(st.text(max_size=20), max_size=3))
def test_any_text_is_chosen_from(drawn: list[str], past: list[str]):
    found = Agreement().choose(drawn, shown(*((text, 0.5) for text in past)))
    assert 0 <= found < len(drawn) + len(past)
