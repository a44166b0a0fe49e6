import json
import math
import shutil

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import video.vocabulary.storage
from backbone.errors import PolygraftError, UsageError
from tests.video.toy import KITCHEN, WIDTH, WORKSHOP, embed, toy_encoder, toy_narrations, toy_vocabulary
from video.vocabulary.narrations import NarrationRow, collect
from video.vocabulary.vectors import ScenePrior, TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary

TEXTS = sorted({*KITCHEN, *WORKSHOP, "sit down"})


@pytest.fixture
def folder(tmp_path):
    return toy_vocabulary().save_pretrained(tmp_path / "vocabulary")


# What there is


def test_the_levels_are_scenes_prefixes_and_postfixes():
    vocabulary = toy_vocabulary()
    assert vocabulary.counts == {"narrations": 10, "prefixes": 7, "postfixes": 3, "scenes": 2}
    assert [entry.text for entry in vocabulary.entries("scenes")] == ["cooking", "working with wood"]
    assert [entry.videos for entry in vocabulary.entries("scenes")] == [("k0", "k1"), ("w",)]
    assert [entry.text for entry in vocabulary.entries("postfixes")] == ["on the board", "with a knife", "with a saw"]
    assert sorted(entry.text for entry in vocabulary.entries("narrations")) == TEXTS
    pairs = [(entry.text, entry.prefix, entry.postfix) for entry in vocabulary.entries("narrations")]
    assert ("cut a plank with a saw", "cut a plank", "with a saw") in pairs


def test_a_narration_of_two_scenes_keeps_both_and_its_videos():
    entry = next(entry for entry in toy_vocabulary().entries("prefixes") if entry.text == "open the door")
    assert (entry.count, entry.videos) == (2, ("k1", "w"))
    assert entry.scenarios == ("cooking", "working with wood")


def test_rows_are_told_by_number():
    vocabulary = toy_vocabulary()
    assert [vocabulary.entry(row) for row in range(10)] == [*vocabulary.entries("narrations")]
    with pytest.raises(IndexError):
        vocabulary.entry(10)


def test_the_order_of_the_file_does_not_matter(tmp_path):
    rows = [NarrationRow(text, scenario=text[0]) for text in TEXTS]
    for name, ordered in (("a", rows), ("b", rows[::-1])):
        NarrationVocabulary.build(collect(ordered), encoder=toy_encoder()).save_pretrained(tmp_path / name)
    for file in ("narrations.jsonl", "vectors.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_vocabulary_of_nothing_is_refused():
    with pytest.raises(PolygraftError, match="no narration"):
        NarrationVocabulary.build(collect([NarrationRow("#C")]))


# Search


def test_a_narration_is_found_by_its_own_vector():
    found = toy_vocabulary().retrieve(embed(TEXTS) * 7, 2)
    assert [best.text for best, _ in found] == TEXTS
    assert all(best.score == pytest.approx(1, abs=1e-3) and second.score < best.score for best, second in found)


def test_vectors_are_told_by_number():
    vocabulary = toy_vocabulary()
    rows = [3, 0, 3]
    texts = [vocabulary.entry(row).text for row in rows]
    assert torch.equal(vocabulary.vectors(rows), toy_encoder().half(texts))


def test_search_is_exhaustive():
    vocabulary, queries = toy_vocabulary(), embed(["open a wall", "with a brush", "cooking wood"])
    texts = [entry.text for entry in vocabulary.entries("narrations")]
    scores = queries.double() @ embed(texts).half().double().T
    hits = vocabulary.search(queries, 2)
    assert torch.equal(hits.rows, scores.topk(2).indices)
    assert torch.allclose(hits.scores, scores.topk(2).values.float(), atol=1e-6)


def test_the_scene_is_a_prior():
    vocabulary, queries, about = toy_vocabulary(), embed(["cut a thing", "open the door"]), embed(["working wood"])
    prior = ScenePrior(weight=0.5, temperature=0.2)
    log_p = (about @ embed(["cooking", "working with wood"]).half().float().T / 0.2).log_softmax(dim=1)[0]
    hits = vocabulary.search(queries, 10, scene_queries=about, prior=prior)
    plain = vocabulary.search(queries, 10)
    for index in range(2):
        cosine = dict(zip(plain.rows[index].tolist(), plain.scores[index].tolist(), strict=True))
        for row, score in zip(hits.rows[index].tolist(), hits.scores[index].tolist(), strict=True):
            scenes = [["cooking", "working with wood"].index(s) for s in vocabulary.entry(row).scenarios]
            expected = max((float(log_p[scene]) for scene in scenes), default=math.log(1 / 2))
            assert score == pytest.approx(cosine[row] + 0.5 * expected, abs=1e-4)
    assert vocabulary.entry(int(hits.rows[0, 0])).text == "cut a plank"


def test_a_filter_leaves_out_what_belongs_to_other_scenes_only():
    found = toy_vocabulary().retrieve(embed(["cut"]), 20, scene_queries=embed(["cooking"]), prior=ScenePrior(keep=1))
    assert {narration.text for narration in found[0]} == {*KITCHEN, "sit down"}


def test_without_scenes_a_prior_changes_nothing():
    vocabulary = NarrationVocabulary.build(collect([NarrationRow("a b"), NarrationRow("c d")]), encoder=toy_encoder())
    found = vocabulary.search(embed(["a"]), 2, scene_queries=embed(["x"]))
    assert torch.equal(found.scores, vocabulary.search(embed(["a"]), 2).scores)


@pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"temperature": 0.0}, {"keep": -1}])
def test_a_prior_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ScenePrior(**wrong)


def test_queries_of_another_width_are_refused():
    with pytest.raises(PolygraftError, match="have width 32"):
        toy_vocabulary().search(torch.zeros(1, 8))


# Text encoders


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(2, 4), torch.full((1, 4), torch.nan), torch.ones(1, 4)])
def test_an_encoder_that_gives_no_rows_of_length_one_is_refused(bad):
    with pytest.raises(PolygraftError, match="the text encoder bad gives"):
        TextEncoder(lambda texts: bad, name="bad", digest="").half(["a"])


def test_a_text_that_is_there_twice_is_encoded_once():
    asked = []
    encoder = TextEncoder(lambda texts: (asked.extend(texts), embed(texts))[1], name="toy", digest="")
    rows = encoder.half(["a", "b", "a"])
    assert asked == ["a", "b"] and torch.equal(rows[0], rows[2])


# Folders


def test_a_folder_holds_all_there_is(folder):
    vocabulary, loaded = toy_vocabulary(), NarrationVocabulary.from_pretrained(folder)
    assert (loaded.counts, loaded.coding) == (vocabulary.counts, vocabulary.coding)
    assert loaded.text_encoder == toy_encoder().part
    for level in ("narrations", "postfixes", "scenes"):
        assert [*loaded.entries(level)] == [*vocabulary.entries(level)]
    queries = embed(["cut a plank on a board", "open"])
    for found in (vocabulary, loaded):
        hits = found.search(queries, 4, scene_queries=embed(["wood"]))
        assert torch.equal(hits.scores, vocabulary.search(queries, 4, scene_queries=embed(["wood"])).scores)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "narrations.jsonl", "vectors.safetensors"]


def test_a_copy_of_a_loaded_vocabulary_is_the_same_folder(folder, tmp_path):
    NarrationVocabulary.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    for file in folder.iterdir():
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1


def test_a_folder_from_when_narrations_could_be_coded_otherwise_is_read(folder):
    def former(content):
        content["coding"]["coding"] = "lossless"
        content["lost"] = 0

    rewrite(folder / "config.json", former)
    assert NarrationVocabulary.from_pretrained(folder).counts == toy_vocabulary().counts


def test_a_folder_with_contents_is_not_replaced(folder):
    with pytest.raises(PolygraftError, match="exists already"):
        toy_vocabulary().save_pretrained(folder)


def test_without_vectors_it_can_be_looked_at_and_not_searched(tmp_path):
    NarrationVocabulary.build(toy_narrations()).save_pretrained(tmp_path / "v")
    loaded = NarrationVocabulary.from_pretrained(tmp_path / "v")
    assert (loaded.size("narrations"), loaded.width, loaded.text_encoder) == (10, 0, None)
    assert not (tmp_path / "v" / "vectors.safetensors").exists()
    for ask in (lambda: loaded.search(torch.zeros(1, 4)), lambda: loaded.check_encoder(toy_encoder().part)):
        with pytest.raises(PolygraftError, match="build it without --no-vectors"):
            ask()


def rewrite(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def config(**changes):
    return lambda folder: rewrite(folder / "config.json", lambda content: content.update(changes))


def lines(change):
    def damage(folder):
        file = folder / "narrations.jsonl"
        file.write_text("".join(change(file.read_text().splitlines(keepends=True))))

    return damage


def tensors(change):
    def damage(folder):
        loaded = {name: tensor.clone() for name, tensor in load_file(folder / "vectors.safetensors").items()}
        save_file(change(loaded), folder / "vectors.safetensors")

    return damage


def with_value(value):
    def change(loaded):
        loaded["vectors"][4, 2] = value
        return loaded

    return tensors(change)


def cut(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def counts(**changes):
    def change(content):
        content["counts"].update(changes)

    return lambda folder: rewrite(folder / "config.json", change)


DAMAGES = {
    "gone": (shutil.rmtree, "there is no folder"),
    "no config": (
        lambda folder: (folder / "config.json").unlink(),
        "is no narration vocabulary: it has no config.json",
    ),
    "config is no json": (cut("config.json", 30), "config.json is damaged"),
    "a checkpoint": (config(kind="captioner"), "'captioner'"),
    "a later format": (config(format=2), "has format 2, but this version reads format 1"),
    "an unknown key": (config(colour="red"), "colour"),
    "a count below zero": (counts(scenes=-1), "a count is less than 0"),
    "a coding out of range": (
        lambda folder: rewrite(folder / "config.json", lambda content: content["coding"].update(min_share=0)),
        "min_share is 0",
    ),
    "a line less": (lines(lambda rows: rows[:-1]), "has 14 lines, but its config.json counts 15"),
    "a line more": (lines(lambda rows: [*rows, rows[0]]), "has 16 lines, but its config.json counts 15"),
    "lines cut off": (cut("narrations.jsonl", 200), "is truncated, its last line has no end"),
    "no lines": (cut("narrations.jsonl", 0), "has 0 lines"),
    "no file of lines": (lambda folder: (folder / "narrations.jsonl").unlink(), "narrations.jsonl cannot be read"),
    "a line of no json": (lines(lambda rows: ["{\n", *rows[1:]]), "narrations.jsonl, line 1 is damaged"),
    "a line of a list": (lines(lambda rows: ["[]\n", *rows[1:]]), "line 1 is damaged: it holds list"),
    "a line of other keys": (
        lines(lambda rows: ['{"texts": "a"}\n', *rows[1:]]),
        "line 1 has 'texts', which is not known",
    ),
    "a line of other types": (
        lines(lambda rows: ['{"text": "a", "kind": "prefix", "count": "1"}\n', *rows[1:]]),
        "line 1 is damaged: count is missing or of another type",
    ),
    "a line without kind": (lines(lambda rows: ['{"text": "a"}\n', *rows[1:]]), "line 1 is damaged: kind is missing"),
    "videos that are no names": (
        lines(lambda rows: ['{"text": "a", "kind": "prefix", "videos": [1]}\n', *rows[1:]]),
        "line 1 is damaged: videos are not all texts",
    ),
    "lines in another order": (lines(lambda rows: rows[::-1]), "line 1 is no prefix"),
    "vectors of fewer rows": (
        tensors(lambda loaded: loaded | {"vectors": loaded["vectors"][1:].clone()}),
        "does not fit narrations.jsonl: vectors is 14 x 32 float16, expected 15 x 32 float16",
    ),
    "vectors of another width": (config(width=16), "vectors is 15 x 32 float16, expected 15 x 16"),
    "vectors of another type": (
        tensors(lambda loaded: loaded | {"vectors": loaded["vectors"].float()}),
        "vectors is 15 x 32 float32",
    ),
    "vectors that are not there": (lambda folder: (folder / "vectors.safetensors").unlink(), "cannot be read"),
    "vectors cut off": (cut("vectors.safetensors", 500), "vectors.safetensors is truncated or damaged"),
    "vectors that are a pickle": (
        lambda folder: (folder / "vectors.safetensors").write_bytes(b"\x80\x04harmful..."),
        "is a pickle",
    ),
    "other tensors": (tensors(lambda loaded: {"rows": loaded["vectors"]}), "holds rows, expected are vectors"),
    "vectors of NaN": (with_value(torch.nan), "row 5 of the matrix holds NaN or infinity"),
    "vectors of infinity": (with_value(torch.inf), "row 5 of the matrix holds NaN or infinity"),
    "scenes that there are not": (
        tensors(lambda loaded: loaded | {"scenes": loaded["scenes"] + 2}),
        "puts narrations into scenes that there are not",
    ),
    "vectors of which nothing is known": (config(width=0, text_encoder=None), "of which its config.json knows nothing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_sentence(folder, damage):
    make, told = DAMAGES[damage]
    make(folder)
    with pytest.raises(PolygraftError) as caught:
        NarrationVocabulary.from_pretrained(folder)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_large_files_are_checked_where_they_are_used(folder, monkeypatch):
    monkeypatch.setattr(video.vocabulary.storage, "_SMALL_VECTORS", 0)
    monkeypatch.setattr(video.vocabulary.storage, "_FEW_LINES", 0)
    with_value(torch.nan)(folder)
    lines(lambda rows: [*rows[:3], "{\n", *rows[4:]])(folder)
    loaded = NarrationVocabulary.from_pretrained(folder)
    assert loaded.entry(2).text == "open the door"
    with pytest.raises(PolygraftError, match=r"narrations\.jsonl, line 4"):
        loaded.entry(3)
    with pytest.raises(PolygraftError, match="row 5 of the matrix"):
        loaded.search(embed(["open"]))


def test_opening_maps_the_vectors_and_leaves_the_lines_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(video.vocabulary.storage, "_SMALL_VECTORS", 0)
    monkeypatch.setattr(video.vocabulary.storage, "_FEW_LINES", 0)
    rows = [NarrationRow(f"open {index}", video=str(index % 50), scenario=str(index % 9)) for index in range(2_000)]
    spread = TextEncoder(lambda texts: F.one_hot(torch.arange(len(texts)) % WIDTH, WIDTH).float(), "spread", "0" * 64)
    NarrationVocabulary.build(collect(rows), encoder=spread).save_pretrained(tmp_path / "v")
    parsed = []
    monkeypatch.setattr("video.vocabulary.entries._parse", lambda line, *_: parsed.append(line))
    loaded = NarrationVocabulary.from_pretrained(tmp_path / "v")
    assert (loaded.size("narrations"), parsed) == (2_000, [])
    loaded.entry(1_999)
    assert len(parsed) == 1
