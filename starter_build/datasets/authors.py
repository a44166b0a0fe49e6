"""Users who are authors of Open Clip Art: what they called a drawing, and the keywords they gave it as hashtags.

Images keep the side of the starter's split. The authors whom that split holds out whole are users that training does
not see (`test1`); of the others, drawings of test concepts are `test2`. An author here has `MIN_POSTS` posts or more.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from multimodal.data.posts import Post
from starter_build.datasets.clipart import ClipArt, clips
from starter_build.datasets.images import CLIPART_PNG, CLIPART_SVG, WORDNET
from starter_build.datasets.lexicon import read_wordnet, word_set
from starter_build.datasets.packages import fetch
from starter_build.datasets.splits import Side, load_splits
from starter_build.datasets.voice_words import hashtags

MIN_POSTS = 10
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
