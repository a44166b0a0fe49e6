"""The sets of the captioning benchmark, encoded: posts by split, pasts of users, near duplicates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from multimodal.data.posts import Post
from multimodal.profile.tfidf import WordTable

if TYPE_CHECKING:
    from backbone.feature_cache import FeatureCache
    from multimodal.batches import CaptionSet
    from multimodal.profile.profile import Profile
    from multimodal.users.neighbors import Community
    from starter_build.datasets.voice_posts import VoiceSet

SPLITS = ("train", "validation", "test2", "test1")


@dataclass(frozen=True, kw_only=True)
class PersonalSet:
    """Posts of users, encoded by the frozen image encoder."""

    name: str
    splits: dict[str, "CaptionSet"]
    concepts: dict[str, str]
    """What each post is about, by id: posts of one concept are near duplicates of one another."""
    encoder: str
    """Digest of the image encoder."""

    def groups(self, split: str) -> list[str]:
        """Return the concept of each post."""
        return [self.concepts[post.id] for post in self.splits[split].posts]

    @cached_property
    def past(self) -> dict[str, "Profile"]:
        """The training posts of each user."""
        from multimodal.users.contexts import pasts

        return pasts(self.splits["train"], self.encoder, groups=self.groups("train"))

    @cached_property
    def community(self) -> "Community":
        """The training users, who share their past captions."""
        from multimodal.users.neighbors import Community

        return Community.of(self.past)

    @cached_property
    def table(self) -> WordTable:
        """The words of the training users."""
        from multimodal.users.contexts import learned_words

        return learned_words(self.splits["train"])


class Benchmark(Protocol):
    """Posts, and the pasts that users are tested with."""

    @property
    def data(self) -> PersonalSet:
        """The posts."""

    def pasts(self, users: Sequence[str], size: int | None, *, seed: int) -> "dict[str, Profile]":
        """Return ``size`` past posts of each user (fewer where there are fewer), None: all."""


@dataclass(frozen=True, kw_only=True)
class Voices:
    """The set of voices, and pasts of any length for each voice."""

    data: PersonalSet
    voices: "VoiceSet"
    cache: "FeatureCache"

    def pasts(self, users: Sequence[str], size: int | None, *, seed: int) -> "dict[str, Profile]":
        """See `Benchmark`; users of one voice share a past of training images."""
        from multimodal.batches import gather
        from multimodal.users.contexts import pasts
        from starter_build.datasets.voice_posts import voice_of

        wanted = sorted({*map(voice_of, users)})
        posts = [post for voice in wanted for post in self.voices.history(voice, size, seed=seed)]
        gathered = gather(posts, self.cache, report=lambda _: None)
        groups = [_concept(self.voices, post) for post in gathered.posts]
        found = pasts(gathered, self.data.encoder, groups=groups)
        # named after the user, to whom others share and who shares nothing to themself
        return {user: replace(found[voice_of(user)], user=user) for user in users}


@dataclass(frozen=True, kw_only=True)
class Authors:
    """The set of authors; an unseen one is known by their other test posts."""

    data: PersonalSet

    def pasts(self, users: Sequence[str], size: int | None, *, seed: int) -> "dict[str, Profile]":
        """See `Benchmark`."""
        from multimodal.users.contexts import pasts

        found = dict(self.data.past)
        if "test1" in self.data.splits:
            found |= pasts(self.data.splits["test1"], self.data.encoder)
        return {user: _fewer(found[user], size, seed) for user in users if user in found}


def _fewer(past: "Profile", size: int | None, seed: int) -> "Profile":
    """Return a draw of the past posts of a user."""
    import numpy as np

    if size is None or size >= len(past):
        return past
    return past.take(sorted(np.random.default_rng(seed).permutation(len(past))[:size].tolist()))


def load_voices(data: Path, cache: "FeatureCache", *, seed: int = 0) -> Voices:
    """Read and encode the voices."""
    from starter_build.datasets.voice_posts import read_voices

    voices = read_voices(data)
    posts = voices.posts(seed=seed)
    concepts = {post.id: _concept(voices, post) for post in posts}
    return Voices(data=_encoded("voices", posts, concepts, cache), voices=voices, cache=cache)


def load_authors(data: Path, cache: "FeatureCache") -> Authors:
    """Read and encode the authors of clip art; nothing is a near duplicate but what the split keeps apart."""
    from starter_build.datasets.authors import read_authors

    posts = read_authors(data)
    return Authors(data=_encoded("authors", posts, {post.id: "" for post in posts}, cache))


def _encoded(name: str, posts: Sequence[Post], concepts: dict[str, str], cache: "FeatureCache") -> PersonalSet:
    from multimodal.batches import gather

    splits = {}
    for split in SPLITS:
        if own := [post for post in posts if post.split == split]:
            splits[split] = gather(own, cache, report=lambda _: None)
    return PersonalSet(name=name, splits=splits, concepts=concepts, encoder=cache.encoder.digest)


def _concept(voices: "VoiceSet", post: Post) -> str:
    code = post.id.split("/")[-2]
    return voices.concepts[code]


def scored_form(text: str) -> str:
    """Return a text with spaces in place of what ties the words of a shortcode: the tokeniser would see one word."""
    return re.sub(r"[_:-]+", " ", text).strip()
