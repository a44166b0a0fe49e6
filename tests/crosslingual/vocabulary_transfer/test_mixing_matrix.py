import errno
import json
from dataclasses import replace

import numpy as np
import pytest

from backbone.errors import PolygraftError
from crosslingual.vocabulary_transfer.mixing_matrix import ORIGINS, Mixing, join
from tests.crosslingual.tiny_transfer import random_rows


def mixing(rows, sources, weights, origin="wechsel"):
    return Mixing.of(np.array(rows), np.array(sources), np.array(weights), (4, 3), origin)


SOME = mixing([0, 0, 2], [1, 2, 0], [0.25, 0.75, 1.0])


def test_rows_are_weighted_sums_and_drawn_rows_depend_on_their_number_alone():
    rows = random_rows(5)
    full = SOME.filled(Mixing.drawn("random", (4, 3)))
    made = full.apply(rows)
    assert made.dtype == np.float32
    assert made[0] == pytest.approx(0.25 * rows[1] + 0.75 * rows[2], abs=1e-6)
    assert np.array_equal(made[2], rows[0])
    # WECHSEL's: one draw of a whole matrix, from all rows, padding included
    drawn = np.random.RandomState(1234).normal(rows.mean(0), rows.std(0), (4, rows.shape[1])).astype(np.float32)
    assert np.array_equal(made[[1, 3]], drawn[[1, 3]])
    assert not np.array_equal(full.apply(rows, seed=2)[1], made[1])


def test_a_row_repeated_in_the_source_adds_up():
    assert mixing([0, 0], [1, 1], [0.5, 0.5]).neighbours(0) == [(1, 1.0)]


def test_mean_and_multivariate_rows():
    rows = random_rows(400, 3) @ np.array([[1, 2, 0], [0, 1, 0], [0, 0, 3]], dtype=np.float32)
    mean = Mixing.drawn("mean", (2, 400)).apply(rows)
    assert mean == pytest.approx(np.broadcast_to(rows.mean(0), (2, 3)), abs=1e-6)
    drawn = Mixing.drawn("multivariate", (20_000, 400)).apply(rows)
    assert np.cov(drawn.T) == pytest.approx(np.cov(rows.T), abs=0.05)


def test_stretched_rows_are_as_long_as_their_sources(tmp_path):
    rows = random_rows(5)
    full = replace(SOME.filled(Mixing.drawn("random", (4, 3))), stretched=True)
    full.save_pretrained(tmp_path / "m")
    made, plain = Mixing.from_pretrained(tmp_path / "m").apply(rows), replace(full, stretched=False).apply(rows)
    lengths = np.linalg.norm(rows, axis=1)
    assert np.linalg.norm(made[0]) == pytest.approx(0.25 * lengths[1] + 0.75 * lengths[2], rel=1e-5)
    assert made[0] / np.linalg.norm(made[0]) == pytest.approx(plain[0] / np.linalg.norm(plain[0]), abs=1e-6)
    assert made.dtype == np.float32 and made[2] == pytest.approx(rows[0], rel=1e-6)
    assert np.array_equal(made[[1, 3]], plain[[1, 3]])  # drawn rows have their length already


def test_the_bias_is_mixed_alike_and_drawn_rows_get_the_mean():
    bias = np.array([1.0, 2.0, 6.0, 100.0], dtype=np.float32)
    full = SOME.filled(Mixing.drawn("random", (4, 3)))
    assert full.apply_bias(bias).tolist() == [5.0, 3.0, 1.0, 3.0]


def test_rows_are_filled_in_order_and_keep_their_origin():
    other = mixing([0, 1], [0, 0], [1.0, 1.0], "fvt")
    joined = join([SOME, other, Mixing.drawn("mean", (4, 3))])
    assert joined.counts() == {"wechsel": 2, "fvt": 1, "mean": 1}
    assert joined.neighbours(0) == [(2, 0.75), (1, 0.25)] and joined.origin(1) == "fvt"
    with pytest.raises(PolygraftError, match="cannot be joined"):
        SOME.filled(Mixing.drawn("mean", (3, 3)))


def test_too_few_rows_and_rows_without_origin_are_one_sentence():
    with pytest.raises(PolygraftError, match="2 .*tokenizer has 3"):
        SOME.apply(random_rows(2))
    with pytest.raises(PolygraftError, match="2 rows have no origin"):
        SOME.apply(random_rows(3))


def test_a_saved_mixing_is_the_same(tmp_path):
    full = SOME.filled(Mixing.drawn("mean", (4, 3)))
    full = Mixing(matrix=full.matrix, origins=full.origins, settings={"init": "wechsel"})
    full.save_pretrained(tmp_path / "m")
    loaded = Mixing.from_pretrained(tmp_path / "m")
    assert loaded.settings == {"init": "wechsel"} and loaded.counts() == full.counts()
    assert np.array_equal(loaded.apply(random_rows(3)), full.apply(random_rows(3)))
    with pytest.raises(PolygraftError, match="exists already"):
        full.save_pretrained(tmp_path / "m")


def test_origins_are_read_by_name(tmp_path):
    full = SOME.filled(Mixing.drawn("mean", (4, 3)))
    full.save_pretrained(tmp_path / "m")
    header = json.loads((tmp_path / "m" / "mixing.json").read_text())
    assert header["origins"] == list(ORIGINS)
    header["origins"][ORIGINS.index("mean")] = "unheard of"
    (tmp_path / "m" / "mixing.json").write_text(json.dumps(header))
    with pytest.raises(PolygraftError, match="damaged"):
        Mixing.from_pretrained(tmp_path / "m")


def test_a_damaged_or_absent_mixing_is_one_sentence(tmp_path):
    with pytest.raises(PolygraftError, match="cannot be read"):
        Mixing.from_pretrained(tmp_path)
    SOME.filled(Mixing.drawn("mean", (4, 3))).save_pretrained(tmp_path / "m")
    file = tmp_path / "m" / "mixing.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(PolygraftError, match="damaged"):
        Mixing.from_pretrained(tmp_path / "m")
    (tmp_path / "m" / "mixing.json").write_text("{}")
    with pytest.raises(PolygraftError, match="no mixing"):
        Mixing.from_pretrained(tmp_path / "m")


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("crosslingual.vocabulary_transfer.mixing_matrix.write_json", full)
    with pytest.raises(PolygraftError, match="No space left"):
        SOME.save_pretrained(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
