"""The user-aware mapper: sizes by arithmetic, shapes, padding that changes nothing, and what reaches the prefix."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from backbone.errors import UsageError
from multimodal.config import CaptionerConfig
from multimodal.model.mapper import build_mapper
from multimodal.model.steering import PastTokens
from multimodal.model.user_mapper import Attention, FusionLayer, ImageInput, QueryLayer, UserInput
from multimodal.profile.text_features import Style

SMALL = {
    "image_width": 6, "grid_width": 5, "text_width": 16, "width": 8, "heads": 2, "prefix_length": 3, "clip_length": 2,
    "mapping_layers": 1, "fusion_layers": 1, "words": 4, "past_posts": 2,
    "dropout": 0.0,
}  # fmt: skip
WORDS, PAST = 4, 5


def small(**changes: object) -> CaptionerConfig:
    return CaptionerConfig(mapper="user", **SMALL | changes)


def built(norm=1.0, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return build_mapper(small(**changes), embedding_norm=norm).eval()


def image(count: int, grid: bool = False) -> ImageInput:
    random = torch.Generator().manual_seed(count)
    places = torch.randn(count, 7, 5, generator=random) if grid else None
    return ImageInput(pooled=torch.randn(count, 6, generator=random), grid=places)


def user(lengths: list[tuple[int, int]]) -> UserInput:
    """Return users with so many words and tokens of past captions each."""
    count, random = len(lengths), torch.Generator().manual_seed(1)
    words, past = (torch.tensor(column)[:, None] for column in zip(*lengths, strict=True))
    return UserInput(
        words=torch.randn(count, WORDS, 16, generator=random),
        word_weights=torch.rand(count, WORDS, generator=random),
        word_mask=torch.arange(WORDS) < words,
        past=PastTokens(
            embeds=torch.randn(count, PAST, 16, generator=random),
            before=torch.randn(count, PAST, 16, generator=random),
            ids=torch.randint(0, 50, (count, PAST), generator=random),
            rank=(torch.arange(PAST) > 2).long().expand(count, -1),
            similarity=torch.rand(count, PAST, generator=random),
            mask=torch.arange(PAST) < past,
        ),
        style=torch.rand(count, Style.SIZE, generator=random),
    )


def with_past(users: UserInput, **changes: Tensor) -> UserInput:
    return replace(users, past=replace(users.past, **changes))


RAGGED = [(4, 5), (0, 0), (2, 1), (0, 3)]


# Sizes


def size(*modules: torch.nn.Module) -> float:
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


@pytest.mark.parametrize(
    ("width", "text_width", "layers", "mapping", "fusion"),
    [
        (-1, 768, 5, 47.8, 35.4),
        (-1, 768, 3, 28.9, 21.3),
        (-1, 1024, 5, 84.7, 63.0),
        (512, 768, 2, 8.8, 7.1),
        (512, 768, 3, 13.0, 10.2),
    ],
)
def test_the_number_of_parameters_is_that_of_the_arithmetic(width, text_width, layers, mapping, fusion):
    sizes = {"image_width": 640, "text_width": text_width, "width": width, "heads": 8, "clip_length": 1}
    layered = {"mapping_layers": layers, "fusion_layers": layers, "prefix_length": 20}
    with torch.device("meta"):
        mapper = build_mapper(CaptionerConfig(mapper="user", **sizes, **layered))
    assert size(mapper.mapping) == pytest.approx(mapping, abs=0.051)
    assert size(mapper.fusion, mapper.slots.project) == pytest.approx(fusion, abs=0.051)


def test_the_papers_preset_trains_little_beside_mapping_and_fusion():
    config = CaptionerConfig(image_width=640, text_width=768, heads=8).preset("paper")
    with torch.device("meta"):
        mapper = build_mapper(config)
    assert mapper.copying is None
    assert size(mapper.mapping, mapper.fusion) == pytest.approx(83.2, abs=0.051)
    assert size(mapper) - size(mapper.mapping, mapper.fusion) < 0.06


def test_no_parameter_is_a_scalar_which_sharding_does_not_take():
    assert all(parameter.ndim for parameter in built().parameters())


# Shapes


@pytest.mark.parametrize("features", ["pooled", "grid"])
@pytest.mark.parametrize("lengths", [[(4, 5)], [(0, 0)], RAGGED])
def test_images_and_users_become_a_prefix(features, lengths):
    count = len(lengths)
    found = built(features=features)(image(count, features == "grid"), user(lengths))
    assert found.embeds.shape == (count, 3, 16)
    assert found.memory.keys.shape == (count, PAST, 64)
    assert torch.equal(found.memory.ids, user(lengths).past.ids)
    assert found.embeds.isfinite().all()


def test_each_row_of_a_batch_is_mapped_alone():
    mapper, images, users = built(features="grid"), image(4, True), user(RAGGED)
    together = mapper(images, users)
    for row in range(4):
        alone = mapper(part(images, row), part(users, row))
        torch.testing.assert_close(alone.embeds[0], together.embeds[row])


def part(of, row):
    values = {f.name: getattr(of, f.name) for f in fields(of)}
    cut = {n: part(v, row) if isinstance(v, PastTokens) else v[row : row + 1] for n, v in values.items()}
    return replace(of, **cut)


@pytest.mark.parametrize("without", [{"words": 0}, {"past_posts": 0}, {"style": False}, {"copy": False}])
def test_what_is_left_out_changes_nothing(without):
    mapper, users = built(**without), user(RAGGED)
    noise = {
        "words": {"words": users.words + 1, "word_weights": users.word_weights + 1},
        "past_posts": {"past": replace(users.past, embeds=users.past.embeds + 1, similarity=users.past.similarity + 1)},
        "style": {"style": users.style + 1},
        "copy": {"past": replace(users.past, ids=users.past.ids + 1)},
    }[next(iter(without))]
    found = mapper(image(4), replace(users, **noise))
    assert torch.equal(found.embeds, mapper(image(4), users).embeds)
    assert (found.memory is None) == ("copy" in without or "past_posts" in without)


# What changes a prefix, and what does not


def of_width(value: Tensor, extra: int, fill: float) -> Tensor:
    """Return (B, n, ...) with so many rows of padding after it."""
    return torch.cat([value, torch.full((len(value), extra, *value.shape[2:]), fill).to(value)], dim=1)


PAST_FIELDS = ("embeds", "before", "ids", "rank", "similarity", "mask")


def test_wider_padding_changes_nothing():
    mapper, users = built(), user(RAGGED)
    wider = with_past(users, **{name: of_width(getattr(users.past, name), 3, 0.0) for name in PAST_FIELDS})
    found, expected = mapper(image(4), wider), mapper(image(4), users)
    torch.testing.assert_close(found.embeds, expected.embeds, atol=1e-5, rtol=0)
    kept = users.past.mask
    torch.testing.assert_close(found.memory.keys[:, :PAST][kept], expected.memory.keys[kept], atol=1e-5, rtol=0)


def test_what_padding_holds_changes_nothing():
    mapper, users = built(), user(RAGGED)
    padding = ~users.past.mask
    other = with_past(
        replace(users, words=users.words.masked_fill(~users.word_mask[..., None], 9.0)),
        embeds=users.past.embeds.masked_fill(padding[..., None], -7.0),
        before=users.past.before.masked_fill(padding[..., None], 7.0),
        similarity=users.past.similarity.masked_fill(padding, 5.0),
    )
    torch.testing.assert_close(mapper(image(4), other).embeds, mapper(image(4), users).embeds, atol=1e-5, rtol=0)


def test_past_tokens_and_their_padding_may_stand_in_any_order():
    mapper, users, order = built(), user(RAGGED), torch.tensor([3, 0, 4, 2, 1])
    other = with_past(users, **{name: getattr(users.past, name)[:, order] for name in PAST_FIELDS})
    found, expected = mapper(image(4), other), mapper(image(4), users)
    torch.testing.assert_close(found.embeds, expected.embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.memory.keys, expected.memory.keys[:, order], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_past_caption_is_the_mean_of_its_tokens():
    slots, users = built().slots, user([(4, 5), (4, 2)])
    rows, mask = slots(users, 2)
    past = users.past
    for row, rank, tokens in ((0, 0, range(3)), (0, 1, range(3, 5)), (1, 0, range(2))):
        made = slots.past(past.embeds[row, list(tokens)].mean(dim=0)) + slots.past_rank[rank] + slots.kinds[1]
        made = made + slots.likeness(past.similarity[row, list(tokens)].mean(dim=0, keepdim=True))
        torch.testing.assert_close(rows[row, 2 + WORDS + rank], made)
    assert mask[:, 2 + WORDS :].tolist() == [[True, True], [True, False]]


KNOWN = ("words", "word_weights", "style", "past.embeds", "past.rank", "past.similarity", "order of words")


@pytest.mark.parametrize("name", KNOWN)
def test_everything_that_is_known_reaches_the_prefix(name):
    # in one layer of fusion the norm takes away by how much a word is weighted
    mapper, users = built(fusion_layers=2), user([(4, 5)] * 2)
    with torch.no_grad():
        mapper.slots.rank.mul_(50)
        mapper.slots.past_rank.mul_(50)
    field = name.removeprefix("past.")
    if name == "order of words":
        other = replace(users, words=users.words.flip(1), word_weights=users.word_weights.flip(1))
    elif field == name:
        other = replace(users, **{name: getattr(users, name) + 0.5})
    else:
        value = getattr(users.past, field)
        other = with_past(users, **{field: 1 - value if field == "rank" else value + 0.5})
    before, after = (mapper(image(2), one).embeds for one in (users, other))
    assert (before - after).abs().amax(dim=(1, 2)).min() > 1e-4


def test_someone_of_whom_nothing_is_known_is_nobody_whatever_stands_there():
    mapper, users = built(style=False), user([(0, 0)] * 2)
    other = with_past(replace(users, words=users.words * 3), embeds=users.past.embeds - 1)
    torch.testing.assert_close(mapper(image(2), other).embeds, mapper(image(2), users).embeds)


def test_a_prefix_starts_with_the_length_of_word_embeddings():
    found = built(norm=3.5)(image(4), user(RAGGED))
    assert found.embeds.norm(dim=-1).mean().item() == pytest.approx(3.5, rel=1e-3)


# The blocks


def slow_attention(layer: Attention, x: Tensor, keys: Tensor) -> Tensor:
    """The formula for one row, head by head: (q, w), (n, w) to (q, w)."""
    width = x.shape[1]
    queries, both, parts = layer.to_queries(x), layer.to_keys_values(keys), []
    for cut in (slice(at, at + width // layer.heads) for at in range(0, width, width // layer.heads)):
        weights = (queries[:, cut] @ both[:, :width][:, cut].T * (width // layer.heads) ** -0.5).softmax(dim=1)
        parts.append(weights @ both[:, width:][:, cut])
    return layer.project(torch.cat(parts, dim=1))


def test_attention_equals_the_formula_without_the_masked_keys():
    layer, x, keys = Attention(8, 2), torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, False, True, True, False]])
    torch.testing.assert_close(layer(x, keys, mask)[0], slow_attention(layer, x[0], keys[0][mask[0]]))
    torch.testing.assert_close(layer(x, keys)[0], slow_attention(layer, x[0], keys[0]))


def test_the_layers_equal_their_formulas():
    mapping, fusion = QueryLayer(8, 2, 0.0), FusionLayer(8, 2, 0.0)
    queries, keys = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    x = queries[0]
    x = x + slow_attention(mapping.attend, mapping.norm1(x), mapping.norm1(x))
    x = x + slow_attention(mapping.look, mapping.norm2(x), mapping.norm_keys(keys[0]))
    x = x + mapping.feed(mapping.norm3(x))
    torch.testing.assert_close(mapping(queries, keys)[0], x)
    y = x + slow_attention(fusion.attend, fusion.norm1(x), fusion.norm1(x))
    y = y + fusion.feed(fusion.norm2(y))
    torch.testing.assert_close(fusion(x[None], torch.ones(1, 3, dtype=torch.bool))[0], y)


# Settings


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mapping_layers": 0}, "mapping_layers is 0, allowed is at least 1"),
        ({"fusion_layers": 0}, "fusion_layers is 0, allowed is at least 1"),
        ({"heads": 3}, "heads is 3, allowed is a divisor of the mapper's width 8"),
        ({"user_dropout": 1.0}, "user_dropout is 1.0"),
        ({"words": -1}, "words is -1"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, told):
    with pytest.raises(UsageError, match=told):
        small(**changes)


def test_a_preset_keeps_what_was_set_by_hand():
    config = CaptionerConfig(mapping_layers=7).preset("paper")
    assert (config.mapper, config.mapping_layers, config.fusion_layers, config.copy) == ("user", 7, 5, False)
    assert CaptionerConfig().preset("clipcap") == CaptionerConfig()
    assert [small(width=width, text_width=768).mapper_width for width in (0, -1, 64)] == [512, 768, 64]
