"""Posts as a JSONL file, which the commands read."""

import json
from collections.abc import Iterable
from pathlib import Path

from backbone.io.files import atomic_file
from multimodal.data.posts import Post


def write_posts(posts: Iterable[Post], target: Path) -> None:
    """Write a line per post: image (an absolute path), text, user, time, id and split; a half-written file never shows.

    `multimodal.data.posts.load_posts` reads the posts back as they were.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as partial, partial.open("w", encoding="utf-8") as file:
        for post in posts:
            file.write(json.dumps(_record(post), ensure_ascii=False) + "\n")


def _record(post: Post) -> dict[str, str]:
    return {
        "image": str(post.image.absolute()),
        "text": post.text,
        "user": post.user,
        "time": post.time,
        "id": post.id,
        "split": post.split,
    }
