"""Training: a planted task is learned, what is frozen stays, and an interrupted run ends as an unbroken one."""

import math

import pytest
import torch

from backbone.training.logger import read_log
from backbone.training.loop import TrainConfig, fit
from tests.video.tiny_narrator import TEXTS, clip_set, moved, parts, planted_set, tiny_narrator
from video.metrics import ranks, recall
from video.narrator import Narrator
from video.training.train import NarrationBatches, NarrationObjective, NarrationValidation, describe, train_narrator

CHANCE = 1 / len(TEXTS)


@pytest.fixture(scope="module")
def data():
    return planted_set(copies=3)


@pytest.fixture(scope="module")
def held():
    return planted_set(seed=7)


def config(**changes):
    return TrainConfig(**({"steps": 60, "batch_size": 36, "lr": 1e-2} | changes))


def asked_set(*, copies, seed):
    """Clips of twelve videos, each asked what is now and what comes next: the same frames, two answers."""
    base = planted_set(copies=copies, seed=seed, rotate=False)
    frames, texts, questions = [], [], []
    for at in range(len(base)):
        if (own := at % len(TEXTS)) < 12:
            frames += [base.frames(at)] * 2
            texts += [TEXTS[own], TEXTS[(own + 1) % 12]]
            questions += ["now", "next"]
    return clip_set(frames, texts, questions)


# What is learned


@pytest.mark.parametrize(
    "changes",
    [{}, {"body": "frozen"}, {"body": "full"}, {"body": "none"}, {"loss": "batch"}, {"learn_temperature": False}],
    ids=str,
)
def test_a_planted_turn_is_learned_by_every_body(data, held, changes):
    narrator = tiny_narrator(**changes)
    before = NarrationValidation(narrator, held)()
    trained = train_narrator(narrator, data, config(), validation=held)
    assert before["recall_1"] < 3 * CHANCE
    assert trained.result.metrics["recall_1"] > 12 * CHANCE
    assert trained.result.metrics["recall_5"] > trained.result.metrics["recall_1"]
    assert trained.result.losses[-1] < 0.3 * trained.result.losses[0]
    # the narrator that is handed back is the one that was measured
    batch = NarrationBatches(held, narrator).collate(range(36))
    with torch.no_grad():
        found = ranks(trained.narrator.query(batch.clips), parts()[0].encode_text(TEXTS), [[row] for row in range(36)])
    assert recall(found, 1) == pytest.approx(trained.result.metrics["recall_1"], abs=1.5 * CHANCE)


def test_the_question_is_understood_where_there_is_a_language_model():
    data, held = asked_set(copies=3, seed=0), asked_set(copies=1, seed=7)
    found = {}
    for body in ("full", "none"):
        narrator = tiny_narrator(body=body, max_question=30)
        found[body] = train_narrator(narrator, data, config(steps=120), validation=held).result.metrics["recall_1"]
    assert found["full"] > 0.75
    assert found["none"] <= 0.5


@pytest.mark.parametrize("body", ["frozen", "low-rank", "full"])
def test_the_generative_baseline_learns_to_write(data, held, body):
    narrator = tiny_narrator(answer="generate", body=body)
    before = NarrationValidation(narrator, held)()
    trained = train_narrator(narrator, data, config(steps=30), validation=held)
    assert set(before) == {"loss", "score"} and before["score"] == -before["loss"]
    assert trained.result.metrics["loss"] < before["loss"] - 0.2
    batch = NarrationBatches(held, narrator).collate([0, 1])
    assert all(row[0].ids for row in trained.narrator.generate(batch.clips))


# What stays


@pytest.mark.parametrize("changes", [{}, {"body": "full"}, {"answer": "generate"}, {"body": "none"}], ids=str)
def test_training_changes_no_bit_of_what_is_frozen(data, changes):
    encoder, backbone = parts()
    frozen = [p for module in (backbone.model, encoder.model) for p in module.parameters()]
    before = [p.clone() for p in frozen]
    narrator = tiny_narrator(**changes)
    first = {name: p.detach().clone() for name, p in narrator.projection.named_parameters()}
    train_narrator(narrator, data, config(steps=4, lr=1e-3))
    assert all(torch.equal(old, new) and new.grad is None for old, new in zip(before, frozen, strict=True))
    assert all(not torch.equal(first[name], p) for name, p in narrator.projection.named_parameters())


def test_the_objective_holds_the_projection_alone(data):
    narrator = tiny_narrator(body="full")
    objective = NarrationObjective(narrator, NarrationBatches(data, narrator).vectors())
    assert {name.split(".")[0] for name in objective.state_dict()} == {"projection"}
    assert objective.health() == {}
    objective(NarrationBatches(data, narrator).collate([0, 1]))
    assert objective.health()["temperature"] == pytest.approx(0.05)


# Interruptions


@pytest.mark.parametrize("changes", [{}, {"body": "full", "adapter_layers": 1}, {"answer": "generate"}], ids=str)
def test_an_interrupted_run_ends_bit_identical(tmp_path, data, held, changes):
    def interrupted():
        raise RuntimeError("pulled the plug")

    told = {"steps": 8, "save_every": 3, "batch_size": 8, "log_every": 1}
    narrator = tiny_narrator(**changes)
    batches = NarrationBatches(data, narrator)
    with pytest.raises(RuntimeError):
        fit(
            NarrationObjective(narrator, batches.vectors()), batches, config(**told, eval_every=5),
            folder=tmp_path / "run", evaluate=interrupted,
        )  # fmt: skip
    resumed = train_narrator(
        tiny_narrator(seed=9, **changes), data, config(**told), validation=held, folder=tmp_path / "run"
    )
    whole = train_narrator(tiny_narrator(**changes), data, config(**told), validation=held)
    assert len(resumed.result.losses) == 5
    one, other = (each.narrator.projection.state_dict() for each in (resumed, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.result.metrics == whole.result.metrics


# Batches


def test_batches_are_a_function_of_their_indices(data):
    narrator = tiny_narrator()
    one, other = (NarrationBatches(data, narrator).collate([5, 40, 5]) for _ in range(2))
    assert torch.equal(one.clips.frames, other.clips.frames)
    assert one.rows.tolist() == [5, 4, 5]
    assert one.ids.shape == (3, 0)
    assert one.clips.mask.sum(dim=1).tolist() == [len(data.frames(at)) for at in (5, 40, 5)]
    torch.testing.assert_close(one.clips.frames[1][one.clips.mask[1]], data.frames(40))


def test_narrations_that_are_written_end_with_the_end_of_text(data):
    narrator = tiny_narrator(answer="generate", max_tokens=20)
    batch = NarrationBatches(data, narrator).collate([0, 11])
    decode = narrator.backbone.decode
    texts = [decode(ids[mask][:-1].tolist()) for ids, mask in zip(batch.ids, batch.mask, strict=True)]
    assert texts == [TEXTS[0], TEXTS[11]]
    assert all(ids[mask][-1] == narrator.backbone.eos_id for ids, mask in zip(batch.ids, batch.mask, strict=True))


def test_a_digest_names_what_is_learned(data):
    first = NarrationBatches(data, tiny_narrator()).digest
    assert NarrationBatches(data, tiny_narrator(body="none")).digest == first
    others = [
        NarrationBatches(data.take(range(100)), tiny_narrator()),
        NarrationBatches(data, tiny_narrator(max_frames=3)),
        NarrationBatches(data, tiny_narrator(answer="generate")),
        NarrationBatches(data, tiny_narrator(answer="generate", max_tokens=3)),
    ]
    assert len({first, *(each.digest for each in others)}) == 5


# Validation


def test_the_validation_loss_is_the_entropy_among_the_distinct_texts(held, monkeypatch):
    monkeypatch.setattr("video.training.train._AT_ONCE", 2)
    data = held.take([0, 1, 2, 0, 35])
    narrator = moved(tiny_narrator())
    found = NarrationValidation(narrator, data)()
    batches = NarrationBatches(data, narrator)
    assert batches.texts == (TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[35])
    queries = narrator.query(batches.collate(range(5)).clips).detach()
    logits = (queries @ batches.vectors().float().T * narrator.projection.scale).tolist()
    losses = [math.log(sum(map(math.exp, row))) - row[at] for row, at in zip(logits, [0, 1, 2, 0, 3], strict=True)]
    assert found["loss"] == pytest.approx(sum(losses) / 5, rel=1e-4)
    assert found["score"] == pytest.approx(found["recall_1"] - 1e-4 * found["loss"])
    assert found["recall_5"] == 1.0


def test_the_weights_with_the_best_score_are_kept(data, held, tmp_path):
    trained = train_narrator(tiny_narrator(), data, config(steps=20, eval_every=4), validation=held, folder=tmp_path)
    scores = [line["score"] for line in read_log(tmp_path / "log.jsonl") if "score" in line]
    assert len(scores) == 5
    assert trained.result.metrics["score"] == max(scores) > scores[0]


# The card, and training on


def test_a_card_tells_data_body_and_figures(data, held):
    trained = train_narrator(tiny_narrator(), data, config(steps=2), validation=held)
    card = describe(trained, title="kitchen", source="clips.jsonl").render("narrator", {}, "")
    assert (
        "108 clips of 108 videos with 36 narrations, from `clips.jsonl`; 36 clips of other videos were held out" in card
    )
    assert "a frozen language model with changes of a low rank" in card
    assert "| recall_1 |" in card and "score" not in card
    bare = describe(train_narrator(tiny_narrator(answer="generate"), data, config(steps=1)), title="t", source="s")
    assert "nothing was held out" in bare.metrics and "writes the narration word by word" in bare.summary


def test_a_trained_narrator_is_saved_loaded_and_trained_on(data, held, tmp_path):
    trained = train_narrator(tiny_narrator(learn_temperature=False), data, config(steps=30), validation=held)
    trained.narrator.save_pretrained(tmp_path / "folder")
    encoder, backbone = parts()
    loaded = Narrator.from_pretrained(tmp_path / "folder", backbone=backbone, encoder=encoder)
    assert NarrationValidation(loaded, held)()["recall_1"] == trained.result.metrics["recall_1"]
    again = train_narrator(loaded, data, config(steps=30, lr=3e-3), validation=held)
    assert again.result.metrics["loss"] < trained.result.metrics["loss"]
