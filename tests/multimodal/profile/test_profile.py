"""Profiles: what of a user's past is shown for an image, what never is, and what is kept on the disk."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbone.errors import PolygraftError
from backbone.feature_cache import CachedFeatures, FeatureCache
from multimodal.batches import CaptionSet
from multimodal.data.posts import Post
from multimodal.profile.profile import MAX_POSTS, NOBODY, ContextLimits, PastCaption, Profile, latest
from multimodal.profile.text_features import Style, WordTable
from multimodal.users.contexts import ContextBuilder, pasts
from multimodal.users.load import make_profile
from tests.multimodal.tiny_captioner import TEXTS, paint, write_posts
from tests.multimodal.tiny_users import axes_profile, random_rows, user_captioner

LIMITS = ContextLimits(words=60, posts=3)


def post(number, text, user="ann", time=""):
    return Post(image=Path(f"{number}.png"), text=text, user=user, time=time, id=str(number))


POSTS = [
    post(0, "red cat cat", time="2020"),
    post(1, "blue dog", time="2021"),
    post(2, "a planted zebra", time="2022"),
    post(3, "grey cat", time="2023"),
    post(4, "dog dog sea", user="bob", time="2020"),
    post(5, "sea", user="bob", time="2024"),
]
POOLED = random_rows(len(POSTS), seed=3)
TABLE = WordTable.fit({user: [p.text for p in POSTS if p.user == user] for user in ("ann", "bob")})


def caption_set(posts=POSTS, pooled=POOLED):
    """Return the posts with features of ours in place of an encoder's."""
    features = CachedFeatures(
        paths=tuple(post.image for post in posts),
        unreadable={},
        encoded=0,
        digest="",
        rows=np.arange(len(posts)),
        pooled_table=np.asarray(pooled),  # in full precision, to be compared exactly
        grid_table=None,
    )
    texts = tuple(p.text for p in posts)
    return CaptionSet(features=features, rows=tuple(range(len(posts))), texts=texts, posts=tuple(posts))


def shown(mode="leave-one-out", groups=None, posts=POSTS, limits=LIMITS, vary=None):
    data = caption_set(posts)
    builder = ContextBuilder(past=pasts(data, "e", groups=groups), table=TABLE, limits=limits, mode=mode)
    return builder.build(data, groups=groups, vary=vary)


def words_of(context):
    return [TABLE.words[number] for number, _ in context.words]


# What is shown of a post's author


def brute_force(row):
    """Make the author's profile anew without the post."""
    rest = [at for at, other in enumerate(POSTS) if other.user == POSTS[row].user and at != row]
    texts = tuple(POSTS[at].text for at in rest)
    profile = Profile(user=POSTS[row].user, texts=texts, pooled=POOLED.numpy()[rest], encoder="e")
    return profile.context(POOLED[row].numpy(), TABLE, LIMITS)


def test_leave_one_out_equals_a_profile_without_the_post():
    for row, found in enumerate(shown()):
        expected = brute_force(row)
        assert [text for text, _ in found.posts] == [text for text, _ in expected.posts]
        assert dict(found.posts) == pytest.approx(dict(expected.posts), abs=1e-6)
        assert replace(found, posts=()) == replace(expected, posts=())


def test_the_papers_protocol_shows_the_targets_words_and_leave_one_out_does_not():
    assert "zebra" in words_of(shown("paper")[2])
    assert "zebra" not in words_of(shown()[2])
    assert all("zebra" in words_of(shown()[row]) for row in (0, 1, 3))
    assert all(POSTS[row].text not in dict(context.posts) for row, context in enumerate(shown("paper")))


def test_history_sees_earlier_posts_alone():
    found = shown("history")
    assert [{text for text, _ in context.posts} for context in found[:4]] == [
        set(), {"red cat cat"}, {"red cat cat", "blue dog"}, {"red cat cat", "blue dog", "a planted zebra"},
    ]  # fmt: skip
    assert found[0] == NOBODY == found[4]
    assert words_of(found[1]) == ["cat", "red"]


def test_history_of_posts_at_one_time_does_not_see_the_others():
    posts = [replace(p, time="2020") for p in POSTS]
    assert shown("history", posts=posts) == [NOBODY] * len(posts)


def test_history_without_times_is_one_sentence():
    with pytest.raises(PolygraftError, match="'ann' needs a time"):
        shown("history", posts=[replace(p, time="") for p in POSTS])


@pytest.mark.parametrize("mode", ["leave-one-out", "history"])
def test_near_duplicates_are_hidden_with_the_post(mode):
    groups = ["g", "", "", "g", "", ""]
    found = shown(mode, groups)
    assert "red cat cat" not in dict(found[3].posts) and "grey" not in words_of(found[0])
    assert "cat" not in words_of(found[3])
    assert {"blue dog", "a planted zebra"} == set(dict(found[3].posts))


def test_few_past_posts_are_left_where_that_is_asked_for():
    found = [shown(vary=seed) for seed in range(8)]
    counts = {len(context.posts) for contexts in found for context in contexts[:4]}
    assert counts == {1, 3} and shown(vary=3) == found[3]
    assert all("zebra" not in words_of(contexts[2]) for contexts in found)


def test_users_without_posts_are_nobody():
    past = pasts(caption_set(POSTS[:4], POOLED[:4]), "e") | {"bob": Profile(user="bob")}
    data = caption_set([*POSTS, post(6, "x", user="")], POOLED[[0, 1, 2, 3, 4, 5, 0]])
    found = ContextBuilder(past=past, table=TABLE, limits=LIMITS).build(data)
    assert found[4:] == [NOBODY] * 3 and found[0].known
    assert Profile().context(POOLED[0].numpy(), TABLE, LIMITS) == NOBODY


def test_posts_are_gathered_by_user_oldest_first():
    posts = [POSTS[3], POSTS[4], POSTS[0], replace(POSTS[5], user="")]
    found = pasts(caption_set(posts, POOLED[[3, 4, 0, 5]]), "e", groups=["a", "b", "c", "d"])
    ann = found["ann"]
    assert set(found) == {"ann", "bob"}
    assert (ann.ids, ann.times, ann.groups) == (("0", "3"), ("2020", "2023"), ("c", "a"))
    assert ann.texts == ("red cat cat", "grey cat")
    assert np.array_equal(ann.pooled, POOLED.numpy()[[0, 3]])


# What is shown for an image


def test_the_captions_of_the_most_similar_images_come_first():
    query = np.array([0.1, 0.7, 0.0, 0.7, -0.5, 0.2], dtype=np.float32)
    found = axes_profile(["zero", "one", "two", "three", "four"]).context(query, TABLE, LIMITS)
    # equally similar: the latest
    assert [text for text, _ in found.posts] == ["three", "one", "zero"]
    assert [similarity for _, similarity in found.posts] == pytest.approx([0.7, 0.7, 0.1])


def test_the_caption_of_the_same_image_is_never_shown():
    query = np.eye(6, dtype=np.float32)[1]
    found = axes_profile(["cat", "zebra", "dog"]).context(query, TABLE, LIMITS)
    assert [text for text, _ in found.posts] == ["dog", "cat"] and "zebra" not in words_of(found)
    assert axes_profile(["sea", "zebra"][1:]).context(np.eye(6, dtype=np.float32)[0], TABLE, LIMITS) == NOBODY


def test_of_texts_without_images_the_latest_are_shown():
    profile = Profile(texts=("one", "two", "three", "four"))
    found = profile.context(POOLED[0].numpy(), TABLE, ContextLimits(posts=2))
    assert found.posts == (("four", 0.0), ("three", 0.0))


def test_style_and_words_are_those_of_what_is_seen():
    profile, query = axes_profile(["CAT!!", "dog #sea", "zebra"]), np.zeros(6, dtype=np.float32)
    hidden = np.array([False, False, True])
    found = profile.context(query, TABLE, ContextLimits(words=2, posts=1), hidden=hidden)
    assert found.style == tuple(Style.of(["CAT!!", "dog #sea"]).as_vector())
    assert len(found.words) == 2 and len(found.posts) == 1 and "zebra" not in words_of(found)
    assert profile.context(query, TABLE, ContextLimits(words=0, posts=0)).words == ()


def test_a_profile_may_be_asked_with_one_table_after_another():
    profile, query = Profile(texts=("cat dog",)), np.zeros(6, dtype=np.float32)
    for words in [("cat",), ("x", "dog"), ("cat", "dog"), ("x", "y", "cat")] * 5:
        table = WordTable(words=words, frequencies=(1,) * len(words), users=1)
        found = {table.words[number] for number, _ in profile.context(query, table, LIMITS).words}
        assert found == {"cat", "dog"} & set(words)
        del table


def merged(texts, borrowed, posts=3, voters=0, **options):
    """Return what is shown of a user whose images are alike by 0.9, 0.8 and so on, beside what others share."""
    query = 0.9 - 0.1 * np.arange(6, dtype=np.float32)
    worth = [PastCaption(text, worth + 0.5, worth) for text, worth in borrowed]
    limits = ContextLimits(posts=posts, voters=voters)
    return axes_profile(texts).context(query, TABLE, limits, borrowed=worth, **options)


def test_what_is_lent_stands_among_the_users_own_by_similarity():
    found = merged(["cat", "dog", "sea"], [("red", 0.95), ("blue", 0.85), ("grey", -2.0)])
    assert found.posts == (("red", 0.95), ("cat", 0.9), ("blue", 0.85))
    assert (
        found.words == merged(["cat", "dog", "sea"], []).words
        and found.style == merged(["cat", "dog", "sea"], []).style
    )
    assert [text for text, _ in merged(["cat"], [("red", 0.5), ("grey", -2.0)], posts=9).posts] == [
        "cat",
        "red",
        "grey",
    ]


def test_the_users_own_comes_first_of_equals():
    assert merged(["cat", "dog"], [("red", 0.9), ("blue", 0.8)]).posts == (("cat", 0.9), ("red", 0.9), ("dog", 0.8))


def test_what_is_shown_of_the_user_is_not_lent_again():
    assert merged(["cat", "dog"], [("dog", 0.95), ("red", 0.1)]).posts == (("cat", 0.9), ("dog", 0.8), ("red", 0.1))
    hidden = np.array([False, True])
    assert merged(["cat", "dog"], [("dog", 0.95)], hidden=hidden).posts == (("dog", 0.95), ("cat", 0.9))


def test_nothing_is_lent_to_nobody_or_beyond_the_limit():
    assert merged([], [("red", 0.9)]) == NOBODY == merged(["cat"], [("red", 0.9)], hidden=np.array([True]))
    assert merged(["cat"], [("red", 0.95)], posts=0).posts == ()
    assert merged(["cat"], [("red", 0.95)], posts=1).posts == (("red", 0.95),)


def test_own_and_then_lent_captions_vote_as_many_of_each():
    borrowed = [("dog", 0.95), ("red", 0.85), ("blue", 0.1)]
    found = merged(["cat", "dog", "sea"], borrowed, posts=1, voters=2)
    assert [one.text for one in found.voters] == ["cat", "dog", "dog", "red"]
    assert [one.similarity for one in found.voters] == pytest.approx([0.9, 0.8, 1.45, 1.35])
    assert [one.worth for one in found.voters] == pytest.approx([0.9, 0.8, 0.95, 0.85])
    assert found.posts == (("dog", 0.95),) and not merged(["cat"], borrowed).voters


# Folders and limits


def test_the_latest_posts_are_kept():
    times = [str(10_000 + (7 * i) % 5_003) for i in range(5_003)]
    kept = latest(times)
    assert len(kept) == MAX_POSTS == 5_000
    assert [times[at] for at in kept] == sorted(times)[3:]
    assert latest([""] * 4, 2) == [2, 3]


def test_a_profile_is_made_of_readable_images_in_the_order_of_time(tmp_path):
    write_posts(tmp_path, 3)
    (tmp_path / "bad.png").write_text("no image")
    names = ["02.png", "bad.png", "00.png"]
    posts = [replace(p, image=tmp_path / name) for p, name in zip([POSTS[1], POSTS[2], POSTS[0]], names, strict=True)]
    told, captioner = [], user_captioner()
    profile = make_profile(posts, FeatureCache(tmp_path / "cache", captioner.encoder), report=told.append)
    assert (profile.user, profile.texts, len(told)) == ("ann", ("red cat cat", "blue dog"), 1)
    rows = captioner.encoder.encode([paint(0), paint(2)]).pooled
    assert profile.pooled == pytest.approx(rows.numpy(), abs=1e-3)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_saved_profile_shows_the_same(tmp_path, pooled):
    rows = POOLED.numpy() if pooled else None
    profile = Profile(user="ann", texts=TEXTS[:6], pooled=rows, encoder="e" if pooled else "")
    profile.save(tmp_path / "deep" / "ann.json")
    loaded = Profile.load(tmp_path / "deep" / "ann.json")
    assert (loaded.user, loaded.texts, loaded.encoder) == (profile.user, profile.texts, profile.encoder)
    for query in (*random_rows(5, seed=9).numpy(), POOLED[2].numpy()):
        found, expected = (one.context(query, TABLE, LIMITS) for one in (loaded, profile))
        assert dict(found.posts) == pytest.approx(dict(expected.posts), abs=2e-3)
        assert replace(found, posts=()) == replace(expected, posts=())


def damaged(file, features=None, **changes):
    axes_profile(["cat", "dog"]).save(file)
    content = json.loads(file.read_text()) | changes
    content["features"] |= features or {}
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "no profile of format 1: make it again"),
        ({"texts": "cat"}, "its texts are no list of texts"),
        ({"texts": ["cat", 1]}, "its texts are no list of texts"),
        ({"texts": ["cat", "dog", "sea"]}, "its features do not fit its texts"),
        ({"features": {"width": 5}}, "its features do not fit its texts"),
        ({"features": {"rows": "!!"}}, "its features do not fit its texts"),
        ({"features": {"rows": "AH4AfgB+AH4AfgB+AH4AfgB+AH4AfgB+"}}, "its features hold NaN or infinity"),
    ],
)
def test_a_damaged_profile_is_one_sentence(tmp_path, changes, told):
    damaged(tmp_path / "p.json", **changes)
    with pytest.raises(PolygraftError, match=f"p.json is .*{told}"):
        Profile.load(tmp_path / "p.json")


@pytest.mark.parametrize(("content", "told"), [(None, "cannot be read"), ("{", "is damaged"), ("[]", "holds list")])
def test_a_file_that_is_no_profile_is_one_sentence(tmp_path, content, told):
    if content is not None:
        (tmp_path / "p.json").write_text(content)
    with pytest.raises(PolygraftError, match=told):
        Profile.load(tmp_path / "p.json")


def test_features_of_other_posts_are_refused():
    with pytest.raises(PolygraftError, match="'ann' has 2 texts"):
        axes_profile(["cat", "dog"], pooled=np.eye(3, dtype=np.float32))


def test_a_profile_of_another_encoder_is_refused_by_a_captioner():
    captioner, rows = user_captioner(), random_rows(2)
    profile = axes_profile(["cat"], pooled=rows.numpy()[:1])
    with pytest.raises(PolygraftError, match="'ann' .*image encoder"):
        captioner.users(profile, rows)
    assert captioner.users(replace(profile, encoder=captioner.encoder.digest), rows).known.tolist() == [False, True]
    assert captioner.users(Profile(texts=("cat",)), rows).known.all()
