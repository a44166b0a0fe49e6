"""A vocabulary alone on another model's body: whole again when it is loaded, and only on that body."""

import json

import pytest
import torch

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from backbone.hf.stored_models import HEADER, ROWS, save_vocabulary
from tests.backbone.tiny import tiny_model, tiny_tokenizer, with_vocabulary


@pytest.fixture
def base(tmp_path):
    """A model that is stored whole."""
    tiny = Backbone(tiny_model(), tiny_tokenizer(), name="tiny")
    tiny.save_pretrained(tmp_path / "base")
    return Backbone.from_pretrained(str(tmp_path / "base"), device="cpu")


@pytest.fixture
def renewed(base):
    rows = torch.randn(len(base.tokenizer) + 5, base.width, generator=torch.Generator().manual_seed(0)).half().float()
    return with_vocabulary(base, base.tokenizer, rows)


@pytest.fixture
def folder(base, renewed, tmp_path):
    place = tmp_path / "vocabulary"
    place.mkdir()
    save_vocabulary(place, renewed, base)
    return place


def test_a_vocabulary_on_its_body_is_the_model_again(base, renewed, folder):
    loaded = Backbone.from_pretrained(str(folder), device="cpu")
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(loaded.head(loaded.hidden(loaded.embed(ids))), renewed.head(renewed.hidden(renewed.embed(ids))))
    assert loaded.digest == renewed.digest and loaded.body_digest == base.body_digest
    assert loaded.kin == (base.digest,)
    assert loaded.tokenizer.get_vocab() == base.tokenizer.get_vocab()
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) < 3 * renewed.width * len(
        renewed.tokenizer
    )


def test_a_vocabulary_can_stand_on_a_vocabulary(folder, tmp_path):
    first = Backbone.from_pretrained(str(folder), device="cpu")
    again = with_vocabulary(first, first.tokenizer, torch.zeros(len(first.tokenizer), first.width))
    (tmp_path / "second").mkdir()
    save_vocabulary(tmp_path / "second", again, first)
    loaded = Backbone.from_pretrained(str(tmp_path / "second"), device="cpu")
    assert loaded.kin == (first.digest, *first.kin)


def test_another_body_is_refused(base, renewed, folder, tmp_path):
    base.model.transformer.h[0].ln_1.weight.data += 1
    other = Backbone(base.model, base.tokenizer, name="other")
    other.save_pretrained(tmp_path / "other")
    header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    (folder / HEADER).write_text(json.dumps({**header, "base": str(tmp_path / "other")}), encoding="utf-8")
    with pytest.raises(PolygraftError, match="another model of that name"):
        Backbone.from_pretrained(str(folder), device="cpu")
    with pytest.raises(PolygraftError, match="another body"):
        save_vocabulary(tmp_path, Backbone(renewed.model, base.tokenizer, name="x"), other_body(base))


def other_body(base):
    """A backbone whose body differs from that of ``base``, which shares its tensors."""
    fresh = tiny_model()
    fresh.transformer.h[0].ln_1.weight.data += 2
    return Backbone(fresh, base.tokenizer, name="fresh")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / ROWS).write_bytes(b"x" * 40), "truncated or damaged"),
        (lambda folder: (folder / ROWS).unlink(), "cannot be read"),
        (lambda folder: (folder / HEADER).write_text("{}", encoding="utf-8"), "lacks"),
        (lambda folder: (folder / "tokenizer.json").write_text("{", encoding="utf-8"), "tokenizer"),
        (lambda folder: rewrite(folder, base="/nowhere"), "stands on another model's body, but"),
        (lambda folder: rewrite(folder, format=9), "format 9"),
    ],
)
def test_what_is_damaged_or_missing_is_one_sentence(folder, spoil, said):
    spoil(folder)
    with pytest.raises(PolygraftError, match=said):
        Backbone.from_pretrained(str(folder), device="cpu")


def rewrite(folder, **changes):
    header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
    (folder / HEADER).write_text(json.dumps({**header, **changes}), encoding="utf-8")
