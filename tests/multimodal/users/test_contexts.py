"""What posts are shown of the past captions of others, and that none tells of itself."""

from dataclasses import replace

import pytest

from multimodal.profile.profile import NOBODY, ContextLimits, Profile
from multimodal.profile.text_features import NO_WORDS
from multimodal.users.contexts import ContextBuilder, pasts
from multimodal.users.neighbors import Community
from tests.multimodal.profile.test_profile import caption_set, post
from tests.multimodal.tiny_users import random_rows
from tests.multimodal.users.test_neighbors import THINGS, WAYS, borrowed

POSTS = [post(at, WAYS["loud"](THINGS[at // 2]), user=("ann", "bob")[at % 2]) for at in range(12)]
POSTS += [post(at, WAYS["tags"](THINGS[at - 12]), user="eve") for at in range(12, 18)]
POOLED = random_rows(len(POSTS), width=16, seed=4)
LIMITS = ContextLimits(words=0, posts=8)
"""More than the five other posts that each author has."""


def shown(posts=POSTS, limits=LIMITS, **options):
    data = caption_set(posts, POOLED)
    past = pasts(data, "e")
    return build(data, past, limits, community=Community.of(past), **options)


def build(data, past, limits=LIMITS, groups=None, **options):
    return ContextBuilder(past=past, table=NO_WORDS, limits=limits, **options).build(data, groups=groups)


def test_a_posts_author_is_lent_what_others_wrote_and_the_post_tells_nothing():
    own = {user: {p.text for p in POSTS if p.user == user} for user in ("ann", "bob", "eve")}
    found = shown()
    assert {context.known for context in found} == {True} and {len(context.posts) for context in found} == {8}
    assert all(set(dict(context.posts)) - own[p.user] for p, context in zip(POSTS, found, strict=True))
    for row in (0, 5, 14):
        changed = [replace(p, text="anything else") if at == row else p for at, p in enumerate(POSTS)]
        assert shown(changed)[row] == found[row]


def test_another_text_of_the_same_image_tells_nothing_either():
    rows = POOLED.clone()
    rows[2] = rows[0]  # both are ann's
    found = []
    for text in (POSTS[2].text, WAYS["tags"](THINGS[0]), "anything else"):
        data = caption_set([replace(p, text=text) if at == 2 else p for at, p in enumerate(POSTS)], rows)
        past = pasts(data, "e")
        found.append(build(data, past, community=Community.of(past))[0].posts)
    assert found[0] == found[1] == found[2]


def test_what_is_shown_is_what_a_profile_without_the_post_is_lent():
    past = pasts(caption_set(POSTS, POOLED), "e")
    community = Community.of(past)
    for row, context in enumerate(shown()):
        whole = past[POSTS[row].user]
        kept = [at for at, id_ in enumerate(whole.ids) if id_ != POSTS[row].id]
        rest = Profile(
            user=whole.user, texts=tuple(whole.texts[at] for at in kept), pooled=whole.pooled[kept], encoder="e",
        )  # fmt: skip
        query = POOLED[row].numpy()
        expected = rest.context(query, NO_WORDS, LIMITS, borrowed=borrowed(community, rest, query, LIMITS.posts))
        assert [text for text, _ in context.posts] == [text for text, _ in expected.posts]
        assert dict(context.posts) == pytest.approx(dict(expected.posts), abs=2e-4)


def test_history_lends_what_others_wrote_before():
    posts = [replace(p, time=str(2000 + at)) for at, p in enumerate(POSTS)]
    everything = ContextLimits(words=0, posts=40)
    assert any(p.text in dict(shown(posts, everything)[0].posts) for p in posts[1:])
    found = shown(posts, everything, mode="history")
    assert [context.known for context in found] == [
        bool({p.user for p in posts[:at]} & {posts[at].user}) for at in range(18)
    ]
    for at, context in enumerate(found):
        assert dict(context.posts).keys() <= {p.text for p in posts[:at]}
    assert set(dict(found[15].posts)) - {p.text for p in posts if p.user == posts[15].user}


def test_posts_of_one_group_are_lent_to_none_of_its_authors():
    groups = [f"image {at // 2}" for at in range(12)] + [""] * 6
    data = caption_set(POSTS, POOLED)
    past = {
        user: replace(one, groups=tuple(groups[int(id_)] for id_ in one.ids)) for user, one in pasts(data, "e").items()
    }
    everything = ContextLimits(words=0, posts=20)
    assert all(POSTS[row].text in dict(context.posts) for row, context in enumerate(shown(limits=everything)[:12]))
    found = build(data, past, everything, groups=groups, community=Community.of(past))
    assert all(POSTS[row].text not in dict(context.posts) for row, context in enumerate(found[:12]))


def test_who_is_nobody_or_is_shown_no_past_captions_is_lent_none():
    posts = [*POSTS[:-1], replace(POSTS[-1], user="")]
    assert shown(posts)[-1] == NOBODY
    assert {context.posts for context in shown(limits=ContextLimits(words=0, posts=0))} == {()}


def test_a_community_of_none_lends_what_no_community_does():
    data = caption_set(POSTS, POOLED)
    past = pasts(data, "e")
    alone, lone = (build(data, past, community=one) for one in (None, Community.of({})))
    assert alone == lone != shown()


def test_who_has_no_visible_past_is_lent_nothing():
    posts = [replace(p, user=f"{p.user}{at}") for at, p in enumerate(POSTS)]
    assert shown(posts) == [NOBODY] * len(posts)
