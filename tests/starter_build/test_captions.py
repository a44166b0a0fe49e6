"""What a caption is about, when two captions are equal, and the words behind both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starter_build.datasets.captions import concept, normalise
from starter_build.datasets.lexicon import read_wordnet
from tests.starter_build.opendata_trees import LEXICON, write


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A dog.", "dog"),
        ("dog face", "dog"),
        ("Two big dogs", "dog"),
        ("A brown hen.", "hen"),
        ("slice of pizza", "pizza"),
        ("A pair of straw hats.", "hat"),
        ("person surfing", "surfing"),
        ("man cook", "cook"),
        ("A woman", "person"),
        ("woman: red hair", "person"),
        ("face with tears of joy", "tear"),
        ("A spider playing computer games.", "spider"),
        ("A cat—the best of animals!", "cat"),
        ("A blue stocking.", "stocking"),
        ("Leaves", "leaf"),
    ],
)
def test_the_concept_is_the_head_of_the_first_noun_phrase(caption, expected):
    assert concept(caption, LEXICON) == expected


@given(st.text(min_size=1, max_size=40))
def test_every_caption_with_words_has_a_concept(caption):
    assert bool(concept(caption, LEXICON)) == bool(normalise(caption))


def test_captions_are_equal_without_case_articles_and_punctuation():
    assert normalise("The cat’s “hat”!") == normalise("cat hat") == "cat hat"
    assert normalise("a") == "a"


def test_wordnet_tells_spelling_things_and_irregular_forms(tmp_path):
    files = {
        "data.noun": "  1 licence\n1 06 n 01 stocking 0 000 | hose\n2 17 n 01 Saturn 0 000 | planet\n"
        "3 04 n 01 rest 0 000 | pause\n",
        "data.verb": "4 29 v 02 stock 0 surf 1 000 | store\n",
        "data.adj": "5 00 s 01 New_York 0 000 | of it\n",
        "data.adv": "6 02 r 01 new 0 000 | newly\n",
        "noun.exc": "geese goose\n",
        "verb.exc": "ran run\n",
    }
    lexicon = read_wordnet(write(tmp_path, {f"usr/share/wordnet/{name}": text for name, text in files.items()}))
    assert [lexicon.written(word) for word in ("saturn", "york", "new")] == ["Saturn", "York", "new"]
    assert lexicon.things == {"stocking", "saturn"}
    assert lexicon.is_participle("surfing")
    assert not lexicon.is_participle("stocking")
    assert all(lexicon.knows(word) for word in ("geese", "ran", "stocked", "surfing", "rests", "of"))
    assert not lexicon.knows("gatto")
