"""The mapping networks: sizes, names and arithmetic of ClipCap's, and the calibration that is ours."""

import pytest
import torch
from torch import Tensor

from backbone.errors import UsageError
from multimodal.config import CaptionerConfig
from multimodal.model.mapper import TransformerMapper, build_mapper

KINDS = ("mlp", "transformer")
SMALL = {"image_width": 6, "text_width": 16, "prefix_length": 3, "clip_length": 5, "layers": 2}
LAYER = """
    norm1.weight norm1.bias attn.to_queries.weight attn.to_keys_values.weight attn.project.weight attn.project.bias
    norm2.weight norm2.bias mlp.fc1.weight mlp.fc1.bias mlp.fc2.weight mlp.fc2.bias
"""


def config(mapper: str, **changes: object) -> CaptionerConfig:
    settings = {"image_width": 512, "text_width": 768, "calibrate": False} | changes
    return CaptionerConfig(mapper=mapper, **settings)


def small(mapper: str, **changes: object) -> CaptionerConfig:
    return config(mapper, **SMALL | changes)


def trainable(mapper: torch.nn.Module) -> int:
    return sum(p.numel() for p in mapper.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("kind", "width", "length", "millions"),
    [
        ("mlp", 512, 10, 31.5),
        ("transformer", 512, 10, 41.7),
        ("transformer", 640, 10, 42.7),
        ("transformer", 512, 40, 53.6),
    ],
)
def test_the_number_of_parameters_is_clipcaps(kind, width, length, millions):
    with torch.device("meta"):
        mapper = build_mapper(config(kind, image_width=width, prefix_length=length, clip_length=length))
    assert trainable(mapper) / 1e6 == pytest.approx(millions, abs=0.05)


def test_parameters_of_the_mlp_have_the_published_names():
    shapes = {name: tuple(p.shape) for name, p in build_mapper(small("mlp")).named_parameters()}
    first = {"model.0.weight": (24, 6), "model.0.bias": (24,)}
    assert shapes == first | {"model.2.weight": (48, 24), "model.2.bias": (48,)}


def test_parameters_of_the_transformer_have_the_published_names():
    names = {name for name, _ in build_mapper(small("transformer")).named_parameters()}
    layers = {f"transformer.layers.{i}.{name}" for i in range(2) for name in LAYER.split()}
    assert names == {"linear.weight", "linear.bias", "prefix_const"} | layers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 4])
def test_features_become_a_prefix(kind, batch):
    assert build_mapper(small(kind))(torch.randn(batch, 6)).shape == (batch, 3, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_of_a_batch_is_mapped_alone(kind):
    mapper, features = build_mapper(small(kind)), torch.randn(4, 6)
    alone = torch.cat([mapper(row[None]) for row in features])
    torch.testing.assert_close(mapper(features), alone)


def slow_attention(layer: torch.nn.Module, x: Tensor) -> Tensor:
    """ClipCap's attention, written out head by head for one image: (n, d) to (n, d)."""
    heads, size = layer.heads, x.shape[1] // layer.heads
    queries, both = layer.to_queries(x), layer.to_keys_values(x)
    keys, values = both[:, : x.shape[1]], both[:, x.shape[1] :]
    parts = []
    for head in range(heads):
        cut = slice(head * size, (head + 1) * size)
        weights = (queries[:, cut] @ keys[:, cut].T * size**-0.5).softmax(dim=1)
        parts.append(weights @ values[:, cut])
    return layer.project(torch.cat(parts, dim=1))


def test_the_transformer_equals_the_formula_written_out():
    mapper, features = TransformerMapper(small("transformer", heads=4)), torch.randn(1, 6)
    x = torch.cat([mapper.linear(features).reshape(5, 16), mapper.prefix_const])
    for layer in mapper.transformer.layers:
        x = x + slow_attention(layer.attn, layer.norm1(x))
        hidden = torch.relu(layer.norm2(x) @ layer.mlp.fc1.weight.T + layer.mlp.fc1.bias)
        x = x + hidden @ layer.mlp.fc2.weight.T + layer.mlp.fc2.bias
    torch.testing.assert_close(mapper(features)[0], x[5:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_calibrated_prefix_starts_with_the_length_of_word_embeddings(kind):
    prefix = build_mapper(small(kind, calibrate=True), embedding_norm=3.5)(torch.randn(7, 6))
    assert prefix.norm(dim=-1).mean().item() == pytest.approx(3.5, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"prefix_length": 0}, "prefix_length is 0"),
        ({"heads": 5}, "heads is 5"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, named):
    with pytest.raises(UsageError, match=named):
        small("transformer", **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_no_parameter_is_a_scalar_which_sharding_does_not_take(kind):
    assert all(parameter.ndim for parameter in build_mapper(small(kind, calibrate=True)).parameters())
