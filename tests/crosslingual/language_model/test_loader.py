"""Token shards, packing and loading: nothing lost, nothing read twice, and batches that no history changes."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from backbone.training.sampler import SampleOrder
from crosslingual.language_model import token_shards as shards_module
from crosslingual.language_model.loader import IGNORED, MixedDocuments, PackedDocuments, document_mask, pack_pieces
from crosslingual.language_model.mixture import Portion, plan_mixture
from crosslingual.language_model.token_shards import TokenShards
from crosslingual.options import MixtureOptions
from crosslingual.tokenization.train import train_byte_bpe
from tests.crosslingual.tiny_corpus import build, prose, source, texts, write_jsonl

CONTEXT = 32


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loading")
    write_jsonl(folder / "en.jsonl", prose("en", 60))
    write_jsonl(folder / "de.jsonl", prose("de", 10))
    listed = source("en", "en", "en.jsonl") + source("de", "de", "de.jsonl")
    return build(folder, listed, tails=0.0, unit_bytes=12_000)


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_bpe(prose("en", 20) + prose("de", 20), 400, context=CONTEXT)


@pytest.fixture(scope="module")
def shards(corpus, tokenizer, tmp_path_factory):
    return TokenShards.write(corpus, tokenizer, tmp_path_factory.mktemp("tokens") / "t")


# Shards


def test_tokens_say_what_the_corpus_says(corpus, tokenizer, shards):
    assert len(shards.shards["en"]) > 2, "several shards"
    for language in corpus.languages:
        said = []
        for ids, ends in shards.maps(language):
            begins = [0, *ends[:-1].tolist()]
            documents = [ids[begin:end].tolist() for begin, end in zip(begins, ends.tolist(), strict=True)]
            assert all(document[-1] == tokenizer.eos_token_id for document in documents)
            said += [tokenizer.decode(document[:-1]).removeprefix(" ") for document in documents]
        assert said == texts(corpus, language)


def test_writing_goes_on_where_it_was_stopped(corpus, tokenizer, shards, tmp_path, monkeypatch):
    class StopError(Exception):
        pass

    written = []

    def stopping(*arguments):
        if len(written) == 2:
            raise StopError
        written.append(write(*arguments))

    write = shards_module._write
    monkeypatch.setattr(shards_module, "_write", stopping)
    with pytest.raises(StopError):
        TokenShards.write(corpus, tokenizer, tmp_path / "t")
    with pytest.raises(PolygraftError, match="is missing: tokenize"):
        TokenShards.open(tmp_path / "t")
    again = []
    monkeypatch.setattr(shards_module, "_write", lambda *arguments: (again.append(1), write(*arguments)))
    found = TokenShards.write(corpus, tokenizer, tmp_path / "t")
    assert len(again) == sum(map(len, shards.shards.values())) - 2 and found.digest == shards.digest
    for language in corpus.languages:
        for one, other in zip(found.maps(language), shards.maps(language), strict=True):
            assert (one[0] == other[0]).all() and (one[1] == other[1]).all()


def test_other_tokens_and_damage_are_told(corpus, tokenizer, tmp_path):
    TokenShards.write(corpus, tokenizer, tmp_path / "t", split="heldout")
    with pytest.raises(PolygraftError, match="another corpus"):
        TokenShards.write(corpus, tokenizer, tmp_path / "t")
    with pytest.raises(PolygraftError, match="holds no tokens"):
        TokenShards.write(corpus, tokenizer, tmp_path)
    with pytest.raises(PolygraftError, match=r"no tokens\.json"):
        TokenShards.open(tmp_path)
    path = tmp_path / "t" / "en-00000" / "ids.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PolygraftError, match=r"ids\.bin .*[\d,]+ bytes"):
        TokenShards.open(tmp_path / "t")


# Packing


@given(st.lists(st.integers(1, 40), max_size=40), st.integers(1, 16))
def test_every_token_stands_in_one_row_and_all_rows_but_one_are_full(lengths, room):
    ends = np.cumsum(lengths, dtype=np.int64)
    rows = pack_pieces(ends - lengths, np.array(lengths, dtype=np.int64), room)
    tokens = [place for row in rows for start, length in row for place in range(start, start + length)]
    assert sorted(tokens) == list(range(sum(lengths)))
    assert len(rows) == -(-sum(lengths) // room)
    assert all(sum(length for _, length in row) == room for row in rows[:-1])


def test_documents_that_fit_are_not_cut():
    lengths = np.array([5, 3, 8, 2, 6, 4, 7, 1] * 50)
    ends = np.cumsum(lengths)
    rows = pack_pieces(ends - lengths, lengths, 8)
    pieces = Counter(length for row in rows for _, length in row)
    assert pieces == Counter(lengths.tolist())


def test_best_fit_cuts_fewer_documents_than_a_plain_sequence():
    lengths = np.random.default_rng(0).geometric(1 / 50, size=2000)
    ends = np.cumsum(lengths)
    pieces = sum(map(len, pack_pieces(ends - lengths, lengths, 128)))
    plain = len(np.unique(np.concatenate([ends, np.arange(0, ends[-1], 128)])))
    longest = int(np.ceil(lengths / 128).sum())
    assert longest <= pieces < longest + 30 < plain


# Loading


def test_every_token_is_predicted_once_from_what_stood_before_it(tokenizer, shards):
    packed = PackedDocuments(shards, "en", CONTEXT)
    batch = packed.collate(range(len(packed)))
    kept = batch.targets != IGNORED
    ids = np.concatenate([ids for ids, _ in shards.maps("en")])
    assert sorted(batch.targets[kept].tolist()) == sorted(ids.tolist())
    pairs = Counter(zip(batch.inputs[kept].tolist(), batch.targets[kept].tolist(), strict=True))
    eos = tokenizer.eos_token_id
    before = [token for map_, _ in shards.maps("en") for token in [eos, *map_[:-1].tolist()]]
    assert pairs == Counter(zip(before, ids.tolist(), strict=True))


def test_pieces_are_told_apart_and_their_positions_begin_anew(shards):
    packed = PackedDocuments(shards, "de", CONTEXT)
    batch = packed.collate(range(len(packed)))
    changes = batch.documents[:, 1:] != batch.documents[:, :-1]
    assert changes.any() and (batch.positions[:, 1:][changes] == 0).all()
    assert (batch.positions[:, 1:][~changes & (batch.documents[:, 1:] >= 0)] > 0).all()
    mask = document_mask(batch.documents)[:, 0]
    for row in range(len(packed)):
        for query in range(CONTEXT):
            seen = {key for key in range(query + 1) if batch.documents[row, key] == batch.documents[row, query]}
            assert set(torch.nonzero(mask[row, query]).flatten().tolist()) == seen


def test_a_mixture_reads_each_language_as_often_as_it_says(shards):
    rows = {language: PackedDocuments(shards, language, CONTEXT) for language in ("en", "de")}
    sizes = {language: float(len(packed)) for language, packed in rows.items()}
    plan = plan_mixture(sizes, 2 * sum(sizes.values()), MixtureOptions(mixture="unimax", max_passes=2.5))
    mixed = MixedDocuments(rows, plan, seed=3)
    assert plan["de"].passes == 2.5 and len(mixed) == pytest.approx(2 * sum(sizes.values()), abs=1)
    batch = mixed.collate(range(len(mixed)))
    read = Counter(tuple(row) for row in batch.targets.tolist())
    german = [read[tuple(row)] for row in rows["de"].collate(range(len(rows["de"]))).targets.tolist()]
    assert set(german) == {2, 3} and sum(german) == round(2.5 * len(german))


def test_batches_depend_on_numbers_alone(corpus, tokenizer, tmp_path):
    found = []
    for name in "ab":
        shards = TokenShards.write(corpus, tokenizer, tmp_path / name)
        rows = {language: PackedDocuments(shards, language, CONTEXT) for language in ("en", "de")}
        portions = {language: Portion(share=0.5, amount=1, passes=1.5) for language in rows}
        mixed = MixedDocuments(rows, portions, seed=1)
        indices = SampleOrder(len(mixed), 7, mixed.digest).take(3, 11)
        if name == "b":
            mixed.collate(indices[::-1])  # what was read before makes no difference
        found.append((mixed.digest, mixed.collate(indices)))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(one, other) for one, other in zip(found[0][1], found[1][1], strict=True))
    assert MixedDocuments(rows, portions, seed=2).digest != found[0][0]
    halves = [mixed.collate(indices[:4]), mixed.collate(indices[4:])]
    assert all(torch.equal(torch.cat(parts), whole) for *parts, whole in zip(*halves, found[1][1], strict=True))


def test_a_language_that_is_not_there_is_told(shards):
    with pytest.raises(PolygraftError, match="holds no 'fr': it has en, de"):
        PackedDocuments(shards, "fr", CONTEXT)
