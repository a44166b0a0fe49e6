import shlex
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backbone.errors import PolygraftError, UsageError
from tests.backbone.tiny_describer import write_captioner
from tests.video.toy import embed, toy_encoder
from video.timeline.query import Segment
from video.update.proposers import Library, ModelProposer, ShellCommand, parse_proposals
from video.vocabulary.narrations import NarrationRow, clean, collect
from video.vocabulary.vocabulary import NarrationVocabulary


def segment(said="paint the floor with a brush", image=None):
    return Segment(video="film.mp4", start=1.5, stop=4.0, query=embed([said])[0], scene="tea", image=image)


def python(code):
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


# Answers


def test_an_answer_is_cut_into_sentences():
    answer = [
        "Sure, here are actions:",
        "1. Cut the onion; stir the SOUP.",
        "- 'stir the soup'",
        "(2) * #unsure",
        "",
        "  ",
    ]
    assert parse_proposals(answer) == ["cut the onion", "stir the soup"]


def test_essays_are_left_out():
    assert parse_proposals(["word " * 31, "word " * 30]) == [" ".join(["word"] * 30)]


@given(st.lists(st.text(max_size=40), max_size=5))
def test_whatever_the_answer_sentences_are_clean_and_different(answer):
    found = parse_proposals(answer)
    assert len(set(found)) == len(found)
    assert all(text == clean(text) != "" and ";" not in text for text in found)


# Vocabularies


def test_another_vocabulary_proposes_its_closest_narrations():
    said = ["paint the floor", "paint the floor with a brush", "open the door"]
    library = NarrationVocabulary.build(collect(NarrationRow(text) for text in said), encoder=toy_encoder())
    assert Library(library, keep=2).propose(segment()) == ["paint the floor with a brush", "paint the floor"]
    assert len(Library(library).propose(segment())) == 3


# Commands

ECHO = """
import json, sys
from PIL import Image
asked = json.load(sys.stdin)
print(asked["film"], asked["start"], asked["stop"], asked["scene"])
print(Image.open(asked["picture"]).size if asked["picture"] else "no image")
"""


def test_a_command_hears_of_the_segment_and_its_lines_are_the_answer():
    command = ShellCommand(command=python(ECHO))
    assert command.propose(segment()) == ["film.mp4 1.5 4.0 tea", "no image"]
    assert command.propose(segment(image=Image.new("RGB", (6, 4))))[1] == "(6, 4)"
    assert command.name.startswith("command ")


def test_a_command_need_not_read_what_it_is_told():
    assert ShellCommand(command="echo cut; echo stir").propose(segment()) == ["cut", "stir"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo no model >&2; exit 3", "failed with exit code 3: no model"),
        ("exit 1", "failed with exit code 1: it wrote no message"),
        ("no-such-program", "failed with exit code 127"),
        ("kill -9 $$", "failed with exit code -9"),
        (r"printf '\377'", "wrote what is not UTF-8"),
    ],
)
def test_a_command_that_fails_is_one_sentence(command, told):
    with pytest.raises(PolygraftError, match=told) as caught:
        ShellCommand(command=command).propose(segment())
    assert "\n" not in str(caught.value)


@pytest.mark.timeout(40)
@pytest.mark.parametrize(
    ("command", "told"), [("sleep 60 | cat", "took longer than 0.3 s"), ("yes", "more than a megabyte")]
)
def test_a_command_without_end_is_stopped(command, told):
    timeout = 0.3 if "sleep" in command else 60
    with pytest.raises(PolygraftError, match=told):
        ShellCommand(command=command, timeout=timeout).propose(segment())


@pytest.mark.parametrize("wrong", [{"command": " "}, {"command": "echo", "timeout": 0}])
def test_a_command_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError):
        ShellCommand(**wrong)


# Models


def test_a_model_is_asked_about_the_image(tmp_path):
    proposer = ModelProposer(write_captioner(tmp_path / "model"), device="cpu")
    answer = proposer.propose(segment(image=Image.new("L", (20, 20), 90)))
    assert answer == proposer.describe(Image.new("RGB", (20, 20), (90, 90, 90))).splitlines()
    assert proposer.name == f"model {tmp_path / 'model'}"
    with pytest.raises(PolygraftError, match=r"film\.mp4 at 1\.5 s"):
        proposer.propose(segment())
