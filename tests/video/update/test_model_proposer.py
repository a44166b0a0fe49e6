import pytest
import torch
from PIL import Image

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from tests.backbone.tiny_describer import write_captioner, write_chat_model
from video.update.proposers import ModelProposer

RED = Image.new("RGB", (40, 30), "red")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("describers")
    return {"captioner": write_captioner(root / "captioner"), "chat": write_chat_model(root / "chat")}


@pytest.mark.parametrize(("name", "chats"), [("captioner", False), ("chat", True)])
def test_a_model_describes_a_image_the_same_way_every_time(folders, name, chats):
    describer = ModelProposer(folders[name], device="cpu")
    answer = describer.describe(RED, "What is this?")
    assert (describer.chats, type(answer)) == (chats, str)
    assert describer.describe(RED, "What is this?") == answer
    assert "What is this" not in answer


def test_only_a_chat_model_hears_the_question(folders):
    for name, chats in (("captioner", False), ("chat", True)):
        describer = ModelProposer(folders[name], device="cpu")
        answers = {describer.describe(RED, question) for question in ("a dog", "a cat on a red roof", "")}
        assert (len(answers) > 1) == chats


def test_the_model_is_frozen_and_the_global_generator_is_left_alone(folders):
    describer = ModelProposer(folders["captioner"], device="cpu")
    torch.manual_seed(3)
    describer.describe(RED)
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    assert not any(parameter.requires_grad for parameter in describer._model.parameters())


def test_what_is_no_such_model_is_one_sentence(folders, tmp_path, tiny_backbone):
    tiny_backbone().save_pretrained(tmp_path / "gpt2")
    for name, told in (
        (tmp_path / "gpt2", "cannot be loaded as a model that describes images"),
        ("a/b/c", "no model folder"),
    ):
        with pytest.raises(PolygraftError, match=told) as caught:
            ModelProposer(name, device="cpu")
        assert "\n" not in str(caught.value)
    with pytest.raises(PolygraftError, match="language model"):
        Backbone.from_pretrained(folders["captioner"], device="cpu")
