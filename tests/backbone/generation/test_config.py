import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import UsageError
from backbone.generation.config import Decoding


def test_the_default_is_greedy():
    assert Decoding().method == "greedy"


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"beams": 4, "num_return": 4, "length_penalty": 0.7}, "beam"),
        ({"temperature": 0.7, "top_k": 40, "top_p": 0.9, "num_return": 9}, "sampling"),
        ({"contrastive": 0.6, "candidates": 8}, "contrastive"),
        ({"contrastive": 0.0}, "contrastive"),
    ],
)
def test_the_options_name_the_method(options, method):
    assert Decoding(**options).method == method


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"beams": 3, "temperature": 0.5}, ["beams 3", "temperature 0.5"]),
        ({"beams": 3, "contrastive": 0.5}, ["beams 3", "contrastive 0.5"]),
        ({"temperature": 1.0, "contrastive": 0.5}, ["temperature 1.0", "contrastive 0.5"]),
        ({"top_p": 0.9}, ["top_p 0.9", "temperature"]),
        ({"top_k": 5, "beams": 2}, ["top_k 5", "beam"]),
        ({"candidates": 8}, ["candidates 8", "contrastive"]),
        ({"length_penalty": 0.5}, ["length_penalty 0.5", "beams"]),
        ({"num_return": 2}, ["num_return is 2", "beams", "temperature"]),
        ({"num_return": 4, "beams": 3}, ["num_return 4", "beams 3"]),
        ({"min_tokens": 9, "max_tokens": 8}, ["min_tokens 9", "max_tokens 8"]),
        ({"max_tokens": 0}, ["max_tokens is 0", "at least 1"]),
        ({"top_p": 1.5, "temperature": 1.0}, ["top_p is 1.5", "0.01 to 1"]),
        ({"temperature": float("nan")}, ["temperature is nan", "0 to 100"]),
    ],
)
def test_contradictions_and_wrong_values_are_refused_by_name(options, named):
    with pytest.raises(UsageError) as raised:
        Decoding(**options)
    assert all(part in str(raised.value) for part in named)


NUMBERS = st.one_of(st.integers(-2, 30), st.sampled_from([0.0, 0.3, 1.0, 1.7, float("inf"), float("nan")]))


@given(st.dictionaries(st.sampled_from([field.name for field in fields(Decoding)[:-2]]), NUMBERS, max_size=4))
def test_any_options_are_consistent_or_refused_in_a_sentence_that_names_one(options):
    try:
        decoding = Decoding(**options)
    except UsageError as error:
        if any(name in str(error) for name in options):
            return
        raise
    assert decoding.num_return == 1 or decoding.method in ("beam", "sampling")
    assert (decoding.top_k, decoding.top_p) == (0, 1) or decoding.method == "sampling"


def test_reading_the_options_does_not_import_torch():
    code = "import sys, backbone.generation.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
