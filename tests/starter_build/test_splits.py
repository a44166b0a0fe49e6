"""The split: its rule, and that the committed file keeps it."""

from collections import Counter
from pathlib import Path

import pytest

from backbone.errors import PolygraftError
from starter_build.datasets import splits
from starter_build.datasets.images import ImageRecord


def image(concept, number=0, *, kind="stamps", user="x", text=""):
    id_ = f"{kind}/{user}/{concept}/{number}"
    text = text or f"{concept} {number}"
    return ImageRecord(set=kind, id=id_, image=Path("x.png"), text=text, user=user, concept=concept)


def test_no_concept_and_no_image_stands_twice_in_the_file():
    rows = splits.read_rows()
    assert len({concept for concept, _, _ in rows}) == len(rows)
    assert sum(len(ids) for *_, ids in rows) == len(splits.load_splits())


def test_the_file_follows_the_rule():
    for concept, side, _ in splits.read_rows():
        assert side in (splits.side_by_hash(concept), "test")


def test_every_set_has_all_three_sides_in_fair_shares():
    counts = Counter((id_.partition("/")[0], side) for id_, side in splits.load_splits().items())
    for kind in ("emoji", "stamps", "clipart"):
        total = sum(counts[kind, side] for side in splits.SIDES)
        assert 0.7 < counts[kind, "train"] / total < 0.88
        assert counts[kind, "validation"] / total > 0.05
        assert 0.09 < counts[kind, "test"] / total < 0.2


def test_an_emoji_is_on_the_same_side_in_both_hands():
    sides = splits.load_splits()
    twins = [id_ for id_ in sides if id_.startswith("emoji/fluent/")]
    assert len(twins) > 1400
    assert all(sides[id_] == sides.get(id_.replace("fluent", "twemoji"), sides[id_]) for id_ in twins)


def test_all_that_a_held_out_author_drew_is_test_and_so_is_every_image_of_it():
    author = next(name for name in map(str, range(100)) if splits.hash_share("author", name) < splits.HELD_OUT_AUTHORS)
    drawn = [image(f"thing{number}", kind="clipart", user=author) for number in range(8)]
    others = [image(f"thing{number}", 1) for number in range(40)]
    sides = splits.split([*drawn, *others])
    assert splits.held_out_authors(drawn) == {author}
    assert {sides[found.concept] for found in drawn} == {"test"}
    assert "train" in sides.values()


def test_a_caption_on_two_sides_is_refused():
    sides = {
        side: next(c for c in map(str, range(1000)) if splits.side_by_hash(c) == side) for side in ("train", "test")
    }
    with pytest.raises(PolygraftError, match="The captions dog stand"):
        splits.split([image(sides["train"], text="A dog."), image(sides["test"], text="dog")])


def test_the_file_can_be_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "SPLITS_FILE", tmp_path / "splits.tsv")
    found = [image("dog", 2), image("dog", 1), image("cat")]
    splits.write_splits(found, tmp_path / "splits.tsv")
    assert splits.read_rows() == [
        ("cat", splits.side_by_hash("cat"), ["stamps/x/cat/0"]),
        ("dog", splits.side_by_hash("dog"), ["stamps/x/dog/1", "stamps/x/dog/2"]),
    ]
