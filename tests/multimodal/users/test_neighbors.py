"""Past captions that users share with one another: whom one trusts, what is borrowed, and what never is."""

from collections import Counter
from dataclasses import replace
from math import exp, sqrt

import numpy as np
import pytest

from backbone.errors import PolygraftError
from multimodal.profile.profile import PastCaption, Profile, normalised
from multimodal.users.neighbors import _ENOUGH, _SHARPNESS, LENDERS, POSTS_EACH, Community, spelled
from tests.multimodal.tiny_captioner import ANIMALS, COLORS
from tests.multimodal.tiny_users import random_rows

WAYS = {"loud": lambda thing: f"SO {thing.upper()}!!", "tags": lambda thing: f"#{thing.replace(' ', '_')}"}
"""Two ways to write of the same images."""
THINGS = tuple(f"{color} {animal}" for animal in ANIMALS for color in COLORS)


def past_of(user, texts, rows, *, groups=None, times=None, encoder="e"):
    count = len(texts)
    pooled = None if rows is None else np.asarray(rows, dtype=np.float32)
    return Profile(
        user=user,
        texts=tuple(texts),
        pooled=pooled,
        encoder=encoder,
        ids=tuple(f"{user}/{at}" for at in range(count)),
        times=tuple(times or [""] * count),
        groups=tuple(groups or [""] * count),
    )


def community_of(*members):
    return Community.of({past.user: past for past in members})


def alike(rows, seed):
    """Return images much like these, but others."""
    noise = np.random.default_rng(seed).normal(size=rows.shape)
    return normalised((rows + 0.1 * noise).astype(np.float32))


def shared_by_others(community, profile, query, limit=3, **options):
    """Return the captions that are borrowed, each with its worth."""
    return [(one.text, one.worth) for one in borrowed(community, profile, query, limit, **options)]


def borrowed(community, profile, query, limit=3, **options):
    neighbours = community.neighbours(profile)
    return neighbours.borrowed(neighbours.similarity(query[None])[0], neighbours.trust(), limit, **options)


def angled(*cosines):
    """Return images with these cosines with that on the first axis."""
    return np.array([[c, sqrt(1 - c * c), 0] for c in cosines], dtype=np.float32)


HERE = angled(1.0)[0]
ME = Profile(user="me", texts=("so a dog!",), pooled=np.array([[0, 0, 1]], dtype=np.float32), encoder="e")
"""A user with one image, which tells how alike others write and is unlike all others."""


def friend(user, texts, rows, **options):
    """Return the past of one who writes as `ME` does, since their image most like that one is captioned the same."""
    return past_of(user, (*texts, "so a dog!"), [*rows, (0, 0.6, 0.8)], **options)


# Whom one trusts


@pytest.fixture(scope="module")
def planted():
    """Three users of either way, who wrote of the same 24 images as each saw them."""
    images = random_rows(24, width=16).numpy()
    members = [
        past_of(f"{way}{at}", [WAYS[way](thing) for thing in THINGS[:24]], alike(images, (at, len(way))))
        for at in range(3)
        for way in WAYS
    ]
    return community_of(*members), images


@pytest.mark.parametrize("way", WAYS)
def test_three_posts_tell_who_writes_alike(planted, way):
    community, images = planted
    texts = [WAYS[way](thing) for thing in THINGS[:3]]
    new = past_of("new", texts, alike(images[:3], 9))
    trust = dict(zip(community.users, community.neighbours(new).trust(), strict=True))
    right, wrong = ([trust[user] for user in trust if user.startswith(way) == so] for so in (True, False))
    assert max(right) == 1 and min(right) > 0.9 and max(wrong) < 0.5
    for at in range(3, 24):
        found = shared_by_others(community, new, alike(images, 8)[at], limit=5)
        assert found[0][0] == WAYS[way](THINGS[at])
        assert all(text in [WAYS[way](thing) for thing in THINGS] for text, _ in found)


def test_what_is_not_visible_tells_nothing(planted):
    community, images = planted
    texts = [WAYS["loud"](thing) for thing in THINGS[:6]]
    new = past_of("new", texts, alike(images[:6], 9))
    visible = np.array([True, False, False, True, False, True])
    fewer = new.take(np.flatnonzero(visible))
    found = community.neighbours(new).trust(visible)
    assert found == pytest.approx(community.neighbours(fewer).trust())
    assert (found != community.neighbours(new).trust()).any()
    assert not community.neighbours(new).trust(np.zeros(6, dtype=bool)).any()


def test_a_long_past_is_compared_as_a_short_one(planted):
    community, images = planted
    texts, rows = [WAYS["loud"](thing) for thing in THINGS[:3]], alike(images[:3], 9)
    short, long = (past_of("new", texts * times, np.tile(rows, (times, 1))) for times in (1, 200))
    assert np.array_equal(community.neighbours(long).trust(), community.neighbours(short).trust())


def test_similarity_in_writing_is_of_signs_and_case_too():
    rows = spelled(["a dog!", "A DOG!", ":a_dog:", "a dog!", ""]).toarray()
    near = rows @ rows[0]
    assert near[0] == near[3] == pytest.approx(1) and near[4] == 0
    assert 0 < min(near[1:3]) < max(near[1:3]) < 0.6
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 1, 1, 0])


# The same, slowly


def runs(text):
    """Return the runs of 1 to 4 characters of each word between spaces, with their counts."""
    found = Counter()
    for word in text.split():
        spaced = f" {word} "
        for length in (1, 2, 3, 4):
            found.update(spaced[at : at + length] for at in range(max(1, len(spaced) - length + 1)))
    return found


def same_spelling(one, other):
    a, b = runs(one), runs(other)
    return sum(a[run] * b[run] for run in a) / sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))


def slow_trust(members, profile, visible):
    found = {}
    for user, past in members.items():
        agreed = total = 0.0
        for text, row, seen in zip(profile.texts, profile.pooled, visible, strict=True):
            if seen:
                cosines = [float(row @ other) for other in past.pooled]
                best = cosines.index(max(cosines))
                weight = exp(_SHARPNESS * (cosines[best] - 1))
                agreed += weight * same_spelling(text, past.texts[best])
                total += weight
        found[user] = 0.0 if user == profile.user or not total else agreed / total
    most = max(_ENOUGH, *found.values())
    return {user: float(np.round(value / most, 4)) for user, value in found.items()}


def slow_borrowed(members, profile, trust, query, limit, group):
    found = []
    for user in sorted(members):
        past = members[user]
        for text, row, of in zip(past.texts, past.pooled, past.groups, strict=True):
            cosine = float(row @ query)
            if user != profile.user and cosine < 0.999 and not (group and of == group):
                found.append(PastCaption(text, cosine, cosine + 3.0 * (trust[user] - 1.0)))
    best = {}
    for one in sorted(found, key=lambda one: -one.worth):
        best.setdefault(one.text, one)
    return list(best.values())[:limit] if any(trust.values()) else []


def exact_rows(count, random):
    """Return images whose cosines are sixteenths, so that many tie and none is a matter of rounding."""
    rows = np.zeros((count, 18), dtype=np.float32)
    for row in rows:
        row[random.permutation(18)[:16]] = random.choice([0.25, -0.25], size=16, p=[0.8, 0.2])
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_trust_and_rank_are_those_of_plain_loops(seed):
    random = np.random.default_rng(seed)

    def drawn(user, count):
        texts = [random.choice(list(WAYS.values()))(random.choice(THINGS)) for _ in range(count)]
        return past_of(
            user, texts, exact_rows(count, random), groups=random.choice(["", "a", "b"], size=count).tolist()
        )

    members = {user: drawn(user, int(random.integers(1, 30))) for user in ("me", "cy", "bo", "al", "di")}
    me = members["me"] if seed % 2 else drawn("new", 4)
    community = Community.of(members)
    neighbours = community.neighbours(me)
    queries = np.concatenate([exact_rows(20, random), community.images[:10]])
    for query, similarity in zip(queries, neighbours.similarity(queries), strict=True):
        visible, group = random.random(len(me)) < 0.7, str(random.choice(["", "a", "c"]))
        trust, expected = neighbours.trust(visible), slow_trust(members, me, visible)
        assert trust == pytest.approx([expected[user] for user in community.users], abs=1e-9)
        found, wanted = (
            neighbours.borrowed(similarity, trust, 4, group=group), slow_borrowed(members, me, expected, query, 4,
            group)
        )  # fmt: skip
        assert [one.text for one in found] == [one.text for one in wanted]
        assert [one[1:] for one in found] == [pytest.approx(one[1:]) for one in wanted]


# What is borrowed, and what never is


def test_the_nearest_images_of_the_trusted_come_first():
    community = community_of(
        friend("al", ["far", "near"], angled(0.3, 0.9)), past_of("bo", ["nearest"], angled(0.95)),
    )  # fmt: skip
    found = shared_by_others(community, ME, HERE, limit=2)
    assert found == [("near", pytest.approx(0.9)), ("far", pytest.approx(0.3))]
    alone = dict(shared_by_others(community, ME, HERE, limit=9))
    assert -2.1 < alone["nearest"] < 0.3  # who writes otherwise shares last
    assert [text for text, _ in shared_by_others(replace(community, distrust=0.0), ME, HERE, limit=2)] == [
        "nearest",
        "near",
    ]


def test_nobody_is_lent_what_they_wrote():
    members = [friend("al", ["theirs"], angled(0.5)), friend("me", ["mine"], angled(0.9))]
    assert "mine" not in dict(shared_by_others(community_of(*members), ME, HERE, limit=9))
    assert "mine" in dict(shared_by_others(community_of(*members), replace(ME, user="joe"), HERE, limit=9))
    assert shared_by_others(community_of(members[1]), ME, HERE) == []


def test_captions_of_the_very_same_image_are_not_lent():
    community = community_of(friend("al", ["same", "as good as the same", "another"], angled(1.0, 0.9991, 0.9988)))
    assert shared_by_others(community, ME, HERE, limit=1) == [("another", pytest.approx(0.9988, abs=1e-4))]
    assert {"same", "as good as the same"}.isdisjoint(dict(shared_by_others(community, ME, HERE, limit=9)))


def test_near_duplicates_are_not_lent():
    groups = ["a", "b", "", ""]
    community = community_of(friend("al", ["one", "two", "three"], angled(0.9, 0.8, 0.7), groups=groups))
    assert [[text for text, _ in shared_by_others(community, ME, HERE, group=group)][:2] for group in ("a", "b", "c",
        "")] == [ ["two", "three"], ["one", "three"], ["one", "two"], ["one", "two"],
    ]  # fmt: skip


def test_what_was_posted_at_that_time_or_later_or_nobody_knows_when_is_not_lent():
    times = ["2020", "2021", "", "2022", ""]
    community = community_of(friend("al", ["old", "then", "ever", "new"], angled(0.6, 0.7, 0.8, 0.9), times=times))
    assert [[text for text, _ in shared_by_others(community, ME, HERE, before=before)] for before in ("2021", "2022",
        "2020")] == [ ["old"], ["then", "old"], [],
    ]  # fmt: skip
    assert [text for text, _ in shared_by_others(community, ME, HERE)] == ["new", "ever", "then"]


def test_each_text_is_lent_once_where_it_is_nearest():
    rows = angled(*np.linspace(0.8, 0.9, 12), 0.1)
    community = community_of(friend("al", ["often"] * 12 + ["once"], rows), friend("bo", ["often"], angled(0.7)))
    assert shared_by_others(community, ME, HERE) == [
        ("often", pytest.approx(0.9)), ("once", pytest.approx(0.1)), ("so a dog!", 0.0)
    ]  # fmt: skip


def test_of_equals_the_order_of_names_and_posts_decides():
    members = [friend(user, [f"{user}{at}" for at in range(4)], angled(*[0.5] * 4)) for user in ("di", "al", "cy")]
    first, second = (community_of(*some) for some in (members, members[::-1]))
    assert first.users == second.users == ("al", "cy", "di")
    for community in (first, second):
        assert [text for text, _ in shared_by_others(community, ME, HERE, limit=5)] == [
            "al0",
            "al1",
            "al2",
            "al3",
            "cy0",
        ]


def test_no_more_are_lent_than_are_asked_for():
    community = community_of(friend("al", list("abcdef"), angled(*np.linspace(0.1, 0.6, 6))))
    assert [len(shared_by_others(community, ME, HERE, limit=limit)) for limit in (0, 1, 5, 50)] == [0, 1, 5, 7]


def test_without_images_nothing_is_compared_and_nothing_lent():
    community = community_of(friend("al", ["near"], angled(0.9)), past_of("bo", ["text alone"], None))
    assert community.users == ("al",)
    for profile in (
        Profile(user="me", texts=ME.texts),
        Profile(user="me"),
        replace(ME, texts=(), pooled=HERE[None][:0]),
    ):
        assert not community.neighbours(profile).trust().any()
        assert shared_by_others(community, profile, HERE) == []


def test_an_empty_community_lends_nothing():
    for community in (Community.of({}), community_of(past_of("al", ["x"], None), past_of("bo", [], HERE[None][:0]))):
        neighbours = community.neighbours(ME)
        assert (len(community), community.users, neighbours.trust().shape) == (0, (), (0,))
        assert neighbours.similarity(angled(1.0, 0.5)).shape == (2, 0)
        assert shared_by_others(community, ME, HERE) == []


def test_images_of_different_encoders_are_one_sentence():
    community = community_of(friend("al", ["near"], angled(0.9)))
    with pytest.raises(PolygraftError, match="'me' .*image encoder"):
        community.neighbours(replace(ME, encoder="other"))
    assert shared_by_others(community, replace(ME, encoder="other", pooled=None), HERE) == []
    with pytest.raises(PolygraftError, match="different image encoders"):
        community_of(friend("al", ["near"], angled(0.9)), friend("bo", ["near"], angled(0.9), encoder="other"))


# How much a community holds


def test_those_with_the_most_posts_lend():
    few = [past_of(f"few{at:03}", ["x"], angled(0.5)) for at in range(LENDERS)]
    many = [past_of(f"many{at}", ["x", "y"], angled(0.5, 0.6)) for at in range(3)]
    found = community_of(*few, *many)
    assert len(found.users) == LENDERS == 300
    assert found.users == (*(f"few{at:03}" for at in range(LENDERS - 3)), "many0", "many1", "many2")
    assert len(found) == LENDERS + 3 and len(found.images) == 2


def test_of_a_long_past_some_is_lent_evenly_spread():
    count = 2 * POSTS_EACH + 1
    rows, groups = random_rows(count, width=4).numpy(), [f"g{at}" for at in range(count)]
    found = community_of(past_of("al", [str(at) for at in range(count)], rows, groups=groups))
    kept = [int(text) for text in found.texts]
    assert len(kept) == POSTS_EACH == 300 and (kept[0], kept[-1]) == (0, count - 1)
    assert set(np.diff(kept)) == {2, 3} and found.groups == tuple(f"g{at}" for at in kept)
    assert np.array_equal(found.images[found.shown], rows[kept])
