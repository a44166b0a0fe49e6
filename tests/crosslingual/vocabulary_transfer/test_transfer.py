import json
from typing import get_args

import numpy as np
import pytest
import torch

import crosslingual
from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.gpt2 import Backbone
from crosslingual.options import Init
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vectors.procrustes import AlignmentOptions
from crosslingual.vectors.word_vectors import WordVectors
from crosslingual.vocabulary_transfer.inputs import Parallel
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from crosslingual.vocabulary_transfer.transfer import Evidence, TransferOptions, make_mixing, transfer
from tests.backbone.tiny import tiny_model
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, PAIRS, byte_bpe
from tests.crosslingual.tiny_vectors import tiny_fasttext, word_vectors


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    return [tiny_fasttext(folder / f"{name}.bin", text) for name, text in (("en", ENGLISH), ("de", GERMAN))]


@pytest.fixture(scope="module")
def english():
    return Backbone.from_parts(tiny_model(420), byte_bpe(ENGLISH, 420), name="tiny")


@pytest.fixture(scope="module")
def german():
    return byte_bpe(GERMAN, 400)


TEXT = Parallel(source=tuple(ENGLISH), target=tuple(GERMAN), name="sentences")
DONOR = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)


@pytest.mark.parametrize("init", get_args(Init))
def test_each_method_gives_a_model_that_speaks_and_keeps_the_body(english, german, both, init):
    before = english.digest
    evidence = Evidence(parallel=TEXT, donor=DONOR)
    renewed, report = transfer(english, german, *both, PAIRS, TransferOptions(init=init), evidence=evidence)
    assert renewed.vocabulary_size == len(german) == report.target_tokens and renewed.eos_id == german.eos_token_id
    prefix = renewed.embed(torch.tensor([german("die katze")["input_ids"]]))
    assert renewed.generate(prefix, Decoding(max_tokens=4))[0]
    ours, theirs = (dict(one.model.transformer.h.named_parameters()) for one in (renewed, english))
    assert all(ours[name] is theirs[name] for name in theirs)
    assert english._digest == before and Backbone(english.model, english.tokenizer, name="again").digest == before
    assert sum(report.origins.values()) == 400 and "none" not in report.origins
    expected = "transtoken" if init == "auto" else init
    assert report.origins[expected] > 10 and report.origins["special"] == 1


def test_rows_are_what_the_mixing_says(english, german, both):
    options = TransferOptions(init="wechsel")
    renewed, _ = transfer(english, german, *both, PAIRS, options)
    rows = english.model.get_input_embeddings().weight.numpy()
    evidence = Evidence(
        source_vectors=both[0], target_vectors=both[1], dictionary=Dictionary(pairs=tuple(PAIRS), name="pairs")
    )
    mixing, _ = make_mixing(english.tokenizer, german, evidence, options)
    assert np.array_equal(renewed.model.get_input_embeddings().weight.numpy(), mixing.apply(rows))


def test_the_same_seed_gives_the_same_rows(english, german, both):
    made = [
        transfer(english, german, *both, PAIRS, TransferOptions(init="wechsel", seed=seed))[0].digest
        for seed in (1, 1, 2)
    ]
    assert made[0] == made[1] != made[2]


def test_the_report_says_what_was_done(english, german, both):
    _, report = transfer(english, german, *both, PAIRS, TransferOptions(init="wechsel"))
    assert report.pairs == len(PAIRS) and report.matches > 4 * 20
    assert 0 <= report.alignment.precision <= 1 and report.alignment.words == 2
    assert sum(report.without_vector.values()) == report.origins["random"]
    assert len(report.samples) == 20 and all(sample.origin == "wechsel" for sample in report.samples)
    assert all(sum(weight for _, weight in sample.sources) == pytest.approx(1) for sample in report.samples)
    assert report.seconds > 0 and report.peak_memory > 10**7
    assert json.loads(json.dumps(report.to_dict()))["pairs"] == len(PAIRS)


def test_auto_chooses_by_what_there_is(english, german, both):
    def origins(*given, options=None):
        return set(transfer(english, german, *given, options=options)[1].origins)

    assert "wechsel" in origins(*both) and "focus" in origins(None, both[1])
    assert origins() == {"special", "identical", "byte", "fvt"}
    assert "dict" in origins(None, None, PAIRS) and "dict" not in origins(*both, PAIRS)


def test_auto_takes_row_by_row_the_best_there_is(english, german, both):
    copied = {"special", "identical", "byte"}
    everything = Evidence(parallel=TEXT, donor=DONOR, token_vectors=DONOR)
    _, report = transfer(english, german, *both, PAIRS, evidence=everything)
    assert set(report.origins) == copied | {"transtoken", "wechsel"} and report.sentences == len(GERMAN)
    _, report = transfer(english, german, pairs=PAIRS, evidence=Evidence(donor=DONOR, token_vectors=DONOR))
    assert set(report.origins) == copied | {"dict", "omp"}
    _, report = transfer(english, german, evidence=Evidence(parallel=TEXT))
    assert set(report.origins) == copied | {"transtoken", "borrowed"}


def test_words_that_are_counted_are_no_longer_copied_for_their_spelling(english, german):
    mixing, _ = make_mixing(english.tokenizer, german, Evidence(parallel=TEXT))
    without, _ = make_mixing(english.tokenizer, german, Evidence())
    ours = german.get_vocab()
    # what stands for "d" in translations, not what English writes alike
    assert (without.origin(ours["d"]), mixing.origin(ours["d"])) == ("identical", "transtoken")
    assert {mixing.origin(ours[piece]) for piece in "0123456789.,:"} == {"identical"}
    assert mixing.origin(ours["Ã"]) == "byte"


def test_what_a_method_lacks_is_one_sentence(english, german):
    for init, sentence in {
        "transtoken": "transtoken needs parallel text",
        "dict": "dict needs a dictionary",
        "clp": "clp needs a donor",
        "omp": "omp needs a donor",
        "ofa": "ofa needs word vectors of both languages",
    }.items():
        with pytest.raises(PolygraftError, match=sentence):
            transfer(english, german, options=TransferOptions(init=init))


def test_ofa_needs_one_space(tmp_path, english, german, both):
    wide = tiny_fasttext(tmp_path / "wide.bin", GERMAN, width=30)
    with pytest.raises(PolygraftError, match="20 and 30"):
        transfer(english, german, both[0], wide, PAIRS, TransferOptions(init="ofa"))


def test_options_of_quality_change_what_they_say(english, german, both):
    def rows(**changes):
        renewed, report = transfer(english, german, *both, PAIRS, TransferOptions(init="wechsel", **changes))
        return renewed.model.get_input_embeddings().weight.numpy(), report

    plain, report = rows()
    stretched, _ = rows(norms=True)
    lengths, source = np.linalg.norm(stretched, axis=1), english.model.get_input_embeddings().weight.norm(dim=1)
    assert np.linalg.norm(plain, axis=1).mean() < 0.8 * lengths.mean()
    assert lengths.mean() == pytest.approx(float(source.mean()), rel=0.1)
    cleaned = rows(clean_dictionary=True)[1]
    assert cleaned.matches < report.matches and cleaned.pairs == report.pairs


def test_words_alone_take_the_route_of_words(english, german):
    vectors = [
        word_vectors({word: list(np.random.default_rng(len(word)).normal(size=4)) for word in words})
        for words in (["the", "cat", "dog"], ["der", "katze", "hund"])
    ]
    _, report = transfer(english, german, *vectors, PAIRS)
    assert report.origins["wechsel"] > 0
    with pytest.raises(PolygraftError, match="ask for the route words"):
        transfer(english, german, *vectors, PAIRS, TransferOptions(init="wechsel"))


@pytest.mark.parametrize("widths", [(10, 30), (30, 10)])
def test_vectors_of_different_widths_need_a_dictionary(tmp_path, english, german, widths):
    pair = [
        tiny_fasttext(tmp_path / f"{name}.bin", text, width=width)
        for name, text, width in zip("ab", (ENGLISH, GERMAN), widths, strict=True)
    ]
    _, report = transfer(english, german, *pair, PAIRS, TransferOptions(init="wechsel"))
    assert report.origins["wechsel"] > 200
    with pytest.raises(PolygraftError, match="not in one space"):
        transfer(english, german, *pair, options=TransferOptions(init="wechsel"))


def test_refinement_looks_at_frequent_words_too(english, german, both):
    refined = TransferOptions(init="wechsel", alignment=AlignmentOptions(refine=1, refine_words=40, normalise=True))
    renewed, _ = transfer(english, german, *both, PAIRS, refined)
    plain, _ = transfer(english, german, *both, PAIRS, TransferOptions(init="wechsel"))
    assert renewed.digest != plain.digest


def test_what_is_missing_is_one_sentence(english, german, both):
    with pytest.raises(PolygraftError, match="wechsel needs"):
        transfer(english, german, both[0], options=TransferOptions(init="wechsel"))
    with pytest.raises(PolygraftError, match="focus needs vectors"):
        transfer(english, german, options=TransferOptions(init="focus"))
    with pytest.raises(PolygraftError, match="none of the 1 pairs"):
        transfer(english, german, *both, [("xyz", "zyx")])
    with pytest.raises(PolygraftError, match="temperature is 0"):
        TransferOptions(temperature=0)


def test_one_mixing_serves_every_size_and_every_matrix(tmp_path, english, german, both):
    mixing, _ = make_mixing(english.tokenizer, german, Evidence(source_vectors=both[0], target_vectors=both[1]))
    mixing.save_pretrained(tmp_path / "mixing")
    loaded = Mixing.from_pretrained(tmp_path / "mixing")
    assert loaded.settings["init"] == "auto" and loaded.settings["source_vectors"] == both[0].name
    for width in (16, 48):
        rows = np.random.default_rng(width).normal(size=(420, width)).astype(np.float32)
        assert np.array_equal(loaded.apply(rows), mixing.apply(rows))


def test_public_names():
    assert crosslingual.transfer is transfer and crosslingual.WordVectors is WordVectors
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = crosslingual.nothing
