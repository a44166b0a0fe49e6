"""The known defects of the package wechsel 0.0.4 and of fastText 0.9.3: here it works, or a sentence says why."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import pipeline

from backbone.errors import PolygraftError
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vectors.word_vectors import WordVectors
from crosslingual.vocabulary_transfer.inputs import Parallel
from crosslingual.vocabulary_transfer.transfer import Evidence, TransferOptions, make_mixing, with_mixed_vocabulary
from tests.crosslingual.tiny_models import MODELS, gpt2
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, PAIRS, byte_bpe, roberta_bpe
from tests.crosslingual.tiny_vectors import tiny_fasttext

WORDS = Dictionary(pairs=tuple(PAIRS), name="pairs")
SIZE = 340


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    return [tiny_fasttext(folder / f"{name}.bin", text) for name, text in (("en", ENGLISH), ("de", GERMAN))]


def mixed(source_vectors, target_vectors, *, dictionary=WORDS, source=None, target=None, **options):
    source, target = source or byte_bpe(ENGLISH, 420), target or byte_bpe(GERMAN, 400)
    evidence = Evidence(source_vectors=source_vectors, target_vectors=target_vectors, dictionary=dictionary)
    return make_mixing(source, target, evidence, TransferOptions(**{"init": "wechsel"} | options))[0]


def test_b1_target_vectors_may_be_wider_than_source_vectors(tmp_path, vectors):
    wide = tiny_fasttext(tmp_path / "wide.bin", GERMAN, width=30)
    assert mixed(vectors[0], wide).counts()["wechsel"] > 200


def test_b2_additional_special_tokens_are_copied(vectors):
    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    for tokenizer in (source, target):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    mixing = mixed(*vectors, source=source, target=target)
    here, there = (tokenizer.convert_tokens_to_ids("<|user|>") for tokenizer in (target, source))
    assert mixing.origin(here) == "special" and mixing.neighbours(here) == [(there, 1.0)]


@pytest.mark.parametrize("temperature", [1e-3, 1e-6, 1e-300])
def test_b3_a_low_temperature_does_not_overflow(vectors, temperature):
    rows = mixed(*vectors, temperature=temperature).apply(np.ones((420, 4), np.float32))
    assert np.isfinite(rows).all()


def test_b4_more_neighbours_than_source_tokens_are_all_of_them(vectors):
    assert np.diff(mixed(*vectors, neighbors=5000).matrix.indptr).max() == 420


def test_b5_a_model_with_fewer_rows_than_ids_is_one_sentence(vectors):
    with pytest.raises(PolygraftError, match="419 .* 420"):
        mixed(*vectors).apply(np.ones((419, 4), np.float32))


def test_b6_a_dictionary_with_blank_lines_is_read_and_a_bad_line_is_one_sentence(tmp_path, vectors):
    path = tmp_path / "pairs.txt"
    path.write_text("king\tk\u00f6nig\n\n\nhouse haus\n", encoding="utf-8")
    assert Dictionary.open(path).pairs == (("king", "k\u00f6nig"), ("house", "haus"))
    path.write_text("king\tk\u00f6nig\nto look at\n", encoding="utf-8")
    with pytest.raises(PolygraftError, match="line 2 has 3 columns"):
        Dictionary.open(path)
    with pytest.raises(PolygraftError, match="none of the 1 pairs"):
        mixed(*vectors, dictionary=Dictionary(pairs=(("qqq", "zzz"),), name="d"))


def test_b6_files_are_utf8_whatever_the_locale(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("king\tk\u00f6nig\n", encoding="utf-8")
    code = (
        "import locale, sys; from crosslingual.vectors.dictionary import Dictionary;"
        "from crosslingual.vocabulary_transfer.inputs import Parallel;"
        "assert locale.getencoding() == 'ANSI_X3.4-1968', locale.getencoding();"
        "assert Dictionary.open(sys.argv[1]).pairs == (('king', 'k\\xf6nig'),);"
        "assert Parallel.read(sys.argv[1], sys.argv[1]).source == ('king\\tk\\xf6nig',)"
    )
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True, timeout=60)


def test_b7_a_name_is_a_file_and_nothing_is_fetched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolygraftError, match="german cannot be read"):
        Dictionary.open("german")
    (tmp_path / "german").mkdir()
    with pytest.raises(PolygraftError, match="german .*directory"):
        Dictionary.open("german")


def test_b8_vectors_of_words_alone_need_the_route_of_words_which_auto_takes(tmp_path):
    generator = np.random.default_rng(0)
    pair = []
    for name, text in (("en", ENGLISH), ("de", GERMAN)):
        words = sorted({word for line in text for word in line.split()})
        lines = [f"{word} {' '.join(map(str, generator.normal(size=10).round(4)))}" for word in words]
        path = tmp_path / f"{name}.vec"
        path.write_text(f"{len(words)} 10\n" + "\n".join(lines) + "\n", encoding="utf-8")
        pair.append(WordVectors.open(path))
    with pytest.raises(PolygraftError, match="no n-grams"):
        mixed(*pair)
    for options in ({"route": "words"}, {"init": "auto"}):
        assert mixed(*pair, **options).counts()["wechsel"] > 50


def test_b9_training_reads_a_text_to_its_end_and_too_little_of_it_is_one_sentence(tmp_path):
    found = tiny_fasttext(tmp_path / "v.bin", [*ENGLISH, "the very last word is omega"])
    assert "omega" in found.index
    with pytest.raises(PolygraftError, match="min_count"):
        tiny_fasttext(tmp_path / "w.bin", ["one"], min_count=1000)


@pytest.mark.parametrize("change", [-20, 0, 20])
@pytest.mark.parametrize("kind", ["llama", "t5", "gpt2"])
def test_b10_any_size_of_vocabulary_generates(kind, change, tmp_path):
    model, target, renewed = moved(kind, change)
    prompt = target("die katze singt", return_tensors="pt", add_special_tokens=False, return_token_type_ids=False)
    written = renewed.generate(**prompt, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert written.max() < len(target) and renewed.generation_config.eos_token_id == target.eos_token_id
    renewed.save_pretrained(tmp_path / "m")
    reloaded = type(model).from_pretrained(tmp_path / "m").eval()
    assert torch.equal(reloaded.generate(**prompt, max_new_tokens=4, min_new_tokens=4, do_sample=False), written)


@pytest.mark.parametrize("change", [-20, 0, 20])
@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_b10_any_size_of_vocabulary_fills_masks(kind, change, tmp_path):
    model, target, renewed = moved(kind, change)
    text = f"die {target.mask_token} singt"
    scores = filled(renewed, target, text)
    assert set(scores) == set(range(len(target)))
    renewed.save_pretrained(tmp_path / "m")
    assert filled(type(model).from_pretrained(tmp_path / "m").eval(), target, text) == pytest.approx(scores, rel=1e-4)


def filled(model, tokenizer, text):
    found = pipeline("fill-mask", model=model, tokenizer=tokenizer)(text, top_k=len(tokenizer))
    return {one["token"]: one["score"] for one in found}


def moved(kind, change):
    make, tokenizer_of = MODELS[kind]
    source = tokenizer_of(ENGLISH, SIZE)
    target = tokenizer_of(GERMAN, len(source) + change)
    torch.manual_seed(0)
    model = make(len(source)).eval()
    mixing, _ = make_mixing(source, target, Evidence(parallel=Parallel(source=("a",), target=("b",), name="x")))
    return model, target, with_mixed_vocabulary(model, target, mixing, source=source)


def test_b10_numbers_of_the_config_are_the_new_ones():
    source, target = byte_bpe(ENGLISH, SIZE), roberta_bpe(GERMAN, SIZE + 20)
    mixing, _ = make_mixing(source, target, Evidence())
    renewed = with_mixed_vocabulary(gpt2(SIZE), target, mixing, source=source)
    assert renewed.get_input_embeddings().num_embeddings == renewed.config.vocab_size == len(target)
    for place in (renewed.config, renewed.generation_config):
        assert (place.bos_token_id, place.pad_token_id, place.eos_token_id) == (0, 1, 2)


def test_b11_training_fills_every_row_whatever_the_cores(tmp_path):
    for number in range(3):
        found = tiny_fasttext(tmp_path / f"{number}.bin", GERMAN, width=10, buckets=50)
        assert np.isfinite(found.vectors(found.words)).all() and np.abs(found.vectors(found.words)).max() < 100
    with pytest.raises(PolygraftError, match="width 13"):
        tiny_fasttext(tmp_path / "w.bin", GERMAN, width=13)
