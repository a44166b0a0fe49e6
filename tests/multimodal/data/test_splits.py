"""Splits that leak nothing: the cut in two, and the marks for training, validation and tests."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from multimodal.data.posts import Post
from multimodal.data.splits import mark_splits, split_posts


def some_posts(folder="f", captions=2):
    return [
        Post(image=Path(folder, f"{number}.png"), text=f"{number} {caption}", user=f"user{number % 7}")
        for number in range(40)
        for caption in range(captions)
    ]


@pytest.mark.parametrize("by", ["post", "user"])
def test_no_image_and_no_user_stands_on_both_sides(by):
    train, held = split_posts(some_posts(), 0.2, by=by)
    keys = [{post.image if by == "post" else post.user for post in side} for side in (train, held)]
    assert not keys[0] & keys[1]
    assert [len(keys[1]), len(train) + len(held)] == [8 if by == "post" else 1, 80]


def test_a_split_depends_on_the_seed_alone():
    def held(posts, seed=0):
        return {post.image.name for post in split_posts(posts, 0.2, seed=seed)[1]}

    assert held(some_posts()) == held(some_posts("elsewhere")[::-1]) != held(some_posts(), seed=1)


def test_a_share_of_nothing_keeps_all_for_training():
    assert split_posts(some_posts(), 0.0) == (some_posts(), [])


@pytest.mark.parametrize(("posts", "by"), [(some_posts()[:2], "post"), (some_posts()[:2], "user")])
def test_a_split_that_leaves_one_side_empty_is_refused(posts, by):
    with pytest.raises(PolygraftError, match="cannot be split"):
        split_posts(posts, 0.1, by=by)


# Marks


def many_posts(folder="f", users=50, images=20):
    """Return posts of many users, two texts for each image."""
    return [
        Post(image=Path(folder, f"{user}-{number}.png"), text=f"{caption}", user=f"user{user}", id=f"{user}/{number}")
        for user in range(users)
        for number in range(images)
        for caption in ("a", "b")
    ]


def marks(posts, **options):
    return {(post.id, post.text, post.user): post.split for post in mark_splits(posts, **options)}


def by_mark(posts):
    return {mark: [post for post in posts if post.split == mark] for mark in {post.split for post in posts}}


def test_every_post_gets_a_mark_in_about_the_shares_asked_for():
    posts = mark_splits(many_posts(), seed=1)
    shares = {mark: len(found) / len(posts) for mark, found in by_mark(posts).items()}
    assert [replace(post, split="") for post in posts] == many_posts()
    assert shares == {
        "test1": pytest.approx(0.1, abs=0.08),
        "test2": pytest.approx(0.09, abs=0.04),
        "train": pytest.approx(0.81, abs=0.1),
    }


@pytest.mark.parametrize("images", [20, 2])
def test_test1_has_all_posts_of_its_users_and_test2_none_of_unseen_ones(images):
    sides = by_mark(mark_splits(many_posts(images=images), posts_share=0.3))
    users = {mark: {post.user for post in found} for mark, found in sides.items()}
    assert not users["test1"] & (users["train"] | users["test2"])
    assert users["test2"] <= users["train"]
    assert len(sides["test1"]) == len(users["test1"]) * images * 2


def test_whose_posts_are_all_held_out_is_unseen():
    sides = by_mark(mark_splits(many_posts(images=2), users=0, posts_share=0.5))
    assert {post.user for post in sides["test2"]} <= {post.user for post in sides["train"]}
    assert not {post.user for post in sides["test1"]} & {post.user for post in sides["train"]}
    assert len(sides["test1"]) / 200 == pytest.approx(0.25, abs=0.15)


def test_marks_depend_on_the_seed_and_not_on_folder_and_order():
    assert marks(many_posts()) == marks(many_posts("else/where")[::-1]) != marks(many_posts(), seed=1)


def test_a_mark_does_not_depend_on_the_other_users():
    few, all_ = marks(many_posts(users=30)), marks(many_posts(users=50))
    assert few == {key: all_[key] for key in few}


def test_shares_of_nothing_leave_all_for_training():
    found = mark_splits(many_posts(), users=0, posts_share=0)
    assert Counter(post.split for post in found) == {"train": 2000}


def test_no_posts_have_no_marks():
    assert mark_splits([]) == []


@pytest.mark.parametrize("seed", range(30))
def test_one_post_is_for_training(seed):
    (post,) = mark_splits([Post(image=Path("a.png"), text="a", user="anna")], seed=seed, posts_share=0.9)
    assert post.split == "train"


@pytest.mark.parametrize("user", ["", "anna"])
def test_a_single_user_and_nobody_are_never_unseen(user):
    posts = [replace(post, user=user) for post in many_posts(users=4)]
    assert set(by_mark(mark_splits(posts, users=0.99))) == {"train", "test2"}


def shared_posts(pairs):
    return [Post(image=Path(f"{image}.png"), text=f"{at}", user=f"u{user}") for at, (user, image) in enumerate(pairs)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), min_size=1, max_size=40), st.integers(0, 50))
def test_no_image_is_on_two_sides_and_no_user_both_seen_and_unseen(pairs, seed):
    try:
        sides = by_mark(mark_splits(shared_posts(pairs), users=0.2, posts_share=0.2, seed=seed))
    except PolygraftError:  # nothing is left for training
        reject()
    tests = sides.get("test1", []) + sides.get("test2", [])
    groups = [{post.image for post in side} for side in (sides["train"], sides.get("validation", []), tests)]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert sum(map(len, sides.values())) == len(pairs)
    users = {mark: {post.user for post in side} for mark, side in sides.items()}
    assert not users.get("test1", set()) & set().union(*(users[mark] for mark in users.keys() - {"test1"}))
    assert users.get("test2", set()) <= users["train"]


def test_a_post_with_a_image_of_an_unseen_user_is_tested_too():
    posts = many_posts()
    unseen = next(post for post in mark_splits(posts) if post.split == "test1")
    extra = Post(image=unseen.image.parent / "x" / ".." / unseen.image.name, text="mine too", user="other")
    own = [Post(image=Path(f"own{n}.png"), text="own", user="other") for n in range(40)]
    assert mark_splits([*posts, *own, extra])[-1].split == "test2"


def marked(*rows):
    return [Post(image=Path(image), text=mark, split=mark, user=str(at)) for at, (image, mark) in enumerate(rows)]


def test_marks_that_are_there_stay_and_the_rest_is_for_training():
    found = mark_splits(marked(("a", "test1"), ("b", ""), ("c", "validation"), ("d", "")))
    assert [post.split for post in found] == ["test1", "train", "validation", "train"]


def test_marked_posts_whose_image_is_held_out_are_left_out():
    remarks = []
    rows = [("a", "train"), ("a", "test1"), ("a", "validation"), ("a", "test2"), ("b", ""), ("b", "validation")]
    found = mark_splits(marked(*rows, ("c", "train")), report=remarks.append)
    assert [(post.image.name, post.split) for post in found] == [
        ("a", "test1"), ("a", "test2"), ("b", "validation"), ("c", "train")
    ]  # fmt: skip
    assert remarks == ["3 posts left out: their images are held out for validation or tests"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"users": 1}, "users is 1, allowed is 0 up to"),
        ({"posts_share": -0.1}, "posts_share is -0.1"),
        ({"users": float("nan")}, "users is nan"),
        ({"users": 0.999, "seed": 3}, "all 2000 posts are held out .* take smaller shares or another seed"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, told):
    with pytest.raises(PolygraftError, match=told):
        mark_splits(many_posts(), **options)


def test_a_mark_that_there_is_not_is_refused():
    with pytest.raises(PolygraftError, match="'dev'.*validation"):
        mark_splits(marked(("a", "dev")))


def test_names_that_are_not_utf8_can_be_drawn():
    posts = [replace(post, image=Path(f"\udcff{post.image.name}")) for post in many_posts(users=3)]
    assert len(mark_splits(posts)) == sum(map(len, split_posts(posts, 0.2))) == 120
