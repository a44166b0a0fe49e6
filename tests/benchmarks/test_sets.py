"""The benchmark's sets: who is trained on what, and that nothing held out is."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from backbone.errors import PolygraftError
from backbone.feature_cache import FeatureCache
from starter_build.datasets.clipart import ClipArt, clips, read_keywords
from starter_build.datasets.post_sets import (
    HELD_OUT,
    MIN_POSTS,
    VoicePosts,
    author_posts,
    encode_posts,
    on_sides,
    post_text,
    voice_of,
)
from starter_build.datasets.voices import VOICES, Spoken
from tests.multimodal.tiny_captioner import paint as coloured_blocks
from tests.multimodal.tiny_captioner import tiny_captioner
from tests.starter_build.opendata_trees import LEXICON, clip_svg, clip_trees

HANDS = ("fluent", "twemoji")
SIDES = {
    f"emoji/{hand}/{number:x}": "validation" if number % 10 == 8 else "test" if number % 10 == 9 else "train"
    for number in range(100)
    for hand in HANDS
}


def spoken(number, *, concept="", voices=VOICES):
    code = f"{number:x}"
    images = {hand: Path(f"{hand}-{code}.png") for hand in HANDS}
    texts = {voice.name: f"{voice.name} says {code}" for voice in voices}
    return Spoken(code=code, concept=concept or f"thing {code}", images=images, texts=texts)


@pytest.fixture
def voices():
    unlisted = spoken(200)
    return on_sides([spoken(number, voices=VOICES[number % 4 == 0 :]) for number in range(100)] + [unlisted], SIDES)


def code(post):
    return post.id.split("/")[-2]


def test_no_emoji_stands_on_two_sides_and_the_unlisted_on_none(voices):
    posts = voices.posts()
    by_code = {(code(post), SIDES[f"emoji/fluent/{code(post)}"]) for post in posts}
    sides = {"train": "train", "validation": "validation", "test1": "test", "test2": "test"}
    assert len(by_code) == len({code for code, _ in by_code}) == 100
    assert all(sides[post.split] == SIDES[f"emoji/fluent/{code(post)}"] for post in posts)


def test_a_concept_on_two_sides_is_refused():
    with pytest.raises(PolygraftError, match="'dog' stand on two sides"):
        on_sides([spoken(7, concept="dog"), spoken(8, concept="dog")], SIDES)


def test_the_two_hands_of_an_emoji_on_two_sides_are_refused():
    with pytest.raises(PolygraftError, match="two sides"):
        on_sides([spoken(7)], SIDES | {"emoji/fluent/7": "test"})


def test_voices_held_out_are_in_the_first_test_alone(voices):
    by_split = {
        split: {voice_of(post.user) for post in voices.posts() if post.split == split}
        for split in ("train", "validation", "test1", "test2")
    }
    seen = {voice.name for voice in VOICES} - set(HELD_OUT)
    assert by_split == {"train": seen, "validation": seen, "test2": seen, "test1": set(HELD_OUT)}
    assert {voice.family for voice in VOICES if voice.name in HELD_OUT} == {"name", "tags", "shortcode"}


def test_pasts_are_of_all_sizes_and_every_post_has_its_own_id(voices):
    posts = voices.posts()
    past = Counter(post.user for post in posts if post.split == "train")
    assert set(past.values()) == {10, 30, 80, 60}  # of 80 training emoji the first voice names 60
    assert len({post.id for post in posts}) == len(posts)


def test_new_images_are_the_same_for_every_voice_and_are_dealt_to_its_users(voices):
    tests = [post for post in voices.posts() if post.split.startswith("test")]
    by_voice = {}
    for post in tests:
        by_voice.setdefault(voice_of(post.user), set()).add(post.image)
    assert len(set(map(frozenset, by_voice.values()))) == 1
    assert {image.name.partition("-")[0] for image in by_voice["slack"]} == set(HANDS)
    assert len({post.user for post in tests}) > 3 * len(by_voice)


def test_the_sets_are_a_function_of_the_seed(voices):
    assert voices.posts(seed=1) == voices.posts(seed=1)
    assert voices.posts(seed=1) != voices.posts(seed=2)
    assert {post.id for post in voices.posts() if post.split == "test2"}.isdisjoint(
        post.id for post in voices.posts() if post.split == "train"
    )


def test_a_history_grows_at_its_end_and_shows_training_images(voices):
    short, long = (voices.history("zulip", size, seed=3) for size in (10, None))
    assert (len(short), len(long)) == (10, 80)
    assert long[:10] == short != voices.history("zulip", 10, seed=4)
    assert {SIDES[f"emoji/fluent/{code(post)}"] for post in long} == {"train"}
    assert {(post.user, post.split) for post in long} == {("zulip", "")}


def test_users_of_a_voice_share_a_past_under_their_own_names_and_lend_by_these(tmp_path):
    known = [spoken(number) for number in range(12)]
    found = [replace(one, images={hand: tmp_path / image for hand, image in one.images.items()}) for one in known]
    for number, one in enumerate(found):
        for at, image in enumerate(one.images.values()):
            coloured_blocks(2 * number + at).save(image)
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    dealt = on_sides(found, SIDES)
    posts = dealt.posts(seed=0)
    encoded = encode_posts("voices", posts, dealt.concepts_of(posts), cache)
    bench = VoicePosts(**vars(encoded), voices=dealt, cache=cache)
    told = bench.pasts(["github/0", "github/1", "slack/0"], 5, seed=0)
    assert {user: past.user for user, past in told.items()} == {user: user for user in told}
    assert told["github/0"].texts == told["github/1"].texts != told["slack/0"].texts
    community, query = bench.community, bench.splits["test2"].pooled.numpy()[0]
    assert {voice_of(user) for user in community.users}.isdisjoint(HELD_OUT)
    for user in ("github/0", "github/1"):
        neighbours = community.neighbours(told[user])
        trust = dict(zip(community.users, neighbours.trust(), strict=True))
        assert trust[user] == 0 and max(trust, key=trust.get).startswith("github/")
        borrowed = neighbours.borrowed(neighbours.similarity(query[None])[0], neighbours.trust(), 4)
        assert all(one.text.startswith("github says") for one in borrowed)


def clip(author, number, keywords=()):
    return ClipArt(
        id=f"{author}/{number}", image=Path("x.png"), title=f"hat {number}", author=author, keywords=keywords
    )


def test_authors_need_enough_posts_and_those_held_out_are_unseen_users():
    found = [clip(author, number) for author in ("Ann", "Bo") for number in range(MIN_POSTS)] + [clip("Cy", 1)]
    sides = {f"clipart/{c.id}": "test" if c.author == "Bo" or c.id.endswith("1") else "train" for c in found}
    posts = author_posts(found, sides)
    assert Counter((post.user, post.split) for post in posts) == {
        ("Ann", "train"): MIN_POSTS - 1,
        ("Ann", "test2"): 1,
        ("Bo", "test1"): MIN_POSTS,
    }
    assert author_posts(found, {}) == []


def test_keywords_become_hashtags_but_for_machine_made_ones_and_the_authors_name():
    keywords = ("hash(0x8a3)", "HASH", "11", "unsorted", "Ann Lee", "Wide Angle", "animal", "hashish")
    assert post_text(clip("Ann Lee", 1, keywords)) == "hat 1 #wideangle #animal #hashish"
    assert post_text(clip("Ann Lee", 1)) == "hat 1"


def test_clips_carry_the_keywords_of_their_upload(tmp_path):
    svg, png = clip_trees(tmp_path, {"toys/hat": ("Hat", "Ann")})
    subject = "<dc:subject><rdf:Bag><rdf:li>straw</rdf:li><rdf:li/><rdf:li>A &amp; B</rdf:li></rdf:Bag></dc:subject>"
    text = clip_svg("Hat", "Ann").replace("<dc:publisher>", f"{subject}<dc:publisher>")
    (svg / "usr/share/openclipart/svg/toys/hat.svg").write_text(text)
    [found] = clips(svg, png, LEXICON)
    assert found.keywords == read_keywords(text) == ("straw", "A & B")
    assert read_keywords("<svg/>") == ()
