"""The past posts of one user as the disk holds them: posts, texts alone, or a profile made before."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.feature_cache import FeatureCache
from backbone.io.files import read_data, read_objects
from multimodal.batches import gather
from multimodal.data.datasets import INSTAPIC, REDCAPS, YFCC
from multimodal.data.posts import MAX_TEXT, Post, Report, clean, load_posts, some
from multimodal.profile.profile import Profile, latest
from multimodal.users.contexts import pasts
from multimodal.users.neighbors import Community

_PROFILE = re.compile(rb'\s*\{\s*"format"\s*:')
_SHAPE = 'each line is an object like {"image": "a.jpg", "text": "..."}, or without image on every line'
_KEYS = ("text", "user", "time")
_NAMED = 5  # users that are named of many
_NOWHERE = Path()  # the image of a post that has none


def read_past(source: Path, user: str = "", *, report: Report) -> Profile | list[Post]:
    """Read the past posts of one user; no image is encoded yet.

    Args:
        source: A folder of images with texts beside them, a JSONL file of posts or of texts alone, another source
            that `load_posts` reads, or a profile that `Profile.save` wrote.
        user: The user's name, where the posts are by several; posts by one user or by nobody need no name.
        report: See `load_posts`.

    Returns:
        The profile, where one was saved or where there are no images to encode; else the posts, for `cached_profile`.

    Raises:
        PolygraftError: it is missing or damaged, holds no post, or does not say which of several users is meant.
    """
    if not source.exists():
        raise PolygraftError(f"{source} is missing: a user's past is a folder, a JSONL file, or a saved profile")
    lines = source.suffix == ".jsonl"
    plain = source.is_file() and (lines or not any(layout.find(source) for layout in (INSTAPIC, YFCC, REDCAPS)))
    # a damaged profile is known by its name: nothing else that is read is .json
    if plain and (source.suffix.lower() == ".json" or _begins_like_profile(source)):
        return Profile.load(source)
    posts = _of_user((_read_texts(source) if plain else []) or load_posts(source, report=report), user, source)
    if any(post.image != _NOWHERE for post in posts):
        return posts
    kept = latest([post.time for post in posts])
    return Profile(user=posts[0].user, texts=tuple(posts[at].text for at in kept))


def cached_profile(posts: Sequence[Post], encoder: ImageEncoder, folder: Path, *, report: Report) -> Profile:
    """Return the profile of one user's posts, made once and kept.

    A profile is kept by its texts, the names, sizes and times of change of its images, and the encoder. One with
    unreadable images is not kept, so that they are reported each time.

    Args:
        posts: The posts, with images.
        encoder: The image encoder.
        folder: Holds profiles, in ``profiles``, and the features of images, in ``features``.
        report: Called with a sentence about each image that cannot be read.

    Raises:
        PolygraftError: no image can be read, or the folder cannot be written.
    """
    file = folder / "profiles" / f"{_key(posts, encoder.digest)}.json"
    if file.is_file():
        return Profile.load(file)
    unreadable: list[str] = []
    profile = make_profile(posts, FeatureCache(folder / "features", encoder), report=unreadable.append)
    for sentence in unreadable:
        report(sentence)
    if unreadable:
        return profile
    profile.save(file)
    return Profile.load(file)  # as it will be read from now on, rounded to half precision


def make_profile(posts: Sequence[Post], cache: FeatureCache, *, report: Report) -> Profile:
    """Make the profile of one user from their posts; images that cannot be read are reported and left out."""
    data = gather(posts, cache, report=report)
    kept = latest([post.time for post in data.posts])
    texts = tuple(data.texts[at] for at in kept)
    return Profile(user=posts[0].user, texts=texts, pooled=data.pooled.numpy()[kept], encoder=cache.encoder.digest)


def _key(posts: Sequence[Post], encoder: str) -> str:
    digest = hashlib.sha256(encoder.encode())
    for post in posts:
        found = post.image.stat()
        parts = (post.user, post.time, post.text, str(post.image.absolute()), found.st_size, found.st_mtime_ns)
        digest.update(repr(parts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def read_community(source: Path, encoder: ImageEncoder, folder: Path, *, report: Report) -> Community:
    """Read the posts of many users, who share past captions to one another.

    Args:
        source: Posts with images and users, see `load_posts`.
        encoder: The image encoder.
        folder: Holds the features of images, in ``features``.
        report: Called with a sentence about each post or image that cannot be read.

    Raises:
        PolygraftError: it is missing or damaged, or no post says whose it is.
    """
    posts = [post for post in load_posts(source, report=report) if post.user]
    if not posts:
        raise PolygraftError(f"no post of {source} names its user: only known users can share captions")
    data = gather(posts, FeatureCache(folder / "features", encoder), report=report)
    return Community.of(pasts(data, encoder.digest))


def is_replaceable(file: Path) -> bool:
    """Return whether a profile may be written to a file: it is not there, or holds a profile."""
    return not file.exists() or (file.is_file() and _begins_like_profile(file))


def _begins_like_profile(file: Path) -> bool:
    return _PROFILE.match(read_data(file)[:4096]) is not None


def _read_texts(source: Path) -> list[Post]:
    # none where lines name images
    rows = list(read_objects(read_data(source), str(source), _SHAPE))
    if any("image" in record for _, record in rows):
        return []
    posts = []
    for place, record in rows:
        if not isinstance(record.get("text"), str):
            raise PolygraftError(f"{place} has no text under 'text': {_SHAPE}")
        text, user, time = (clean(str(record[key])) if record.get(key) is not None else "" for key in _KEYS)
        posts += [Post(image=_NOWHERE, text=text[:MAX_TEXT], user=user, time=time)] if text else []
    if rows and not posts:
        raise PolygraftError(f"no post of {source} has a text: there is nothing to know the user by")
    return posts


def _of_user(posts: Sequence[Post], user: str, source: Path) -> list[Post]:
    users = sorted({post.user for post in posts} - {""})
    if user and user not in users:
        raise PolygraftError(f"{source} has no post of {user!r}: its users are {some(users, _NAMED) or 'not named'}")
    if not user and len(users) > 1:
        raise PolygraftError(
            f"{source} holds posts of {len(users)} users: name one with --user-name ({some(users, _NAMED)})"
        )
    return [post for post in posts if not user or post.user == user]
