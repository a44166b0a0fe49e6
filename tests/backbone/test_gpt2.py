import json

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertLMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.gpt2 import Backbone
from backbone.hf.stored_models import digest_of
from tests.backbone.tiny import END, predicted_logits, tiny_backbone, tiny_model, tiny_tokenizer, with_vocabulary

CAPTIONS = ["A cat sits on the mat.", "!!", "the sea is blue! " * 3]


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


@pytest.fixture(scope="module")
def prefix():
    return torch.randn(3, 4, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folder(tmp_path):
    tiny_backbone().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def tiny_llama():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=300, num_key_value_heads=2, max_position_embeddings=64, **sizes)
    return Backbone.from_parts(LlamaForCausalLM(config), tiny_tokenizer(), name="tiny-llama")


def fresh_digest(backbone):
    return digest_of(backbone.model, backbone.tokenizer)


# Tokens


def test_encoding_pads_masks_and_ends_every_text(backbone):
    tokens = backbone.encode([*CAPTIONS, ""], max_tokens=40)
    for ids, mask, text in zip(tokens.ids, tokens.mask, [*CAPTIONS, ""], strict=True):
        assert backbone.decode(ids[mask][:-1].tolist()) == text
        assert ids[mask][-1] == backbone.eos_id
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)


def test_a_text_that_is_cut_has_no_end(backbone):
    tokens = backbone.encode(["The cat looks at the sea"], max_tokens=3)
    assert tokens.ids.shape == (1, 3)
    assert backbone.eos_id not in tokens.ids
    assert backbone.encode(["The cat"], max_tokens=9, eos=False).ids[0, -1] != backbone.eos_id
    assert backbone.encode([], max_tokens=3).ids.shape == (0, 0)


def test_the_name_of_a_special_token_in_a_text_is_plain_text(backbone):
    tokens = backbone.encode([f"a {END} b"], max_tokens=40, eos=False)
    assert backbone.eos_id not in tokens.ids
    assert backbone.decode(tokens.ids[0].tolist()) == f"a {END} b"


def test_half_a_character_decodes_to_the_replacement_character(backbone):
    ids = backbone.encode(["é"], max_tokens=9, eos=False).ids[0].tolist()
    assert backbone.decode(ids) == "é"
    assert backbone.decode(ids[:1]) == "\ufffd"


def test_special_ids_come_from_the_tokenizer_then_the_model_then_the_end():
    tokenizer = tiny_tokenizer()
    assert (tiny_backbone().eos_id, tiny_backbone().bos_id, tiny_backbone().pad_id) == (299, 299, 299)
    tokenizer.pad_token = "!"
    assert Backbone.from_parts(tiny_model(), tokenizer, name="x").pad_id == 0
    bare = PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer().backend_tokenizer)
    model = tiny_model()
    with pytest.raises(PolygraftError, match="no end-of-text token"):
        Backbone.from_parts(model, bare, name="x")
    model.config.eos_token_id = [7, 8]
    assert Backbone.from_parts(model, bare, name="x").eos_id == 7


def test_a_tokenizer_larger_than_the_model_is_refused():
    with pytest.raises(PolygraftError, match="298.* 200"):
        Backbone.from_parts(tiny_model(200), tiny_tokenizer(), name="x")


# The loss


def test_the_loss_is_that_of_the_whole_model_with_shifted_labels(backbone, prefix):
    tokens = backbone.encode(CAPTIONS, max_tokens=20)
    loss, count = backbone.loss(prefix, tokens.ids, tokens.mask)
    labels = torch.cat([torch.full((3, 4), -100), tokens.ids.masked_fill(~tokens.mask, -100)], dim=1)
    logits = backbone.model(inputs_embeds=torch.cat([prefix, backbone.embed(tokens.ids)], dim=1)).logits
    expected = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    torch.testing.assert_close(loss, expected)
    assert int(count) == int(tokens.mask.sum())


def test_padding_changes_nothing(backbone, prefix):
    together = backbone.encode(CAPTIONS, max_tokens=20)
    together.ids[~together.mask] = 77
    loss, _ = backbone.loss(prefix, together.ids, together.mask)
    alone = [backbone.encode([text], max_tokens=20) for text in CAPTIONS]
    parts = [backbone.loss(prefix[i : i + 1], one.ids, one.mask)[0] for i, one in enumerate(alone)]
    torch.testing.assert_close(loss, torch.stack(parts).sum())


def test_token_0_counts_and_can_be_learnt(backbone):
    tokens = backbone.encode(["!"], max_tokens=2)
    assert tokens.ids.tolist() == [[0, backbone.eos_id]]
    prefix = torch.zeros(1, 4, 32, requires_grad=True)
    optimizer = torch.optim.Adam([prefix], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss, count = backbone.loss(prefix, tokens.ids, tokens.mask)
        loss.backward()
        optimizer.step()
    assert int(count) == 2
    assert backbone.generate(prefix, Decoding())[0][0].text == "!"


def test_the_backbone_is_frozen_and_the_gradient_flows_through_it():
    backbone = tiny_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    digest = fresh_digest(backbone)
    tokens = backbone.encode(CAPTIONS, max_tokens=20)
    prefix = torch.nn.Parameter(torch.randn(3, 4, 32))
    optimizer = torch.optim.AdamW([prefix], lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss, _ = backbone.loss(prefix, tokens.ids, tokens.mask)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert bool((prefix.grad != 0).any(dim=-1).all())
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.model.state_dict().items())
    assert fresh_digest(backbone) == digest == backbone.digest
    assert not any(p.requires_grad or p.grad is not None for p in backbone.model.parameters())
    assert not any(module.training for module in backbone.model.modules())


def test_logits_score_the_first_token_at_the_last_position_of_the_prefix(backbone, prefix):
    ids = backbone.encode(CAPTIONS, max_tokens=6).ids
    logits = predicted_logits(backbone, prefix, ids)
    assert logits.shape == (3, 6, 300)
    for length in range(6):
        alone = backbone.hidden(torch.cat([prefix, backbone.embed(ids[:, :length])], dim=1))[:, -1]
        torch.testing.assert_close(logits[:, length], backbone.head(alone))


@pytest.mark.parametrize("build", [tiny_backbone, tiny_llama])
def test_padding_of_the_prefix_changes_nothing(build, prefix):
    backbone = build()
    tokens = backbone.encode(CAPTIONS, max_tokens=6)
    for left, right in ((2, 0), (0, 2), (1, 1)):
        padded = torch.nn.functional.pad(prefix, (0, 0, left, right), value=5.0)
        mask = torch.nn.functional.pad(torch.ones(3, 4, dtype=torch.bool), (left, right))
        found = predicted_logits(backbone, padded, tokens.ids, prefix_mask=mask)
        torch.testing.assert_close(found, predicted_logits(backbone, prefix, tokens.ids))
        hidden = backbone.hidden(padded, mask)[:, left : left + 4]
        torch.testing.assert_close(hidden, backbone.hidden(prefix))


def test_more_than_the_context_is_one_sentence(backbone, prefix):
    ids = torch.zeros(3, 62, dtype=torch.int64)
    predicted_logits(backbone, prefix, ids[:, :61])
    with pytest.raises(PolygraftError, match="4 .* 62 .* 64"):
        predicted_logits(backbone, prefix, ids)
    with pytest.raises(PolygraftError, match="do not fit"):
        backbone.generate(prefix, Decoding(max_tokens=62))


def test_the_embedding_norm_is_the_mean_row_norm(backbone):
    rows = backbone.embed(torch.arange(300))
    assert backbone.embedding_norm == pytest.approx(float(rows.norm(dim=1).mean()))


# Other architectures


@pytest.mark.parametrize(
    "decoding",
    [Decoding(), Decoding(temperature=1.0), Decoding(beams=3), Decoding(contrastive=0.5)],
    ids=lambda decoding: decoding.method,
)
def test_a_llama_serves_as_backbone(prefix, decoding):
    backbone = tiny_llama()
    tokens = backbone.encode(CAPTIONS, max_tokens=6)
    learnt = prefix.clone().requires_grad_()
    backbone.loss(learnt, tokens.ids, tokens.mask)[0].backward()
    assert learnt.grad is not None
    mask = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]], dtype=torch.bool)
    together = backbone.generate(prefix, decoding, prefix_mask=mask)
    alone = [backbone.generate(row[None, real], decoding)[0] for row, real in zip(prefix, mask, strict=True)]
    assert [row[0].ids for row in together] == [row[0].ids for row in alone]


def test_a_model_that_is_not_causal_is_refused(tmp_path):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertLMHeadModel(BertConfig(vocab_size=300, **sizes)).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(PolygraftError, match="cannot be a backbone"):
        Backbone.from_pretrained(str(tmp_path), device="cpu")


# Another vocabulary


@pytest.mark.parametrize("tied", [True, False])
def test_another_vocabulary_on_the_same_body(tmp_path, prefix, tied):
    backbone = tiny_backbone(tie_word_embeddings=tied)
    before = predicted_logits(backbone, prefix, torch.zeros(3, 5, dtype=torch.int64))
    tokenizer = tiny_tokenizer("le chat regarde la mer et le chien " * 9, size=280)
    matrix, head = torch.randn(280, 32), None if tied else torch.randn(280, 32)
    other = with_vocabulary(backbone, tokenizer, matrix, head=head)
    assert (other.vocabulary_size, other.eos_id, other.bos_id, other.pad_id) == (280, 279, 279, 279)
    assert other.model.config.vocab_size == 280
    ids = torch.tensor([[0, 100, 279]] * 3)
    assert torch.equal(other.embed(ids), matrix[ids])
    states = other.hidden(prefix)
    assert torch.equal(states, backbone.hidden(prefix))
    torch.testing.assert_close(other.head(states), states @ (matrix if head is None else head).T)
    shared = {p.data_ptr() for p in backbone.model.parameters()} & {p.data_ptr() for p in other.model.parameters()}
    embeddings = 1 if tied else 2
    assert len(shared) == len(list(backbone.model.parameters())) - embeddings
    # the first is as it was
    assert torch.equal(predicted_logits(backbone, prefix, torch.zeros(3, 5, dtype=torch.int64)), before)
    assert (backbone.vocabulary_size, backbone.model.config.vocab_size, backbone.eos_id) == (300, 300, 299)
    assert backbone.digest == fresh_digest(backbone) != other.digest
    other.save_pretrained(tmp_path / "other")
    same_after_loading(other, tmp_path / "other", prefix)


def test_a_tied_model_may_be_given_a_head_of_its_own(tmp_path, prefix, backbone):
    matrix, head = torch.randn(280, 32), torch.randn(280, 32)
    other = with_vocabulary(backbone, tiny_tokenizer(size=280), matrix, head=head)
    assert torch.equal(other.model.get_output_embeddings().weight, head)
    other.save_pretrained(tmp_path / "other")
    same_after_loading(other, tmp_path / "other", prefix)


def test_a_vocabulary_larger_than_the_matrix_is_refused(backbone):
    with pytest.raises(PolygraftError, match="the model knows 200"):
        with_vocabulary(backbone, tiny_tokenizer(size=280), torch.randn(200, 32))


# The disk


def same_after_loading(backbone, folder, prefix, **options):
    loaded = Backbone.from_pretrained(str(folder), device="cpu", **options)
    ids = torch.tensor([[0, 100, 279]] * 3)
    torch.testing.assert_close(
        predicted_logits(loaded, prefix, ids), predicted_logits(backbone, prefix, ids), rtol=0, atol=0
    )
    assert loaded.digest == backbone.digest
    assert loaded.tokenizer.get_vocab() == backbone.tokenizer.get_vocab()
    assert loaded.encode(CAPTIONS, max_tokens=30).ids.tolist() == backbone.encode(CAPTIONS, max_tokens=30).ids.tolist()


@pytest.mark.parametrize("build", [tiny_backbone, tiny_llama])
def test_a_saved_model_loads_to_equal_logits_and_digest(tmp_path, prefix, build):
    build().save_pretrained(tmp_path / "model")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in (tmp_path / "model").iterdir()}
    same_after_loading(build(), tmp_path / "model", prefix)


def test_half_precision_files_are_held_in_float32_on_the_cpu_and_have_one_digest(tmp_path):
    half = Backbone.from_parts(tiny_model().half(), tiny_tokenizer(), name="half")
    half.save_pretrained(tmp_path / "half")
    loaded = Backbone.from_pretrained(str(tmp_path / "half"), device="cpu")
    assert loaded.dtype is torch.float32
    loaded.save_pretrained(tmp_path / "single")
    single = Backbone.from_pretrained(str(tmp_path / "single"), device="cpu")
    rounded = Backbone.from_pretrained(str(tmp_path / "single"), device="cpu", dtype="bfloat16")
    assert rounded.dtype is torch.bfloat16
    assert half.digest == loaded.digest == single.digest == rounded.digest == tiny_backbone().digest


def test_the_digest_tells_weights_vocabularies_and_heads_apart():
    one = tiny_backbone()
    other_words = Backbone.from_parts(tiny_model(), tiny_tokenizer("zebra quagga " * 30), name="tiny")
    digests = {one.digest, tiny_backbone(seed=1).digest, tiny_backbone(n_head=2).digest, other_words.digest}
    assert len(digests) == 4
    assert tiny_backbone().digest == one.digest


def test_what_a_model_says_about_generation_is_not_listened_to(folder, prefix):
    settings = {"do_sample": True, "temperature": 9.0, "max_new_tokens": 1, "eos_token_id": 5, "num_beams": 3}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    loaded = Backbone.from_pretrained(str(folder), device="cpu")
    assert loaded.generate(prefix, Decoding()) == tiny_backbone().generate(prefix, Decoding())


def test_a_folder_that_holds_something_is_not_written_into(folder, backbone):
    with pytest.raises(PolygraftError, match="exists already"):
        backbone.save_pretrained(folder)


def truncate(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def pickle_instead(folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def fewer_layers_on_disk(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 3}))


def unknown_kind(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "no such kind"}))


def other_tokenizer(folder):
    tiny_tokenizer(size=330).save_pretrained(folder)


def tokenizer_missing(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncate, "model.safetensors is truncated or damaged"),
        (pickle_instead, "only as a pickle"),
        (fewer_layers_on_disk, "lacks weights that its config.json asks for: transformer.h.2"),
        (unknown_kind, "cannot be loaded as a language model"),
        (other_tokenizer, "do not belong together"),
        (tokenizer_missing, "has no tokenizer"),
        (lambda folder: (folder / "config.json").unlink(), "it has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be loaded as a language model"),
        (lambda folder: (folder / "model.safetensors").unlink(), "its weights are missing"),
    ],
)
def test_a_damaged_folder_is_one_sentence(folder, damage, sentence):
    damage(folder)
    with pytest.raises(PolygraftError, match=sentence) as raised:
        Backbone.from_pretrained(str(folder), device="cpu")
    assert "\n" not in str(raised.value)


def test_a_model_that_is_nowhere_is_one_sentence(tmp_path):
    with pytest.raises(PolygraftError, match="there is no model folder"):
        Backbone.from_pretrained(str(tmp_path / "nothing"))
    (tmp_path / "file").touch()
    with pytest.raises(PolygraftError, match="is a file"):
        Backbone.from_pretrained(str(tmp_path / "file"))
    with pytest.raises(PolygraftError, match="`starter`"):
        Backbone.from_pretrained("someone/some-model")


def test_starter_is_the_model_in_the_starters_folder(tmp_path, monkeypatch, prefix):
    monkeypatch.setenv("POLYGRAFT_STARTER", str(tmp_path))
    tiny_backbone().save_pretrained(tmp_path / "gpt2")
    loaded = Backbone.from_pretrained(device="cpu")
    assert loaded.name == "starter"
    assert loaded.generate(prefix, Decoding()) == tiny_backbone().generate(prefix, Decoding())
