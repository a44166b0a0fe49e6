"""The split of the images into training, validation and test: made once, kept in `splits.tsv`, used ever after.

The unit is the concept (`captions.concept`), over all three sets at once: an emoji in both hands, a man and a woman
at the same work, several photographs of one animal, clip art and a stamp of the same thing stand on one side. Some
authors of clip art are held out whole; every concept they drew is a test concept. The other concepts are assigned
by a hash of their name.

`python -m starter_build.datasets.splits` makes the file again from the packages.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from backbone.errors import PolygraftError
from starter_build.datasets.captions import normalise
from starter_build.datasets.documents import hash_share
from starter_build.datasets.images import ImageRecord, images
from starter_build.datasets.packages import data_root

Side = Literal["train", "validation", "test"]
SIDES: dict[str, Side] = {side: side for side in get_args(Side)}

SPLITS_FILE = Path(__file__).with_name("splits.tsv")
TEST_SHARE = 0.08  # of the concepts, by hash; with the authors held out, the test comes to about 12 % of the images
VALIDATION_SHARE = 0.06
HELD_OUT_AUTHORS = 0.3  # share of the authors of middling output whose images are all in the test
MIDDLING = range(6, 61)
"""Images by an author: fewer show no style, and the few with more would take too many concepts along."""

_HEADER = """\
# concept, side, images; made by starter_build/datasets/splits.py, which says the rule
# authors held out: {authors}
"""


@cache
def load_splits() -> Mapping[str, Side]:
    """Side of every image, by `ImageRecord.id`. Images that are not listed belong to no side."""
    return {id_: side for _, side, ids in read_rows() for id_ in ids}


def read_rows() -> list[tuple[str, Side, list[str]]]:
    """The rows of the split file: concept, side, image ids."""
    lines = (line.split("\t") for line in SPLITS_FILE.read_text().splitlines() if not line.startswith("#"))
    return [(concept, SIDES[side], ids) for concept, side, *ids in lines]


def held_out_authors(found: Iterable[ImageRecord]) -> frozenset[str]:
    """The authors of clip art whose images are all in the test, by a hash of the name."""
    counts = Counter(image.user for image in found if image.set == "clipart")
    return frozenset(
        author
        for author, count in counts.items()
        if count in MIDDLING and hash_share("author", author) < HELD_OUT_AUTHORS
    )


def side_by_hash(concept: str) -> Side:
    """The side of a concept that no held-out author drew."""
    share = hash_share("concept", concept)
    if share < TEST_SHARE:
        return "test"
    return "validation" if share < TEST_SHARE + VALIDATION_SHARE else "train"


def split(found: Iterable[ImageRecord]) -> dict[str, Side]:
    """Side of every concept. Raises PolygraftError if one caption would stand in training and in test."""
    found = list(found)
    authors = held_out_authors(found)
    forced = {image.concept for image in found if image.set == "clipart" and image.user in authors}
    sides: dict[str, Side] = {
        image.concept: "test" if image.concept in forced else side_by_hash(image.concept) for image in found
    }
    by_caption = defaultdict(set)
    for image in found:
        by_caption[normalise(image.text)].add(sides[image.concept])
    if torn := sorted(caption for caption, met in by_caption.items() if len(met) > 1):
        raise PolygraftError(f"The captions {', '.join(torn[:5])} stand on two sides; mend captions.concept.")
    return sides


def write_splits(found: Iterable[ImageRecord], target: Path = SPLITS_FILE) -> None:
    """Write the split file: a line per concept, so that no concept can stand on two sides."""
    found = list(found)
    sides = split(found)
    ids = defaultdict(list)
    for image in found:
        ids[image.concept].append(image.id)
    header = _HEADER.format(authors=", ".join(sorted(held_out_authors(found))))
    rows = ("\t".join([concept, sides[concept], *sorted(ids[concept])]) for concept in sorted(sides))
    target.write_text(header + "".join(f"{row}\n" for row in rows))


if __name__ == "__main__":
    write_splits(images(data_root()))
