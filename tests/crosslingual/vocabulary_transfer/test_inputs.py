import pytest

from backbone.errors import PolygraftError
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vocabulary_transfer.inputs import Parallel


def files(tmp_path, source, target):
    paths = tmp_path / "a.txt", tmp_path / "b.txt"
    for path, data in zip(paths, (source, target), strict=True):
        path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return paths


def test_line_n_translates_line_n_and_what_has_no_partner_is_left_out(tmp_path):
    found = Parallel.read(
        *files(tmp_path, "\ufeffa cat\r\n\nthe sea\u2028blue\n", "eine katze\r\nein hund\ndas meer\n")
    )
    assert found.source == ("a cat", "the sea\u2028blue") and found.target == ("eine katze", "das meer")
    assert len(found) == 2 and "a.txt" in found.name


def test_the_last_line_end_may_be_absent(tmp_path):
    assert len(Parallel.read(*files(tmp_path, "a\nb", "c\nd\n"))) == 2


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("a\nb\n", "c\n", "has 2 source and 1 target sentences"),
        ("", "c\n", "a.txt is empty"),
        (" \n \n", "c\nd\n", "a.txt is empty"),
        ("a\n\n", "\nb\n", "holds no sentence with its translation"),
        ("a\nb\n", "gr\u00fcn\nsch\u00f6n\n".encode("latin-1"), "b.txt, line 1 is not UTF-8"),
        ("a\nb\n", b"ok\n\xff\n", "b.txt, line 2 is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path, source, target, sentence):
    with pytest.raises(PolygraftError, match=sentence):
        Parallel.read(*files(tmp_path, source, target))


def test_an_absent_file_and_a_folder_are_one_sentence(tmp_path):
    with pytest.raises(PolygraftError, match=r"absent\.txt"):
        Parallel.read(tmp_path / "absent.txt", tmp_path / "absent.txt")
    with pytest.raises(PolygraftError, match="directory"):
        Parallel.read(tmp_path, tmp_path)


def test_a_dictionary_is_read_twice_the_second_time_behind_a_blank():
    found = Parallel.of(Dictionary(pairs=(("cat", "katze"), ("to look", "sehen")), name="d"))
    assert found.source == ("cat", "to look", " cat", " to look")
    assert found.target == ("katze", "sehen", " katze", " sehen") and found.name == "d"


def test_the_digest_tells_texts_apart():
    one, same, other = (Parallel(source=("a", "b"), target=("c", d), name=n) for d, n in ("dx", "dy", "ez"))
    assert one.digest == same.digest != other.digest
