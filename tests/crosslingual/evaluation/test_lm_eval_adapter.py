"""What lm-evaluation-harness asks of a model, against one token at a time; the harness itself where it is installed."""

import json
import sys

import pytest
import torch

from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from crosslingual.evaluation.lm_eval_adapter import (
    continuation_scores,
    continued,
    harness_model,
    text_log_probabilities,
)

TEXT = "The cat sits on the mat and looks at the bird. Two dogs run along the beach."


@pytest.fixture(scope="module")
def backbone(tiny_backbone):
    return tiny_backbone()


@torch.no_grad()
def log_probability(backbone, ids, begin):
    logits = backbone.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[place - 1, ids[place]]) for place in range(begin, len(ids)))


def ids_of(backbone, text):
    return backbone.tokenizer(text)["input_ids"]


def test_continuations_are_scored_in_the_order_of_the_requests(backbone):
    pairs = [("The cat", " sits"), ("The dog", " sits"), ("The cat", " runs"), ("", "The cat"), ("The cat", " sits")]
    scores = continuation_scores(backbone, pairs, 60, 4)
    for (before, behind), score in zip(pairs, scores, strict=True):
        ids = [backbone.bos_id, *ids_of(backbone, before + behind)]
        expected = log_probability(backbone, ids, 1 + len(ids_of(backbone, before)))
        assert score.log_probability == pytest.approx(expected, abs=1e-4)
    assert scores[0] == scores[4]


@pytest.mark.parametrize("context", [60, 16, 5])
def test_long_texts_are_predicted_from_as_much_as_the_context_holds(backbone, context):
    ids = [backbone.bos_id, *ids_of(backbone, TEXT)]
    expected = 0.0
    for start in range(1, len(ids), context):
        stop = min(start + context, len(ids))
        first = max(0, stop - context - 1)
        expected += log_probability(backbone, ids[first:stop], start - first)
    found = text_log_probabilities(backbone, [TEXT, "", "A cat"], context, 4)
    assert found[0] == pytest.approx(expected, abs=1e-3)
    assert found[1] == 0
    assert found[2] == pytest.approx(
        log_probability(backbone, [backbone.bos_id, *ids_of(backbone, "A cat")], 1), abs=1e-4
    )


def test_generation_goes_on_to_the_first_stop(backbone):
    def go(**settings):
        return continued(backbone, "The cat", {"max_gen_toks": 12, **settings}, 60)

    embeds = backbone.embed(torch.tensor([[backbone.bos_id, *ids_of(backbone, "The cat")]]))
    [[whole]] = backbone.generate(embeds, Decoding(max_tokens=12))
    text = backbone.decode(whole.ids)
    assert go() == text and len(text) > 4
    assert go(until=[text[3], "not there"]) == text[: text.index(text[3])]
    assert go(until=text[2:4]) == text[: text.index(text[2:4])]
    assert go(do_sample=True, temperature=5.0, top_k=50) != text


def test_a_prompt_that_leaves_no_room_is_cut_from_the_left(backbone):
    ten = {"max_gen_toks": 10}
    assert continued(backbone, TEXT * 5, ten, 20) == continued(backbone, TEXT * 6, ten, 20)
    assert continued(backbone, TEXT * 5, ten, 20) != continued(backbone, TEXT * 6 + "!", ten, 20)


def test_more_text_than_the_context_holds_leaves_the_prompt_its_half(backbone):
    long = {"max_gen_toks": 1000}
    assert continued(backbone, TEXT, long, 20) == continued(backbone, TEXT, {"max_gen_toks": 10}, 20)


def test_without_the_harness_there_is_one_sentence(backbone, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    monkeypatch.setitem(sys.modules, "lm_eval.api.model", None)
    with pytest.raises(PolygraftError, match="polygraft\\[lm-eval\\]"):
        harness_model(backbone)


@pytest.mark.filterwarnings("ignore")  # of other people's code
def test_the_harness_runs_a_task_of_a_local_file(backbone, tmp_path, monkeypatch):
    lm_eval = pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    rows = [
        {"q": "The cat sits on the", "a": [" mat", " xyzzy"], "gold": 0},
        {"q": "Two", "a": [" q", " dogs"], "gold": 1},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task = {
        "task": "local", "dataset_path": "json", "dataset_kwargs": {"data_files": str(tmp_path / "rows.jsonl")},
        "test_split": "train", "output_type": "multiple_choice", "doc_to_text": "{{q}}", "doc_to_choice": "{{a}}",
        "doc_to_target": "{{gold}}", "target_delimiter": "", "metric_list": [{"metric": "acc"}],
    }  # fmt: skip
    # its own thousands of tasks take a minute to list
    manager = pytest.importorskip("lm_eval.tasks").TaskManager(include_defaults=False)
    found = lm_eval.simple_evaluate(
        model=harness_model(backbone), tasks=[task], task_manager=manager, bootstrap_iters=0
    )
    scores = continuation_scores(backbone, [(row["q"], one) for row in rows for one in row["a"]], 64, 4)
    sums = [score.log_probability for score in scores]
    right = [sums[0] > sums[1], sums[3] > sums[2]]
    assert found["results"]["local"]["acc,none"] == sum(right) / 2
