"""Files that are either whole or as they were."""

import pytest

from backbone.errors import PolygraftError
from backbone.io.files import atomic_file, is_file, write_text


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    target = tmp_path / "rows.npy"
    target.write_text("old")
    with atomic_file(target) as partial:
        partial.write_text("new")
        assert (partial.suffix, partial.parent, target.read_text()) == (".npy", tmp_path, "old")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("rows.npy", "new")]


def write_half(target):
    with atomic_file(target) as partial:
        partial.write_text("half")
        raise ZeroDivisionError


def test_what_fails_leaves_nothing(tmp_path):
    target = tmp_path / "film.srt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_text_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(PolygraftError, match=r"no/film\.srt"):
        write_text(tmp_path / "no" / "film.srt", "text")


def test_a_path_that_cannot_be_looked_at_leads_to_no_file(tmp_path):
    assert not is_file(tmp_path / ("x" * 5000))
    assert not is_file(tmp_path)
    (tmp_path / "a").touch()
    assert is_file(tmp_path / "a")
