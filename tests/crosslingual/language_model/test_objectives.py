"""Training on documents of several languages: no look beyond a document, and a loss for each language."""

import pytest
import torch

from backbone.training.config import TrainConfig
from backbone.training.logger import read_log
from crosslingual.language_model.loader import IGNORED, count_tokens, mix_languages
from crosslingual.language_model.memory_plan import measure_sizes, plan_memory
from crosslingual.language_model.objectives import DocumentObjective, training_work
from crosslingual.language_model.token_shards import TokenShards
from crosslingual.language_model.train import choose, train_language_model
from crosslingual.options import AttentionOptions, MixtureOptions, Tuning
from crosslingual.tokenization.train import train_byte_bpe, untrained_gpt2
from tests.crosslingual.tiny_corpus import build, prose, source, write_jsonl

CONTEXT = 24


@pytest.fixture(scope="module")
def tokenizer():
    return train_byte_bpe(prose("en", 20) + prose("de", 20), 320, context=CONTEXT)


@pytest.fixture(scope="module")
def shards(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    write_jsonl(folder / "en.jsonl", prose("en", 12, words=20))
    write_jsonl(folder / "de.jsonl", prose("de", 4, words=20))
    listed = source("en", "en", "en.jsonl") + source("de", "de", "de.jsonl")
    corpus = build(folder, listed, tails=0.0, no_rules=True)
    return TokenShards.write(corpus, tokenizer, folder / "tokens")


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    return untrained_gpt2(tokenizer, context=CONTEXT, width=16, layers=2, heads=2)


def mixed(shards, budget=4000.0, **options):
    return mix_languages(shards, CONTEXT, budget, MixtureOptions(**options))


def test_rows_say_their_language_and_the_budget_is_kept(shards):
    rows = mixed(shards, mixture="unimax", max_passes=1000.0)
    read = rows.collate(range(len(rows)))
    tokens = (read.targets != IGNORED).sum(1)
    assert rows.languages == tuple(count_tokens(shards))
    for number in range(2):
        assert int(tokens[read.languages == number].sum()) == pytest.approx(2000, abs=2 * CONTEXT)


def test_the_loss_of_packed_rows_is_that_of_the_documents_one_by_one(model, shards):
    """The slow reference: every piece alone, its positions from 0."""
    rows = mixed(shards).collate(range(6))
    model.eval()
    loss, weight, sums = DocumentObjective(model, ["en", "de"])(rows)
    expected, tokens = 0.0, 0
    for inputs, targets, documents in zip(rows.inputs, rows.targets, rows.documents, strict=True):
        for number in range(int(documents.max()) + 1):
            piece = documents == number
            logits = model(inputs[piece][None], use_cache=False).logits[0]
            expected += torch.nn.functional.cross_entropy(logits, targets[piece], reduction="sum").item()
            tokens += int(piece.sum())
    assert weight == tokens == (rows.targets != IGNORED).sum()
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert sums.sum(0).tolist() == pytest.approx([expected, tokens], rel=1e-4)


def test_training_tells_the_loss_of_each_language_and_their_mean_is_the_loss(model, tokenizer, shards, tmp_path):
    config = TrainConfig(steps=8, batch_size=8, micro_batch=3, lr=1e-2, log_every=1)
    result = train_language_model(model, tokenizer, mixed(shards), config, folder=tmp_path)
    log = read_log(tmp_path / "log.jsonl")
    assert result.losses[-1] < result.losses[0]
    assert all(min(line["loss.en"], line["loss.de"]) <= line["loss"] + 1e-6 for line in log if "loss.de" in line)
    assert any("loss.de" in line for line in log)


@pytest.mark.parametrize("attention", ["alternating", "sliding"])
def test_sparse_attention_and_documents_go_together(model, tokenizer, shards, attention):
    config = TrainConfig(steps=4, batch_size=4, lr=1e-2)
    options = AttentionOptions(attention=attention, block=2, window=4, dense_tail=0.25)
    assert train_language_model(model, tokenizer, mixed(shards), config, attention=options).steps == 4


@pytest.mark.parametrize("attention", ["dense", "sliding"])
def test_low_rank_changes_learn_from_documents_language_by_language(model, tokenizer, shards, tmp_path, attention):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = TrainConfig(steps=20, batch_size=8, lr=1e-2, log_every=2)
    options = AttentionOptions(attention=attention, block=2, window=4)
    result = train_language_model(
        model, tokenizer, mixed(shards), config, Tuning(train="lora", rank=2), attention=options, folder=tmp_path
    )
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert "transformer.h.0.attn.c_attn.weight" in changed and "transformer.wpe.weight" not in changed
    assert result.losses[-1] < 0.9 * result.losses[0]
    assert any("loss.de" in line for line in read_log(tmp_path / "log.jsonl"))


# What it takes


def test_the_operations_of_a_gpt2_are_those_of_the_formula(model, tokenizer):
    layers, width, vocabulary = 2, 16, len(tokenizer)
    matrices = layers * 12 * width**2
    work = training_work(model, CONTEXT)
    assert work == 6 * (matrices + vocabulary * width) + 12 * layers * width * CONTEXT
    model.transformer.requires_grad_(False)  # the head is tied: all is frozen
    assert training_work(model, CONTEXT) == 4 * (matrices + vocabulary * width) + 12 * layers * width * CONTEXT


def kept_by(model, rows):
    """Return the bytes that a real forward pass keeps, beside weights."""
    seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held, total = [], 0

    def pack(tensor):
        nonlocal total
        if tensor.untyped_storage().data_ptr() not in seen:
            seen.add(tensor.untyped_storage().data_ptr())
            held.append(tensor)
            total += tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(rows[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")
    del loss
    return total + logits.numel() * 4


def test_what_is_planned_is_what_is_kept(model, tokenizer):
    def again():
        return untrained_gpt2(tokenizer, context=CONTEXT, width=16, layers=2, heads=2)

    sizes = measure_sizes(again, 3, CONTEXT, mixed=False, checkpointing=False)
    assert sizes.parameters == sum(parameter.numel() for parameter in model.parameters())
    kept = kept_by(model.train(), torch.randint(0, 300, (3, CONTEXT + 1)))
    assert sizes.activations == pytest.approx(kept, rel=0.05)  # attention may run by another kernel
    less = measure_sizes(again, 3, CONTEXT, mixed=False, checkpointing=True)
    assert less.activations < sizes.activations


def test_what_is_not_trained_has_no_gradient_and_no_state(tokenizer):
    def embeddings():
        model = untrained_gpt2(tokenizer, context=CONTEXT, width=16, layers=2, heads=2)
        choose(model, "embeddings")
        return model

    sizes = measure_sizes(embeddings, 1, CONTEXT, mixed=False, checkpointing=False)
    plan = plan_memory(sizes, TrainConfig(steps=1, optimizer="muon"), 1)
    assert sizes.trained == len(tokenizer) * 16 and sizes.hidden == 0
    assert (plan["weights"], plan["gradients"]) == (4 * sizes.parameters, 4 * sizes.trained)
    assert plan["optimizer"] == 2 * plan["gradients"]


def test_shards_hold_a_part_and_copies_all():
    def large():
        return untrained_gpt2(Vocabulary(), context=512, width=2048, layers=3, heads=16)

    sizes = measure_sizes(large, 1, 512, mixed=True, checkpointing=True)
    layer = 12 * 2048**2 + 13 * 2048
    assert sizes.parameters == (100_000 + 512) * 2048 + 3 * layer + 2 * 2048 and sizes.block == layer
    adamw = TrainConfig(steps=1)
    alone, copies = plan_memory(sizes, adamw, 1), plan_memory(sizes, adamw, 8)
    assert (alone["weights"], alone["gradients"], alone["optimizer"]) == tuple(n * sizes.parameters for n in (4, 4, 8))
    assert copies["weights"] == alone["weights"] and copies["gradients"] == 2 * alone["gradients"]
    shards = plan_memory(sizes, TrainConfig(steps=1, parallel="fsdp"), 8)
    assert shards["optimizer"] == pytest.approx(alone["optimizer"] / 8)
    assert shards["weights"] == pytest.approx(alone["weights"] / 8 + 4 * (sizes.outside + 2 * layer))
    assert plan_memory(sizes, TrainConfig(steps=1, optimizer="muon"), 1)["optimizer"] < alone["optimizer"]


class Vocabulary:
    bos_token_id = eos_token_id = 0

    def __len__(self):
        return 100_000
