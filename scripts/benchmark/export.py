"""Posts as a JSONL file, which the commands read."""

import json
from collections.abc import Iterable
from pathlib import Path

from multimodal.posts import Post


def write_posts(posts: Iterable[Post], target: Path) -> None:
    """Write a line per post: image (an absolute path), text, user, time, id and split; a half-written file never shows.

    `multimodal.posts.load_posts` reads the posts back as they were.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        for post in posts:
            file.write(json.dumps(_record(post), ensure_ascii=False) + "\n")
    partial.replace(target)


def _record(post: Post) -> dict[str, str]:
    return {
        "image": str(post.image.absolute()),
        "text": post.text,
        "user": post.user,
        "time": post.time,
        "id": post.id,
        "split": post.split,
    }
