"""What a GPU must give as the CPU does; everything here is tested on the CPU elsewhere."""

import copy

import pytest
import torch

from backbone.feature_cache import FeatureCache
from backbone.generation.config import Decoding
from backbone.gpt2 import Backbone
from backbone.training.loop import TrainConfig, fit
from crosslingual.language_model.bits_per_byte import score_text
from crosslingual.language_model.packed_tokens import PackedTokens, pack
from crosslingual.language_model.train import Tuning, train_language_model
from crosslingual.tokenization.train import train_byte_bpe, untrained_gpt2
from multimodal.batches import gather
from multimodal.captioner import Captioner
from multimodal.data.posts import Post
from multimodal.profile.text_features import WordTable
from multimodal.training.train import train_captioner
from multimodal.users.contexts import ContextBuilder, pasts
from tests.backbone.tiny import tiny_backbone
from tests.backbone.tiny_clip import tiny_image_encoder
from tests.backbone.training.toy_training import toy, toy_rows
from tests.multimodal.tiny_captioner import TEXTS, reading_backbone, write_posts
from tests.multimodal.tiny_users import CONTEXTS, VARIANTS, random_rows, user_captioner

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

LINES = ["The owl and the cat went to sea.", "The cat sat on the mat, and the owl sat on the cat."]


def on_gpu(backbone: Backbone) -> Backbone:
    """Return a copy of a language model on the GPU."""
    return Backbone.from_parts(copy.deepcopy(backbone.model), backbone.tokenizer, name="tiny", device="cuda")


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(beams=3), Decoding(contrastive=0.6)])
def test_texts_are_those_of_the_cpu(decoding):
    here = tiny_backbone()
    prefix = torch.randn(3, 4, here.width, generator=torch.Generator().manual_seed(0))
    expected = here.generate(prefix, decoding)
    assert [[g.ids for g in row] for row in on_gpu(here).generate(prefix, decoding)] == [
        [g.ids for g in row] for row in expected
    ]


def test_features_are_those_of_the_cpu(images):
    encoder = tiny_image_encoder()
    expected = encoder.encode(images).pooled
    encoder.model.to("cuda")
    assert torch.allclose(encoder.encode(images).pooled.cpu(), expected, atol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("personal", [1.0, 1.5])
def test_captions_in_a_users_voice_are_those_of_the_cpu(tmp_path, variant, personal):
    here, rows = user_captioner(**VARIANTS[variant]), random_rows(4)
    here.save_pretrained(tmp_path / "folder")
    there = Captioner.from_pretrained(tmp_path / "folder", backbone=on_gpu(here.backbone), encoder=here.encoder)
    assert there.mapper.slots.nobody.is_cuda
    assert there.caption(rows, users=CONTEXTS, personal=personal) == here.caption(
        rows, users=CONTEXTS, personal=personal
    )
    texts = ["a red balloon", "the sea", "dogs run", "a cat"]
    assert there.score(rows, texts, CONTEXTS) == pytest.approx(here.score(rows, texts, CONTEXTS), rel=1e-3)


@pytest.mark.parametrize("kind", [{}, {"body": "full"}, {"body": "none"}], ids=str)
@torch.no_grad()
def test_narrators_look_for_what_they_look_for_on_the_cpu(tmp_path, kind):
    from tests.video.tiny_narrator import moved, parts, random_frames, tiny_narrator
    from video.narrator import Narrator

    here, frames = moved(tiny_narrator(**kind)), random_frames([3, 1, 5])
    here.save_pretrained(tmp_path / "folder")
    encoder, backbone = parts()
    there = Narrator.from_pretrained(tmp_path / "folder", backbone=on_gpu(backbone), encoder=encoder)
    expected, found = (one.query(one.batch(frames, ["now", "", "then"])) for one in (here, there))
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_lowers_the_loss_in_mixed_precision(optimizer):
    result = fit(toy().to("cuda"), toy_rows(), TrainConfig(steps=40, batch_size=8, lr=1e-2, optimizer=optimizer))
    assert result.losses[-1] < 0.8 * result.losses[0]


@pytest.mark.parametrize("background", [False, True])
def test_a_run_goes_on_where_it_was_stopped(tmp_path, background):
    def run(folder, steps):
        torch.manual_seed(0)
        config = TrainConfig(
            steps=steps,
            batch_size=8,
            lr=1e-3,
            schedule="constant",
            warmup=0.0,
            save_every=3,
            background_save=background,
        )
        return fit(toy().to("cuda"), toy_rows(), config, folder=folder).tensors

    run(tmp_path / "run", 7)
    resumed, whole = run(tmp_path / "run", 12), run(None, 12)
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-4, rtol=1e-3)  # sums of a GPU come in any order


def test_a_captioner_of_users_learns_its_posts(tmp_path):
    write_posts(tmp_path, 16)
    posts = [
        Post(image=tmp_path / f"{number:02}.png", text=text, user="ann", id=f"ann{number}")
        for number, text in enumerate(TEXTS[:16])
    ]
    encoder = user_captioner().encoder
    data = gather(posts, FeatureCache(tmp_path / "cache", encoder), report=print)
    pooled = data.features.take(data.rows).pooled
    table = WordTable.fit({"ann": data.texts})
    fresh = user_captioner(on_gpu(reading_backbone(TEXTS[:16])), table, max_tokens=16, width=32, copy=True)
    shown = ContextBuilder(past=pasts(data, encoder.digest), table=table, limits=fresh.limits).build(data)
    config = TrainConfig(steps=150, batch_size=16, lr=1e-2)
    trained = train_captioner(fresh, data, config, users=shown).captioner
    found = [row[0] for row in trained.caption(pooled, users=shown)]
    assert sum(a == b for a, b in zip(found, data.texts, strict=True)) > 12


@pytest.mark.parametrize("part", ["all", "embeddings", "lora"])
def test_a_language_model_learns_on_the_gpu(tmp_path, part):
    tokenizer = train_byte_bpe(LINES * 3, 300, context=32)
    torch.manual_seed(0)
    model = untrained_gpt2(tokenizer, context=32, width=16, layers=2, heads=2).to("cuda")
    rows = PackedTokens(pack(LINES * 6, tokenizer, tmp_path / "tokens.npy"), 16)
    before = score_text(model, tokenizer, LINES, context=32).bits_per_byte
    train_language_model(model, tokenizer, rows, TrainConfig(steps=12, batch_size=4, lr=2e-2), Tuning(train=part))
    assert score_text(model, tokenizer, LINES, context=32).bits_per_byte < before
