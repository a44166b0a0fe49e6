"""The rules for running text: what is kept, what counts as the same, what is held out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starter_build.datasets.documents import Document, clean, held_out, is_prose, tidy


def document(text, source="page", id_="1"):
    return Document(source=source, id=id_, text=text, licence="none")


def test_tidy_makes_one_line_of_composed_letters_and_plain_quotes():
    assert tidy("  cafe\u0301 \t`la`\u00ad\n ") == "café 'la'"


@given(st.text(max_size=80))
def test_tidy_changes_nothing_twice(text):
    assert tidy(tidy(text)) == tidy(text)


@pytest.mark.parametrize("line", ["The cat sat on the mat.", "Stir well, about 3 minutes.", "“Who's there?” she said."])
def test_sentences_are_prose(line):
    assert is_prose(line)


@pytest.mark.parametrize(
    "line",
    ["too short", "see https://a.b/c for more", "x = y + {z}", "12 34 56 78 90 and 11 12", "TKCAF TKBin TKXml", ""],
)
def test_code_tables_links_and_names_are_not(line):
    assert not is_prose(line)


def test_a_paragraph_stays_where_it_is_met_first():
    first, second = document("One fine day.\nIt rained a lot."), document("It RAINED a lot.\nThen it stopped.", id_="2")
    assert [kept.text for kept in clean([first, second])] == ["One fine day.\nIt rained a lot.", "Then it stopped."]


def test_paragraphs_that_differ_in_numbers_alone_count_as_one():
    assert (
        len(
            list(
                clean([document("The kernel of version 6.1 is here."), document("The kernel of version 6.2 is here.")])
            )
        )
        == 1
    )


def test_a_document_without_prose_is_dropped():
    assert list(clean([document("a = b\n\n{}")])) == []


def test_about_one_document_in_a_hundred_is_held_out_and_always_the_same_ones():
    chosen = [held_out(document("", id_=str(number))) for number in range(20_000)]
    assert 150 < sum(chosen) < 250
    assert chosen == [held_out(document("other text", id_=str(number))) for number in range(20_000)]


def test_versions_of_one_text_are_held_out_together():
    chapters = [f"{book}.{chapter}" for book in range(1, 67) for chapter in range(1, 30)]
    sides = [{held_out(document("", f"bible-{version}", id_)) for version in ("kjv", "web")} for id_ in chapters]
    assert all(len(side) == 1 for side in sides)
    assert {True} in sides
