"""Users with the voices of communities: each is a voice and some past posts, all in the true words of that community.

Images keep the side of the starter's split, which deals by concept. A voice that is not held out has users with long
and short pasts; their past posts are `train`, their other posts are of `validation` and test images (`test2`: users
seen in training, images not seen). The users of a voice that is held out write about test images alone (`test1`);
their past, which nobody trains on, comes from `VoiceSet.history`.

Everything is a function of the packages and the seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backbone.errors import PolygraftError
from multimodal.data.posts import Post
from starter_build.datasets.documents import hash_share
from starter_build.datasets.splits import SIDES, Side, load_splits
from starter_build.datasets.voices import VOICES, Spoken, spoken

HELD_OUT = ("charts", "openmoji", "zulip")
"""Of each family the voice that shares fewest words with its nearest, as `starter_build.datasets.voices` prints:
40 %, 19 % and 65 %, where twins among the training voices share up to 99 %."""
SIZES = (10, 30, 100, 300, None)
"""Past posts of a user, assigned in turn; None: every training image that the voice names."""
USERS_PER_VOICE = 6


@dataclass(frozen=True, kw_only=True)
class VoiceSet:
    """The emoji of each side with their texts; `posts` and `history` draw users from it."""

    emoji: Mapping[Side, Sequence[Spoken]]

    def posts(self, *, users_per_voice: int = USERS_PER_VOICE, seed: int = 0) -> list[Post]:
        """The posts of all users, by voice; `Post.split` is `train`, `validation`, `test2` or `test1`.

        A user is called voice/number. A past post shows an image of one hand, drawn for each user. The other posts of
        a voice show each validation or test image once, in the same hand for every voice, and are assigned to its
        users.

        Args:
            users_per_voice: at least 1; multiples of five give every voice all sizes of the past equally often.
            seed: another seed, other pasts and another deal.
        """
        if users_per_voice < 1:
            raise PolygraftError(f"users_per_voice is {users_per_voice}: a voice needs at least one user.")
        seen = [voice.name for voice in VOICES if voice.name not in HELD_OUT]
        users = [f"{voice}/{number}" for voice in seen for number in range(users_per_voice)]
        posts = [
            post
            for position, user in enumerate(users)
            for post in self._past(user, SIZES[position % len(SIZES)], seed, split="train")
        ]
        for voice in seen:
            posts += self._new(voice, "validation", users_per_voice, seed, split="validation")
            posts += self._new(voice, "test", users_per_voice, seed, split="test2")
        for voice in HELD_OUT:
            posts += self._new(voice, "test", users_per_voice, seed, split="test1")
        return posts

    def history(self, voice: str, size: int | None, *, seed: int = 0) -> list[Post]:
        """Past posts of somebody with this voice, held out or not: `size` training images, None for all.

        With one seed a shorter history is the beginning of a longer one. The posts belong to no split.
        """
        if voice not in {known.name for known in VOICES}:
            raise PolygraftError(f"There is no voice {voice!r}; the voices are {', '.join(v.name for v in VOICES)}.")
        return self._past(voice, size, seed, split="")

    @cached_property
    def concepts(self) -> Mapping[str, str]:
        """What each emoji is about, by its code."""
        return {emoji.code: emoji.concept for side in self.emoji.values() for emoji in side}

    def said(self, post: Post) -> Mapping[str, str]:
        """What every voice writes about the image of a post: the right answer when the user is exchanged."""
        code = post.id.split("/")[-2]
        return next(known.texts for side in self.emoji.values() for known in side if known.code == code)

    def _past(self, user: str, size: int | None, seed: int, *, split: str) -> list[Post]:
        voice = voice_of(user)
        known = [emoji for emoji in self.emoji["train"] if voice in emoji.texts]
        known.sort(key=lambda emoji: (hash_share("past", str(seed), user, emoji.code), emoji.code))
        return [_post(emoji, user, _hand(emoji, str(seed), user), split) for emoji in known[:size]]

    def _new(self, voice: str, side: Side, users: int, seed: int, *, split: str) -> list[Post]:
        posts = []
        for emoji in self.emoji[side]:
            if voice in emoji.texts:
                user = f"{voice}/{int(users * hash_share('user', str(seed), voice, emoji.code))}"
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
