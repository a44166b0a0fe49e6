"""Captions that are copied, not written: the most likely one, and those of the nearest known pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from multimodal.contexts import UserPosts
    from scripts.benchmark.sets import Benchmark, PersonalSet


def baseline_captions(bench: "Benchmark", split: str, pasts: "dict[str, UserPosts]") -> dict[str, list[str]]:
    """Return the captions of each baseline for the posts of a split.

    Args:
        bench: the posts.
        split: whose posts are captioned.
        pasts: of the users who are tested.
    """
    from multimodal.baselines import best_single_caption

    data, train = bench.data.splits[split], bench.data.splits["train"]
    queries = data.pooled.numpy()
    single = best_single_caption(train, bench.data.splits["validation"])
    known = train.pooled.numpy()
    pictures = queries @ known.T
    users = _user_likeness(bench.data, [post.user for post in data.posts], pasts)
    return {
        f"most likely caption ({single!r})": [single] * len(data.posts),
        "nearest picture, all": [train.texts[at] for at in pictures.argmax(axis=1)],
        "nearest picture, own past": nearest_own([post.user for post in data.posts], queries, pasts),
        "nearest picture and user, all": [train.texts[at] for at in (pictures + users).argmax(axis=1)],
    }


def nearest_own(users: Sequence[str], queries: np.ndarray, pasts: "dict[str, UserPosts]") -> list[str]:
    """Return for each post the caption of the user's own past picture that is nearest."""
    found = []
    for user, query in zip(users, queries, strict=True):
        past = pasts.get(user)
        if past is None or past.profile.pooled is None or not len(past.profile):
            found.append("")
            continue
        found.append(past.profile.texts[int((past.profile.pooled @ query).argmax())])
    return found


def _user_likeness(data: "PersonalSet", users: Sequence[str], pasts: "dict[str, UserPosts]") -> np.ndarray:
    """Return the cosine of the words of each post's user with those of the author of each training post."""
    told = {**data.past, **pasts}
    place = {user: at for at, user in enumerate(told)}
    vectors = np.stack([_word_vector(data, past.profile.texts) for past in told.values()])
    authors = [place[post.user] for post in data.splits["train"].posts]
    likeness: np.ndarray = (vectors @ vectors.T)[np.ix_([place[user] for user in users], authors)]
    return likeness


def _word_vector(data: "PersonalSet", texts: Sequence[str]) -> np.ndarray:
    vector = np.zeros(len(data.table), dtype=np.float32)
    for text in texts:
        np.add.at(vector, data.table.numbers(text), 1.0)
    vector *= data.table.idf.astype(np.float32)
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
