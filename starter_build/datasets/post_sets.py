"""The sets of the captioning benchmark: users with the voices of communities, and authors of clip art, encoded.

Images keep the side of the starter's split, which deals by concept. A voice that is not held out has users with long
and short pasts; their past posts are `train`, their other posts are of `validation` and test images (`test2`: users
seen in training, images not seen). The users of a voice that is held out write about test images alone (`test1`);
their past, which nobody trains on, comes from `VoiceSet.history`. The authors whom the split holds out whole are
users that training does not see (`test1`), too; of the others, drawings of test concepts are `test2`.

Everything is a function of the packages and the seed.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from backbone.errors import PolygraftError
from multimodal.data.posts import Post
from multimodal.profile.text_features import WordTable
from starter_build.datasets.clipart import ClipArt, clips
from starter_build.datasets.documents import hash_share
from starter_build.datasets.images import CLIPART_PNG, CLIPART_SVG, WORDNET
from starter_build.datasets.lexicon import read_wordnet, word_set
from starter_build.datasets.packages import fetch
from starter_build.datasets.splits import SIDES, Side, load_splits
from starter_build.datasets.voices import VOICES, Spoken, hashtags, spoken

if TYPE_CHECKING:
    from backbone.feature_cache import FeatureCache
    from multimodal.batches import CaptionSet
    from multimodal.profile.profile import Profile
    from multimodal.users.neighbors import Community

HELD_OUT = ("charts", "openmoji", "zulip")
"""Of each family the voice that shares fewest words with its nearest: 40 %, 19 % and 65 % of the words of both, over
the emoji that both name, where twins among the training voices share up to 99 %."""
SIZES = (10, 30, 100, 300, None)
"""Past posts of a user, assigned in turn; None: every training image that the voice names."""
USERS_PER_VOICE = 6


@dataclass(frozen=True, kw_only=True)
class VoiceSet:
    """The emoji of each side with their texts; `posts` and `history` draw users from it."""

    emoji: Mapping[Side, Sequence[Spoken]]

    def posts(self, *, seed: int = 0) -> list[Post]:
        """The posts of all users, by voice; `Post.split` is `train`, `validation`, `test2` or `test1`.

        A user is called voice/number. A past post shows an image of one hand, drawn for each user. The other posts of
        a voice show each validation or test image once, in the same hand for every voice, and are assigned to its
        users.
        """
        seen = [voice.name for voice in VOICES if voice.name not in HELD_OUT]
        users = [f"{voice}/{number}" for voice in seen for number in range(USERS_PER_VOICE)]
        posts = [
            post
            for position, user in enumerate(users)
            for post in self._past(user, SIZES[position % len(SIZES)], seed, split="train")
        ]
        for voice in seen:
            posts += self._new(voice, "validation", seed, split="validation")
            posts += self._new(voice, "test", seed, split="test2")
        for voice in HELD_OUT:
            posts += self._new(voice, "test", seed, split="test1")
        return posts

    def history(self, voice: str, size: int | None, *, seed: int = 0) -> list[Post]:
        """Past posts of somebody with this voice, held out or not: `size` training images, None for all.

        With one seed a shorter history is the beginning of a longer one. The posts belong to no split.
        """
        return self._past(voice, size, seed, split="")

    @cached_property
    def concepts(self) -> Mapping[str, str]:
        """What each emoji is about, by its code."""
        return {emoji.code: emoji.concept for side in self.emoji.values() for emoji in side}

    def concepts_of(self, posts: Iterable[Post]) -> dict[str, str]:
        """Return what each post is about, by its id."""
        return {post.id: self.concepts[post.id.split("/")[-2]] for post in posts}

    def _past(self, user: str, size: int | None, seed: int, *, split: str) -> list[Post]:
        voice = voice_of(user)
        known = [emoji for emoji in self.emoji["train"] if voice in emoji.texts]
        known.sort(key=lambda emoji: (hash_share("past", str(seed), user, emoji.code), emoji.code))
        return [_post(emoji, user, _hand(emoji, str(seed), user), split) for emoji in known[:size]]

    def _new(self, voice: str, side: Side, seed: int, *, split: str) -> list[Post]:
        posts = []
        for emoji in self.emoji[side]:
            if voice in emoji.texts:
                user = f"{voice}/{int(USERS_PER_VOICE * hash_share('user', str(seed), voice, emoji.code))}"
                posts.append(_post(emoji, user, _hand(emoji, str(seed)), split))
        return posts


def read_voices(data: Path) -> VoiceSet:
    """The emoji on the sides that the starter's split gives them; packages missing under `data` are fetched."""
    return on_sides(spoken(data), load_splits())


def on_sides(found: Sequence[Spoken], sides: Mapping[str, Side]) -> VoiceSet:
    """Deal emoji out by `sides`, which goes by `ImageRecord.id`; emoji that are not there are left out.

    Raises PolygraftError if images of one concept stand on two sides.
    """
    assigned: dict[Side, list[Spoken]] = {side: [] for side in SIDES.values()}
    by_concept: dict[str, Side] = {}
    for emoji in found:
        for side in {sides[id_] for hand in emoji.images if (id_ := f"emoji/{hand}/{emoji.code}") in sides}:
            if by_concept.setdefault(emoji.concept, side) != side:
                raise PolygraftError(f"Images of {emoji.concept!r} stand on two sides of the split; make it again.")
            assigned[side].append(emoji)
    return VoiceSet(emoji=assigned)


def voice_of(user: str) -> str:
    """The voice of a user, who is called voice/number or voice."""
    return user.partition("/")[0]


def _hand(emoji: Spoken, *drawn_by: str) -> str:
    hands = sorted(emoji.images)
    return hands[int(len(hands) * hash_share("hand", *drawn_by, emoji.code))]


def _post(emoji: Spoken, user: str, hand: str, split: str) -> Post:
    text, id_ = emoji.texts[voice_of(user)], f"{user}/{emoji.code}/{hand}"
    return Post(image=emoji.images[hand], text=text, user=user, id=id_, split=split)


MIN_POSTS = 10  # of an author who counts as a user
_SPLITS = {"train": "train", "validation": "validation", "test": "test2"}
# What the library's own programs wrote among the keywords: references of Perl, names of folders.
_MACHINE_MADE = re.compile(r"hash(\(.*)?|\d+|www\..*")
_FOLDERS = word_set("unsorted signs_and_symbols computer/icons")


def read_authors(data: Path) -> list[Post]:
    """The posts of all authors with enough of them; packages missing under `data` are fetched."""
    lexicon = read_wordnet(fetch(WORDNET, data))
    return author_posts(clips(fetch(CLIPART_SVG, data), fetch(CLIPART_PNG, data), lexicon), load_splits())


def author_posts(found: Iterable[ClipArt], sides: Mapping[str, Side]) -> list[Post]:
    """The clips that `sides` lists (by `ImageRecord.id`) as posts, by authors with `MIN_POSTS` of them or more."""
    listed = [(clip, sides[id_]) for clip in found if (id_ := f"clipart/{clip.id}") in sides]
    counts = Counter(clip.author for clip, _ in listed)
    seen = {clip.author for clip, side in listed if side != "test"}
    return [
        Post(
            image=clip.image,
            text=post_text(clip),
            user=clip.author,
            id=f"clipart/{clip.id}",
            split=_SPLITS[side] if clip.author in seen else "test1",
        )
        for clip, side in listed
        if counts[clip.author] >= MIN_POSTS
    ]


def post_text(clip: ClipArt) -> str:
    """The title, then the keywords as hashtags, at most five; keywords that name the author are left out."""
    author = set(re.findall(r"[a-z]+", clip.author.lower()))
    keywords = [word for word in map(str.lower, clip.keywords) if not _MACHINE_MADE.fullmatch(word)]
    own = [word for word in keywords if word not in _FOLDERS and author.isdisjoint(re.findall(r"[a-z]+", word))]
    return f"{clip.title} {hashtags(own)}".strip()


SPLITS = ("train", "validation", "test2", "test1")


@dataclass(frozen=True, kw_only=True)
class PersonalSet:
    """Posts of users, encoded by the frozen image encoder, and the pasts that users are tested with."""

    name: str
    splits: dict[str, "CaptionSet"]
    concepts: dict[str, str]  # what each post is about, by id: posts of one concept are near duplicates of one another
    encoder: str  # digest of the image encoder

    @cached_property
    def digest(self) -> str:
        """Names the posts of all splits, their images and the encoder."""
        parts = [
            (name, data.features.digest, data.rows, [(post.id, post.user, post.text) for post in data.posts])
            for name, data in self.splits.items()
        ]
        return hashlib.sha256(repr((parts, self.concepts)).encode()).hexdigest()

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

    def pasts(self, users: Sequence[str], size: int | None, *, seed: int) -> "dict[str, Profile]":
        """Return past posts of each user; an unseen one is known by their other test posts.

        Args:
            users: The users.
            size: The posts of each, fewer where there are fewer; None: all.
            seed: The seed of the draw.
        """
        import numpy as np

        from multimodal.users.contexts import pasts

        found = dict(self.past)
        if "test1" in self.splits:
            found |= pasts(self.splits["test1"], self.encoder)
        chosen = {user: found[user] for user in users if user in found}
        for user, past in chosen.items():
            if size is not None and size < len(past):
                chosen[user] = past.take(sorted(np.random.default_rng(seed).permutation(len(past))[:size].tolist()))
        return chosen


@dataclass(frozen=True, kw_only=True)
class VoicePosts(PersonalSet):
    """Posts of users with the voices of communities, and pasts of any length for each voice."""

    voices: VoiceSet
    cache: "FeatureCache"

    def pasts(self, users: Sequence[str], size: int | None, *, seed: int) -> "dict[str, Profile]":
        """See `PersonalSet.pasts`; users of one voice share a past of training images."""
        from multimodal.batches import gather
        from multimodal.users.contexts import pasts

        wanted = sorted({*map(voice_of, users)})
        posts = [post for voice in wanted for post in self.voices.history(voice, size, seed=seed)]
        gathered = gather(posts, self.cache, report=lambda _: None)
        found = pasts(gathered, self.encoder, groups=list(self.voices.concepts_of(gathered.posts).values()))
        # named after the user, to whom others share and who shares nothing to themself
        return {user: replace(found[voice_of(user)], user=user) for user in users}


def load_set(name: str, data: Path, cache: "FeatureCache", *, seed: int = 0) -> PersonalSet:
    """Read and encode ``voices`` or ``authors``; packages missing under `data` are fetched."""
    if name == "voices":
        voices = read_voices(data)
        posts = voices.posts(seed=seed)
        encoded = encode_posts(name, posts, voices.concepts_of(posts), cache)
        return VoicePosts(**vars(encoded), voices=voices, cache=cache)
    posts = read_authors(data)
    # nothing is a near duplicate but what the split keeps apart
    return encode_posts(name, posts, {post.id: "" for post in posts}, cache)


def encode_posts(name: str, posts: Sequence[Post], concepts: dict[str, str], cache: "FeatureCache") -> PersonalSet:
    """Return posts by split, encoded.

    Args:
        name: The name of the set.
        posts: The posts of all splits.
        concepts: What each post is about, by id.
        cache: The cache of image features.
    """
    from multimodal.batches import gather

    splits = {}
    for split in SPLITS:
        if own := [post for post in posts if post.split == split]:
            splits[split] = gather(own, cache, report=lambda _: None)
    return PersonalSet(name=name, splits=splits, concepts=concepts, encoder=cache.encoder.digest)


def scored_form(text: str) -> str:
    """Return a text with spaces in place of what ties the words of a shortcode: the tokenizer would see one word."""
    return re.sub(r"[_:-]+", " ", text).strip()
