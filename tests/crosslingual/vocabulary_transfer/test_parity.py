"""The public packages `wechsel` 0.0.4 and `deepfocus` 1.0.1 on the same input, where they are installed."""

import numpy as np
import pytest
import torch

from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vectors.procrustes import align
from crosslingual.vectors.word_vectors import WordVectors
from crosslingual.vocabulary_transfer.methods import focus, own_vectors, token_texts
from crosslingual.vocabulary_transfer.mixing_matrix import ORIGINS
from crosslingual.vocabulary_transfer.overlap import overlap
from crosslingual.vocabulary_transfer.transfer import Evidence, TransferOptions, make_mixing
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, PAIRS, byte_bpe, random_rows, roberta_bpe
from tests.crosslingual.tiny_vectors import tiny_fasttext

# the packages leave files open and call what is deprecated
pytestmark = pytest.mark.filterwarnings("ignore")

TOKENIZERS = {"gpt2": byte_bpe, "roberta": roberta_bpe}
CASES = [
    ("gpt2", "ngrams", 10, 0.1, True, 3),
    ("gpt2", "ngrams", 1, 1.0, True, 5),
    ("gpt2", "words", 50, 0.1, True, 5),
    ("gpt2", "ngrams", 10, 0.1, False, 3),
    ("roberta", "ngrams", 50, 1.0, True, 3),
    ("roberta", "words", 10, 1.0, True, 3),
]


@pytest.fixture(scope="module")
def fasttexts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    return {
        (name, shortest): tiny_fasttext(folder / f"{name}{shortest}.bin", text, shortest=shortest, epochs=5, width=10)
        for name, text in (("en", ENGLISH), ("de", GERMAN))
        for shortest in (3, 5)
    }


def dictionary_file(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in PAIRS), encoding="utf-8")
    return path


def without_ties(info, target, count):
    """Rows whose neighbours at rank k and k + 1 differ: of equals the package takes any."""
    rows = []
    for piece, number in target.get_vocab().items():
        if piece in info.sources:
            similarities = np.array(info.sources[piece][2])
            rows += [number] * bool(similarities[count - 1] > similarities[count] + 1e-9)
    return np.array(sorted(rows))


def theirs(vectors_pair, path, source, target, rows, route, count, temperature, run=None):
    import wechsel

    public = wechsel.WECHSEL(
        *vectors_pair,
        align_strategy=None if path is None else "bilingual_dictionary",
        bilingual_dictionary=None if path is None else str(path),
    )
    made, info = public.apply(
        source, target, rows, use_subword_info=route == "ngrams", neighbors=count, temperature=temperature
    )
    # once more with a neighbour more, to see where ties are
    _, wider = public.apply(
        source, target, rows, use_subword_info=route == "ngrams", neighbors=count + 1, temperature=temperature
    )
    return made, info, without_ties(wider, target, count)


def compare(made, ours, mixing, info, untied, target):
    is_drawn = mixing.origins == ORIGINS.index("random")
    specials = mixing.origins == ORIGINS.index("special")
    assert np.abs(made - ours)[untied].max() <= 2e-5
    assert np.array_equal(made[is_drawn], ours[is_drawn])
    assert np.array_equal(made[specials], ours[specials])
    named = {piece for piece, number in target.get_vocab().items() if is_drawn[number]}
    assert named == set(info.not_found) - set(target.all_special_tokens)
    return len(untied), int(is_drawn.sum())


@pytest.mark.parametrize("padded", [0, 7])
@pytest.mark.parametrize(("kind", "route", "count", "temperature", "aligned", "shortest"), CASES)
def test_wechsel_gives_the_rows_of_the_public_package(
    tmp_path, fasttexts, kind, route, count, temperature, aligned, shortest, padded
):
    pytest.importorskip("wechsel")
    import fasttext

    source, target = TOKENIZERS[kind](ENGLISH, 420), TOKENIZERS[kind](GERMAN, 400)
    rows = random_rows(len(source) + padded)
    pair = fasttexts["en", shortest], fasttexts["de", shortest]
    public = [fasttext.load_model(vectors.name) for vectors in pair]
    path = dictionary_file(tmp_path) if aligned else None
    made, info, untied = theirs(public, path, source, target, rows, route, count, temperature)
    options = TransferOptions(init="wechsel", neighbors=count, temperature=temperature, route=route)
    evidence = Evidence(
        source_vectors=pair[0], target_vectors=pair[1], dictionary=Dictionary.open(path) if aligned else None
    )
    mixing, _ = make_mixing(source, target, evidence, options)
    compared, _ = compare(made, mixing.apply(rows), mixing, info, untied, target)
    assert compared > 60


def test_wechsel_gives_the_rows_of_the_public_package_for_word2vec(tmp_path):
    pytest.importorskip("wechsel")
    from gensim.models import Word2Vec

    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    models = [
        Word2Vec([line.split() for line in text * 5], vector_size=16, min_count=1, workers=1, seed=1)
        for text in (ENGLISH, GERMAN)
    ]
    path, rows = dictionary_file(tmp_path), random_rows(len(source))
    made, info, untied = theirs(models, path, source, target, rows, "words", 10, 0.1)
    pair = []
    for number, model in enumerate(models):
        file = tmp_path / f"{number}.npz"
        np.savez(
            file, words=np.array(model.wv.index_to_key), vectors=model.wv.vectors, counts=model.wv.expandos["count"]
        )
        pair.append(WordVectors.open(file))
    evidence = Evidence(source_vectors=pair[0], target_vectors=pair[1], dictionary=Dictionary.open(path))
    mixing, _ = make_mixing(source, target, evidence, TransferOptions(init="wechsel", route="words"))
    assert compare(made, mixing.apply(rows), mixing, info, untied, target)[0] > 60


def test_the_rotation_is_scipys():
    scipy = pytest.importorskip("scipy.linalg")
    from crosslingual.vectors.dictionary import Matches

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 50, 8)).astype(np.float32)
    every = np.arange(50)
    rotation = align(x, y, Matches(source=every, target=every)).rotation
    assert np.abs(rotation - scipy.orthogonal_procrustes(x, y)[0]).max() < 1e-6


def test_focus_gives_the_rows_of_the_public_package(tmp_path):
    pytest.importorskip("deepfocus")
    from deepfocus import FOCUS

    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    path = tmp_path / "tokens.bin"
    lines = list(token_texts(target, GERMAN))
    vectors = tiny_fasttext(path, lines, shortest=3, longest=6, epochs=5, min_count=1)
    rows = random_rows(len(source))
    made = FOCUS(
        target_tokenizer=target, source_tokenizer=source, source_embeddings=torch.from_numpy(rows),
        fasttext_model_path=str(path), exact_match_all=True, fuzzy_match_all=False, match_symbols=False,
        verbosity="silent",
    ).numpy()  # fmt: skip
    auxiliary = own_vectors(target, vectors)
    both = Vocabulary.of(source), Vocabulary.of(target)
    mixing = focus(*both, auxiliary)
    assert set(np.flatnonzero(mixing.origins == ORIGINS.index("identical"))) == set(overlap(*both))
    ours = mixing.matrix @ rows.astype(np.float64)
    assert mixing.known.sum() > 100 and (mixing.origins == ORIGINS.index("focus")).sum() > 20
    assert np.abs(made - ours)[mixing.known].max() < 1e-6
