"""The captioner that knows users: what is trained, what comes back from a folder, and whose voice it speaks in."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from backbone.errors import PolygraftError
from backbone.feature_cache import FeatureCache
from backbone.training.loop import TrainConfig, fit
from backbone.training.optim import build_optimizers
from multimodal.batches import CaptionBatches, gather
from multimodal.captioner import Captioner
from multimodal.config import CaptionerConfig
from multimodal.data.posts import Post
from multimodal.profile.profile import NOBODY, Context, PastCaption, Profile
from multimodal.profile.tensors import UserTensors, word_vectors
from multimodal.profile.text_features import WordTable
from multimodal.training.train import CaptionObjective, describe, train_captioner
from multimodal.training.validation import CaptionValidation
from multimodal.users.contexts import ContextBuilder, pasts
from multimodal.users.neighbors import Community
from tests.multimodal.tiny_captioner import TEXTS, reading_backbone, tiny_captioner, write_posts
from tests.multimodal.tiny_users import CONTEXTS, VARIANTS, random_rows, user_captioner

SAYINGS = TEXTS[:16]
VOICES = {"ann": "{}!", "bob": "{} and me"}
"""Two users with one view of the world and a way of their own to end a text."""
TRAINED = {"copy": True, "user_dropout": 0.2}


def said(user, text):
    return VOICES[user].format(text.removesuffix("!"))


BOTH = tuple(said(user, text) for user in VOICES for text in SAYINGS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return 16 images, each with a caption of either user."""
    folder = tmp_path_factory.mktemp("posts")
    write_posts(folder, 16)
    posts = [
        Post(image=folder / f"{number:02}.png", text=said(user, text), user=user, id=f"{user}{number}")
        for user in VOICES
        for number, text in enumerate(SAYINGS)
    ]
    return gather(posts, FeatureCache(folder / "cache", user_captioner().encoder), report=print)


@pytest.fixture(scope="module")
def table(data):
    return WordTable.fit({user: [p.text for p in data.posts if p.user == user] for user in VOICES})


@pytest.fixture(scope="module")
def past(data):
    return pasts(data, user_captioner().encoder.digest)


def fresh(table, **changes):
    return user_captioner(reading_backbone(BOTH), table, **{"max_tokens": 16} | changes)


@pytest.fixture(scope="module")
def shown(data, past, table):
    return ContextBuilder(past=past, table=table, limits=fresh(table).limits).build(data)


@pytest.fixture(scope="module")
def trained(data, shown, table):
    captioner = fresh(table, width=32, copy=True, user_dropout=0.1)
    return train_captioner(captioner, data, TrainConfig(steps=150, batch_size=32, lr=1e-2), users=shown).captioner


def pooled(data):
    return data.features.take(data.rows).pooled


def batches(captioner, data, users, past_tokens=None):
    tensors = UserTensors(users, captioner.backbone, past_tokens or captioner.config.past_tokens)
    return CaptionBatches(data, captioner.backbone, 16, tensors)


# Whose voice


def test_32_pairs_are_learned_by_heart(trained, data, shown):
    found = [row[0] for row in trained.caption(pooled(data), users=shown)]
    right = sum(a == b for a, b in zip(found, data.texts, strict=True))
    assert right > 0.95 * 32


def test_another_user_gives_the_same_image_another_ending(trained, data, shown):
    swapped = [*shown[16:], *shown[:16]]
    found = [row[0] for row in trained.caption(pooled(data), users=swapped)]
    assert sum(text.endswith(" and me") for text in found[:16]) > 14
    assert sum(text.endswith("!") for text in found[16:]) > 14
    assert sum(a == said("bob", b) for a, b in zip(found[:16], SAYINGS, strict=True)) > 12


def test_a_profile_alone_gives_the_voice(trained, data, past):
    images = pooled(data)[:16]
    for user, ending in (("ann", "!"), ("bob", " and me")):
        profile = replace(past[user], user="new")
        assert sum(row[0].endswith(ending) for row in trained.caption(images, users=profile)) > 14


def test_the_authors_text_is_likelier_for_the_author(trained, data, shown):
    own, others = (trained.score(pooled(data), data.texts, users) for users in (shown, [*shown[16:], *shown[:16]]))
    assert sum(true > false for true, false in zip(own, others, strict=True)) > 30
    foreign = [*data.texts[16:], *data.texts[:16]]
    assert sum(a > b for a, b in zip(own, trained.score(pooled(data), foreign, shown), strict=True)) > 30


def test_nobodys_voice_is_not_the_users(trained, data, shown):
    def share(strength):
        rows = trained.caption(pooled(data)[16:], users=shown[16:], personal=strength)
        return sum(row[0].endswith(" and me") for row in rows)

    assert share(1.0) > share(0.0) and share(1.5) > share(0.0)


# Training


def test_training_changes_the_mapper_and_no_bit_of_the_frozen_parts(data, shown, table):
    captioner = fresh(table, **TRAINED)
    frozen = [p for m in (captioner.backbone.model, captioner.encoder.model) for p in m.parameters()]
    before = [p.clone() for p in frozen]
    mapper = {name: p.clone() for name, p in captioner.mapper.named_parameters()}
    config = TrainConfig(steps=30, batch_size=8, lr=1e-3)
    result = fit(CaptionObjective(captioner), batches(captioner, data, shown), config)
    assert all(torch.equal(old, new) and new.grad is None for old, new in zip(before, frozen, strict=True))
    assert [name for name, p in captioner.mapper.named_parameters() if torch.equal(mapper[name], p)] == []
    assert torch.tensor(result.losses).isfinite().all() and len(result.losses) == 30


UNREAD = (
    {"words": 0}, {"past_posts": 0}, {"words": 0, "past_posts": 0}, {"style": False},
    {"words": 0, "past_posts": 0, "style": False}, {"past_posts": 1},
)  # fmt: skip


@pytest.mark.parametrize("changes", [TRAINED, *UNREAD], ids=str)
def test_every_weight_of_the_mapper_gets_a_gradient(data, past, table, changes):
    """Others would not be trained, and several processes would wait for their gradients."""
    captioner = fresh(table, **{"copy": changes.get("past_posts") != 0, "user_dropout": 0.0} | changes)
    shown = ContextBuilder(past=past, table=table, limits=captioner.limits).build(data)
    loss, _ = CaptionObjective(captioner).train()(batches(captioner, data, shown).collate(range(8)))
    loss.backward()
    assert [name for name, p in captioner.mapper.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_captioner_without_words_is_trained_saved_and_read_again(tmp_path, data, past, table):
    captioner = fresh(table, words=0)
    config = TrainConfig(steps=4, batch_size=8, lr=1e-3, save_every=2)
    shown = ContextBuilder(past=past, table=table, limits=captioner.limits).build(data)
    trained = train_captioner(captioner, data, config, users=shown, folder=tmp_path / "run").captioner
    trained.save_pretrained(tmp_path / "folder")
    assert load(trained, tmp_path / "folder").caption(pooled(data), users=shown) == trained.caption(
        pooled(data), users=shown
    )


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimisers_hold_the_mapper_and_nothing_else(table, optimizer):
    objective = CaptionObjective(fresh(table, **TRAINED))
    made = build_optimizers(objective, TrainConfig(steps=1, optimizer=optimizer))
    held = [id(p) for one in made for group in one.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in objective.mapper.parameters())


def test_the_loss_is_that_of_the_scores(data, shown, table):
    captioner = fresh(table, copy=True)
    loss, weight = captioner.loss(batches(captioner, data, shown).collate(range(32)))
    assert loss.item() == pytest.approx(-sum(captioner.score(pooled(data), data.texts, shown)), rel=1e-4)
    assert weight == captioner.backbone.encode(data.texts, max_tokens=16).mask.sum()


def test_users_are_dropped_in_training_alone(data, shown, table):
    captioner = fresh(table, user_dropout=0.99)
    objective, batch = CaptionObjective(captioner), batches(captioner, data, shown).collate(range(8))
    torch.manual_seed(0)
    dropped, kept = objective.train()(batch)[0], objective.eval()(batch)[0]
    nobody = captioner.loss(batches(captioner, data, [NOBODY] * 32).collate(range(8)))[0]
    torch.testing.assert_close(dropped, nobody)
    torch.testing.assert_close(kept, captioner.loss(batch)[0])
    assert abs(dropped - kept) > 1e-3


def test_a_resumed_training_is_the_unbroken_one(tmp_path, data, shown, table):
    def run(folder, steps, users=shown):
        captioner = fresh(table, dropout=0.1, **TRAINED)
        config = TrainConfig(steps=steps, batch_size=4, schedule="constant", warmup=0.0, lr=1e-3)
        return fit(CaptionObjective(captioner), batches(captioner, data, users), config, folder=folder).tensors

    run(tmp_path / "run", 3)
    resumed, whole = run(tmp_path / "run", 6), run(None, 6)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    with pytest.raises(PolygraftError, match="other data"):
        run(tmp_path / "run", 9, [NOBODY] * 32)


def test_the_digest_of_the_batches_names_what_is_shown(data, shown, table):
    captioner = fresh(table)
    digests = [
        batches(captioner, data, users).digest
        for users in (
            shown,
            list(shown),
            [*shown[:31], NOBODY],
            [*shown[:31], replace(shown[31], words=shown[31].words[::-1])],
            [*shown[:31], replace(shown[31], style=(0.5,) * 8)],
        )
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 4
    assert CaptionBatches(data, captioner.backbone, 16).digest not in digests


def test_validation_takes_each_caption_with_its_own_user(trained, data, shown):
    own, swapped = (CaptionValidation(trained, data, users=users)() for users in (shown, [*shown[16:], *shown[:16]]))
    assert own["bleu_4"] > 0.9 > swapped["bleu_4"]
    assert own["loss"] < swapped["loss"]
    batch = batches(trained, data, shown).collate(range(32))
    loss, weight = trained.loss(batch)
    assert own["loss"] == pytest.approx((loss / weight).item(), rel=1e-4)


def test_a_training_with_validation_reports_it(data, shown, table):
    config = TrainConfig(steps=2, batch_size=8)
    found = train_captioner(fresh(table), data, config, validation=data, users=shown, validation_users=shown)
    assert "user-aware, the design of Wang et al. 2023" in describe(found, title="t", source="s").summary
    assert "| cider_d |" in describe(found, title="t", source="s").metrics


# What is shown, as tensors


def test_contexts_become_padded_rows():
    backbone = user_captioner().backbone
    found = UserTensors(CONTEXTS, backbone, 3).batch([0, 2, 1])
    first, second = (backbone.encode([text], max_tokens=3).ids[0].tolist() for text, _ in CONTEXTS[0].posts)
    eos = backbone.eos_id
    assert found.words.tolist() == [[0, 7, 3], [5, 0, 0], [0, 0, 0]]
    assert found.word_mask.sum(dim=1).tolist() == [3, 1, 0]
    assert found.past[0].tolist() == first + second
    assert found.before[0].tolist() == [eos, *first[:-1], eos, *second[:-1]]
    assert found.rank[0].tolist() == [0] * 3 + [1] * 3
    assert found.similarity[0].tolist() == pytest.approx([0.9] * 3 + [0.4] * 3)
    assert found.past_mask.sum(dim=1).tolist() == [6, 3, 0]
    assert found.known.tolist() == [True, True, False]
    assert found.style[1].tolist() == [0.5] * 8


def test_more_past_captions_than_are_read_are_left_out():
    captioner, images = user_captioner(copy=True, past_posts=1), random_rows(4)
    cut = [replace(context, posts=context.posts[:1]) for context in CONTEXTS]
    assert captioner.users(CONTEXTS, images).past.tolist() == captioner.users(cut, images).past.tolist()
    assert captioner.score(images, TEXTS[:4], CONTEXTS) == captioner.score(images, TEXTS[:4], cut)


def test_others_lend_what_the_mapper_reads_and_more_where_it_is_asked_for(past):
    captioner = user_captioner(past_posts=2)
    known = past["ann"]
    profile = replace(known, user="new", texts=known.texts[:1], pooled=known.pooled[:1])
    neighbours, images = Community.of(past).neighbours(profile), random_rows(5)
    alone, borrowed, more = (
        captioner.contexts(profile, images, **options)
        for options in ({}, {"neighbours": neighbours}, {"neighbours": neighbours, "voters": 7})
    )
    assert [{len(context.posts) for context in found} for found in (alone, borrowed, more)] == [{1}, {2}, {2}]
    assert [context.posts for context in more] == [context.posts for context in borrowed]
    assert {len(context.voters) for context in more} == {8}
    assert not any(context.voters for context in (*alone, *borrowed))
    assert all(one.text.endswith("!") for context in more for one in context.voters[1:])  # as ann writes, who shares
    assert captioner.users(more, images).past.tolist() == captioner.users(borrowed, images).past.tolist()


def test_what_only_the_choice_reads_is_no_other_data_to_learn_from():
    captioner, voter = user_captioner(), PastCaption("a dog", 0.5)
    more = [replace(context, voters=(voter, voter)) for context in CONTEXTS]
    digests = {UserTensors(contexts, captioner.backbone, 4).digest for contexts in (CONTEXTS, more)}
    assert len(digests) == 1 and UserTensors(CONTEXTS[1:], captioner.backbone, 4).digest not in digests


def test_what_a_user_wrote_of_the_very_image_does_not_tell_who_lends(past):
    captioner, known = user_captioner(past_posts=5), past["ann"]
    community, texts = Community.of(past), ("anything else", *known.texts[1:3])
    image = torch.from_numpy(known.pooled[:1])
    found = [
        captioner.contexts(one, image, neighbours=community.neighbours(one))[0].posts
        for one in (
            replace(known, user="new", texts=some, pooled=known.pooled[:3]) for some in (known.texts[:3], texts)
        )
    ]
    assert found[0] == found[1] and len(found[0]) == 5


def test_words_are_the_mean_of_their_tokens(table):
    backbone = reading_backbone(BOTH)
    found = word_vectors(table, backbone, chunk=5)
    for number, word in enumerate(table.words):
        ids = backbone.encode([f" {word}"], max_tokens=16, eos=False).ids
        torch.testing.assert_close(found[number], backbone.embed(ids)[0].mean(dim=0))


# Folders


def load(captioner, folder):
    return Captioner.from_pretrained(folder, backbone=captioner.backbone, encoder=captioner.encoder)


def test_options_that_are_gone_are_read_where_they_were_off():
    saved = asdict(user_captioner().config) | {"deep": 0, "negatives": 2, "prefix": "queries"}
    assert CaptionerConfig.from_dict(saved) == user_captioner().config
    with pytest.raises(PolygraftError, match="deep 4"):
        CaptionerConfig.from_dict(saved | {"deep": 4})


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_saved_captioner_comes_back_the_same(tmp_path, variant):
    captioner, images = user_captioner(**VARIANTS[variant]), random_rows(4)
    captioner.save_pretrained(tmp_path / "folder")
    loaded = load(captioner, tmp_path / "folder")
    assert (loaded.config, loaded.table) == (captioner.config, captioner.table)
    assert WordTable.from_json(json.loads((tmp_path / "folder" / "tables.json").read_text())["words"]) == loaded.table
    assert loaded.caption(images, users=CONTEXTS) == captioner.caption(images, users=CONTEXTS)
    captioner.save_pretrained(tmp_path / "folder")


@pytest.mark.parametrize("content", ["{", "[]", '{"words": {"words": ["a"]}}', "{}", None])
def test_a_damaged_table_is_one_sentence(tmp_path, content):
    captioner = user_captioner()
    captioner.save_pretrained(tmp_path / "folder")
    file = tmp_path / "folder" / "tables.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(PolygraftError, match=r"tables\.json|users' words"):
        load(captioner, tmp_path / "folder")


def test_a_captioner_that_knows_no_users_says_so_in_one_sentence(tmp_path):
    captioner, profile = tiny_captioner(), Profile(user="ann", texts=("a red cat!",))
    for users in (profile, [Context(known=True)] * 2):
        with pytest.raises(PolygraftError, match="--preset default"):
            captioner.caption(random_rows(2), users=users)
    captioner.save_pretrained(tmp_path / "folder")
    assert not (tmp_path / "folder" / "tables.json").exists()


def test_a_captioner_that_reads_grids_wants_the_images():
    captioner = user_captioner(features="grid")
    with pytest.raises(PolygraftError, match="grid features"):
        captioner.caption(random_rows(2))
    assert captioner.config.grid_width == 32


def test_a_prompt_too_long_for_the_language_model_is_refused():
    with pytest.raises(PolygraftError, match="69 positions.* 64"):
        user_captioner(prefix_length=53)


def test_untrained_captioners_have_no_dropout():
    captioner, images = user_captioner(dropout=0.5), random_rows(4)
    first, second = (captioner.prefix(images, CONTEXTS).embeds for _ in range(2))
    assert torch.equal(first, second)
