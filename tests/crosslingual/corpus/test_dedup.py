"""Duplicates, noise and the split: known answers, slow references, and what is found of what was planted."""

import random
import string
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import UsageError
from crosslingual.arrays import mix, slice_hashes, text_key
from crosslingual.corpus.clean import compression_ratio
from crosslingual.corpus.minhash import BANDS, ROWS, WIDTH, clusters, copies, signatures
from crosslingual.corpus.selection import below, find_repeats, find_tails, outside
from crosslingual.options import BuildOptions
from tests.crosslingual.tiny_corpus import alter, build, drops, prose, source, texts, write_jsonl

KEYS = st.lists(st.integers(0, 5), max_size=20)


@pytest.mark.parametrize("size", [1, 4, 1 << 20])
@given(keys=KEYS, cut=st.integers(0, 20))
def test_of_equal_keys_the_first_stays_or_none_however_many_are_compared_at_a_time(size, keys, cut):
    array = np.array(keys, dtype=np.uint64) << np.uint64(61)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr("crosslingual.corpus.selection._RANGE", size)

        def gone(*, drop_all):
            found = find_repeats([array[:cut], array[cut:]], len(array), Path(folder), drop_all=drop_all)
            assert not any(Path(folder).iterdir())
            return found.tolist()

        assert gone(drop_all=False) == [key in keys[:place] for place, key in enumerate(keys)]
        assert gone(drop_all=True) == [keys.count(key) > 1 for key in keys]


@given(st.text(max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_a_slice_has_one_hash_wherever_it_stands(text, one, other):
    letters = np.array([ord(letter) for letter in text], dtype=np.uint32)
    begin, stop = sorted((min(one, len(text)), min(other, len(text))))
    alone = slice_hashes(letters[begin:stop], np.array([0]), np.array([stop - begin]))
    assert slice_hashes(letters, np.array([begin]), np.array([stop])) == alone


def test_keys_do_not_change_between_versions():
    assert text_key(b"text").to_bytes(8, "little").hex() == "d7f35fa228381a1c"  # b2sum -l 64
    assert mix(np.array([0, 1], dtype=np.uint64)).tolist() == [16294208416658607535, 10451216379200822465]


def test_a_split_takes_its_share_and_grows_with_it():
    keys = mix(np.arange(100_000, dtype=np.uint64))
    small, large = below(keys, 0.01, 3), below(keys, 0.1, 3)
    assert small.mean() == pytest.approx(0.01, rel=0.1) and large.mean() == pytest.approx(0.1, rel=0.1)
    assert large[small].all() and not below(keys, 0.0, 3).any()
    assert (below(keys, 0.1, 4) & large).mean() == pytest.approx(0.01, rel=0.2)


# Tails


def cut_tails(ratios, sizes, share):
    tails = find_tails(ratios, sizes, share)
    return *outside(ratios, sizes, tails), tails


def test_tails_are_cut_within_each_length():
    ratios = np.concatenate([np.linspace(0.3, 0.4, 100), np.linspace(0.7, 0.8, 200), [0.1, 0.9]])
    sizes = np.array([1000] * 100 + [100] * 200 + [10] * 2)
    low, high, tails = cut_tails(ratios.astype(np.float32), sizes, 0.02)
    assert np.flatnonzero(low).tolist() == [0, 1, 100, 101, 102, 103]
    assert np.flatnonzero(high).tolist() == [98, 99, 296, 297, 298, 299]
    assert [(tail.bucket, tail.documents) for tail in tails] == [(3, 2), (6, 200), (9, 100)]


ROWS_OF_TEXTS = st.lists(st.tuples(st.floats(0, 2, width=32), st.integers(1, 2**32 - 1)), max_size=60)


@given(ROWS_OF_TEXTS, st.floats(0, 0.4))
def test_no_more_than_the_share_falls_at_each_end(rows, share):
    ratios, sizes = np.array([row[0] for row in rows], np.float32), np.array([row[1] for row in rows], np.int64)
    low, high, tails = cut_tails(ratios, sizes, share)
    assert not (low & high).any() and max(low.sum(), high.sum()) <= share * len(rows)
    assert sum(tail.documents for tail in tails) == len(rows)


@given(ROWS_OF_TEXTS, st.floats(0, 0.4))
def test_bounds_are_those_of_sorting(rows, share):
    ratios, sizes = np.array([row[0] for row in rows], np.float32), np.array([row[1] for row in rows], np.int64)
    for tail in cut_tails(ratios, sizes, share)[-1]:
        ordered = np.sort(ratios[(sizes >= 2**tail.bucket) & (sizes < 2 ** (tail.bucket + 1))])
        cut = int(share * len(ordered))
        assert (tail.documents, tail.low, tail.high) == (len(ordered), ordered[cut], ordered[-1 - cut])


def test_ties_stay():
    assert not any(side.any() for side in cut_tails(np.full(1000, 0.5, np.float32), np.full(1000, 64), 0.1)[:2])


# Near duplicates


def jaccard(one, other):
    first, second = ({tuple(text.split()[i : i + 5]) for i in range(len(text.split()) - 4)} for text in (one, other))
    return len(first & second) / len(first | second)


def test_signatures_agree_by_the_share_of_common_runs():
    plain = prose("en", 40, words=300)
    for count in (2, 6, 15):
        others = [alter(text, count) for text in plain]
        one, other = signatures(plain, 0), signatures(others, 0)
        assert one.shape == (40, WIDTH) and WIDTH == BANDS * ROWS
        estimated = (one == other).mean()
        assert estimated == pytest.approx(
            np.mean([jaccard(a, b) for a, b in zip(plain, others, strict=True)]), abs=0.03
        )


def test_case_punctuation_and_what_else_is_in_the_batch_do_not_count():
    text = prose("en", 1)[0]
    signed = signatures([text, text.upper().replace(".", " ! "), "x"], 0)
    assert (signed[0] == signed[1]).all() and (signed[0] == signatures([text], 0)[0]).all()


@pytest.mark.parametrize("word_characters", [0, 2])
def test_texts_without_words_are_no_duplicates_of_each_other(word_characters):
    signed = signatures(["!", "?", "", "a", "b b"], word_characters)
    assert clusters(signed, 0.7).tolist() == [0, 1, 2, 3, 4]


def test_a_cluster_is_known_by_its_first_text_and_hangs_together_by_pairs():
    signed = np.arange(6 * WIDTH, dtype=np.uint32).reshape(6, WIDTH)
    signed[4] = signed[1]
    signed[5, :100] = signed[4, :100]  # 89 %
    signed[3, :30] = signed[0, :30]  # three bands, yet 27 %
    assert clusters(signed, 0.7).tolist() == [0, 1, 2, 0 + 3, 1, 1]
    assert clusters(signed, 0.95).tolist() == [0, 1, 2, 3, 1, 5]
    assert clusters(signed, 0.2).tolist() == [0, 1, 2, 0, 1, 1]
    assert clusters(signed[:0], 0.7).tolist() == []


# Planted


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Return a corpus of 400 texts with copies, near copies, noise and strange text planted, by id what each was."""
    folder = tmp_path_factory.mktemp("planted")
    draw = random.Random(1)
    good = prose("en", 400, words=200)
    letters = string.ascii_lowercase
    kinds = {
        "good": good,
        "copy": draw.sample(good, 40),
        "near": [alter(text, 3, seed) for seed, text in enumerate(draw.sample(good, 40))],
        "noise": [" ".join("".join(draw.choices(letters, k=6)) for _ in range(200)) + "." for _ in range(4)],
        "strange": prose("ru", 10),
        "boilerplate": ["Subscribe to our newsletter now. " * 40 for _ in range(10)],
        "similar": [alter(text, 50, seed) for seed, text in enumerate(draw.sample(good, 40))],
    }
    rows = [(kind, text) for kind, planted in kinds.items() for text in planted]
    head, tail = rows[:400], rows[400:]
    draw.shuffle(tail)
    path = write_jsonl(folder / "a.jsonl", [text for _, text in head + tail])
    corpus = build(folder, source("a", "en", "a.jsonl"), heldout=0.1)
    offsets = np.cumsum([0, *map(len, path.read_bytes().splitlines(keepends=True))]).tolist()
    return corpus, {f"a/a.jsonl:{offset}": kind for offset, (kind, _) in zip(offsets, head + tail, strict=False)}


@pytest.mark.parametrize(
    ("kind", "reasons", "share"),
    [
        ("copy", {"duplicate"}, 1.0),
        ("near", {"near_duplicate"}, 0.95),
        ("noise", {"incompressible"}, 1.0),
        ("strange", {"wrong_script"}, 1.0),
        ("boilerplate", {"frequent_ngram", "repeated_ngrams"}, 1.0),
    ],
)
def test_what_was_planted_is_found(planted, kind, reasons, share):
    corpus, kinds = planted
    found = drops(corpus, "en")
    right = [identity for identity, reason in found.items() if kinds[identity] == kind and reason in reasons]
    assert len(right) >= share * list(kinds.values()).count(kind)


def test_little_else_is_dropped_and_only_for_its_tails(planted):
    corpus, kinds = planted
    wrong = {
        identity: reason for identity, reason in drops(corpus, "en").items() if kinds[identity] in ("good", "similar")
    }
    assert len(wrong) <= 0.02 * 440 and set(wrong.values()) <= {"compressible", "incompressible"}
    kept = {document.id for split in ("train", "heldout") for document in corpus.documents("en", split)}
    assert kept | set(drops(corpus, "en")) == set(kinds)


# The split, and small languages


def test_near_duplicates_that_are_kept_never_straddle_the_split(tmp_path):
    good = prose("en", 60, words=200)
    write_jsonl(tmp_path / "a.jsonl", good + [alter(text, 2, seed) for seed in range(3) for text in good])
    corpus = build(tmp_path, source("a", "en", "a.jsonl"), near="keep", tails=0.0, heldout=0.2)
    sides = [
        {" ".join(document.text.split()[:9]) for document in corpus.documents("en", split)}
        for split in ("train", "heldout")
    ]
    assert len(texts(corpus, "en")) + len(texts(corpus, "en", "heldout")) == 240
    assert {document.cluster_size for document in corpus.documents("en", "heldout")} == {4}
    assert len(sides[1]) >= 5 and not sides[0] & sides[1]


def test_a_text_stays_on_its_side_when_the_corpus_grows(tmp_path):
    good = prose("en", 200)
    write_jsonl(tmp_path / "a.jsonl", good[:100])
    small = build(tmp_path, source("a", "en", "a.jsonl"), tails=0.0, heldout=0.1)
    write_jsonl(tmp_path / "a.jsonl", good)
    large = build(tmp_path, source("a", "en", "a.jsonl"), out="large", tails=0.0, heldout=0.1)
    for split in ("train", "heldout"):
        assert set(texts(small, "en", split)) <= set(texts(large, "en", split))


@pytest.mark.parametrize(("count", "sizes"), [(0, (0, 0)), (1, (1, 0)), (2, (1, 1)), (20, (19, 1))])
def test_a_language_of_few_texts_has_one_held_out_if_one_is_left(tmp_path, count, sizes):
    write_jsonl(tmp_path / "a.jsonl", prose("en", count))
    for share in (1e-9, 0.5 if count < 3 else 1e-9):
        corpus = build(tmp_path, source("a", "en", "a.jsonl"), out=str(share), heldout=share)
        assert (len(texts(corpus, "en")), len(texts(corpus, "en", "heldout"))) == sizes


def test_equal_texts_of_two_sources_and_two_languages_are_one(tmp_path):
    good = prose("en", 10)
    for name in "abc":
        write_jsonl(tmp_path / f"{name}.jsonl", good)
    listed = source("a", "en", "a.jsonl") + source("b", "en", "b.jsonl") + source("c", "de", "c.jsonl")
    corpus = build(tmp_path, listed, heldout=0.0, tails=0.0)
    assert {document.source for document in corpus.documents("en")} == {"a"} and not texts(corpus, "de")
    assert [record.dropped["duplicate"].documents for record in corpus.records.values()] == [10, 10]
    assert not texts(build(tmp_path, listed, out="none", exact="drop-all"), "en")
    assert len(texts(build(tmp_path, listed, out="all", exact="off", near="off", heldout=0.0, tails=0.0), "en")) == 20


def test_clusters_are_rehydrated_as_fineweb_2_does():
    expected = {1: 1, 2: 2, 3: 3, 4: 3, 5: 5, 99: 5, 100: 8, 999: 8, 1000: 1, 10**6: 1}
    assert {size: copies(size) for size in expected} == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("tails", 0.5),
        ("tails", -0.1),
        ("heldout", 0.9),
        ("heldout", float("nan")),
        ("near_similarity", 0.1),
        ("max_document_bytes", 0),
        ("unit_bytes", 0),
        ("split_seed", -1),
    ],
)
def test_wrong_options_are_told(option, value):
    with pytest.raises(UsageError, match=f"{option} is {value}"):
        BuildOptions(**{option: value})


def test_noise_compresses_worse_than_prose_and_boilerplate_better():
    noise, text, boilerplate = "qzjxkvwpfb", prose("en", 1)[0], "the same " * 50
    ratios = [compression_ratio(text.encode()) for text in (boilerplate, text, noise)]
    assert ratios == sorted(ratios)
