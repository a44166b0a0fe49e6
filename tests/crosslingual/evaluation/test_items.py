"""Rows of public data sets become the texts that mGPT's evaluation scores, and bad rows one sentence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from crosslingual.evaluation.items import Item, Sentence, Shots
from crosslingual.evaluation.tagging import UNIVERSAL, layout_of, read_sentences, tag_set
from crosslingual.evaluation.tasks import TASKS, read_items, read_probe

XNLI = {"premise": "A man sleeps .", "hypothesis": "He is n't awake .", "label": 1}
PAWS = {"sentence1": "Er kam.", "sentence2": "Er war da.", "label": "1"}
XCOPA = {"premise": "L'uomo cadde.", "choice1": "Pioveva.", "choice2": "Rise.", "question": "cause", "label": 1}
XWINO = {"sentence": "The cup did not fit since _ was big .", "option1": "The cup", "option2": "the bag", "answer": "2"}
MLAMA = {"template": "[X] lies in [Y].", "sub_label": "Rome", "obj_label": "Italy", "candidates": ["France", "Italy"]}
CHOICE = {"prompt": "Two and two are", "candidates": [" four.", " five."], "answer": 0, "kind": "sums"}
ROWS = {"xnli": XNLI, "paws-x": PAWS, "xcopa": XCOPA, "xwino": XWINO, "mlama": MLAMA, "choice": CHOICE}


@pytest.fixture
def read(tmp_path):
    def call(task, *rows, language="en", published=True):
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
        if task == "pos":
            return read_sentences(path, language=language)
        return read_items(task, path, language=language, published=published)

    return call


WORDINGS = [
    ("xnli", XNLI, "en", True, 1, "A man sleeps, right? Also, He isn't awake."),
    ("xnli", XNLI | {"premise": "Er schläft."}, "de", True, 0, "Er schläft, rechts? Ja, He isn't awake."),
    ("xnli", XNLI | {"premise": "Er schläft."}, "de", False, 0, "Er schläft, richtig? Ja, He isn't awake."),
    (
        "xnli",
        XNLI | {"premise": "他在睡觉。", "hypothesis": "他醒着。"},
        "zh",
        False,
        2,
        "他在睡觉，对吗？不，他醒着。",
    ),
    ("xnli", XNLI | {"premise": "Uyuyor!"}, "tr", True, 2, "Uyuyor! sağ? Numara, He isn't awake."),
    ("paws-x", PAWS, "de", True, 1, "Er kam, rechts? Ja, Er war da."),
    ("paws-x", PAWS, "ja", True, 0, "Er kam, いいえ Er war da."),
    ("paws-x", PAWS, "ko", False, 1, "Er kam, 그렇죠? 네, Er war da."),
    ("xcopa", XCOPA, "it", True, 0, "L'uomo cadde perché pioveva."),
    ("xcopa", XCOPA, "it", False, 0, "L'uomo cadde perché pioveva."),
    ("xcopa", XCOPA | {"question": "effect"}, "it", False, 1, "L'uomo cadde quindi rise."),
    ("xcopa", XCOPA | {"premise": "他摔倒了。", "choice1": "下雨了。"}, "zh", True, 0, "他摔倒了。因為下雨了。"),
    ("xcopa", XCOPA | {"premise": "他摔倒了。", "choice1": "下雨了。"}, "zh", False, 0, "他摔倒了，因为下雨了。"),
    ("xwino", XWINO, "en", True, 0, "The cup did not fit since the cup was big."),
    ("xwino", XWINO, "en", False, 0, "The cup did not fit since The cup was big."),
    ("xwino", XWINO | {"sentence": "_ was big ."}, "en", False, 1, "The bag was big."),
    ("mlama", MLAMA, "xx", True, 1, "Rome lies in Italy."),
]


@pytest.mark.parametrize(("task", "row", "language", "published", "number", "text"), WORDINGS)
def test_a_row_is_worded(read, task, row, language, published, number, text):
    [item] = read(task, row, language=language, published=published)
    assert item.candidates[number] == text


@pytest.mark.parametrize(
    ("task", "answer", "label"),
    [
        ("xnli", 1, "neutral"),
        ("paws-x", 1, "yes"),
        ("xcopa", 1, "choice2"),
        ("xwino", 1, "option2"),
        ("mlama", 1, "Italy"),
        ("choice", 0, " four."),
    ],
)
def test_the_right_answer_is_the_row_s(read, task, answer, label):
    [item] = read(task, ROWS[task], language="it" if task == "xcopa" else "en")
    assert (item.answer, item.label) == (answer, label)


def test_labels_are_names_or_numbers(read):
    rows = [XNLI | {"label": label} for label in ("neutral", 1, "1", "contradiction", 2)]
    assert [item.answer for item in read("xnli", *rows)] == [1, 1, 1, 2, 2]


def test_a_row_s_language_counts_more_than_the_option(read):
    assert [item.language for item in read("xnli", XNLI | {"language": "de"}, XNLI)] == ["de", "en"]


BAD = [
    ("xnli", "", "has no row"),
    ("xnli", "{oops", "line 1 is not JSON"),
    ("xnli", [1], "is a list, not an object"),
    ("xnli", {"premise": "a"}, "has no 'hypothesis': it has premise"),
    ("xnli", XNLI | {"label": 3}, "has the label 3, allowed is 0 to 2 or entailment, neutral, contradiction"),
    ("xnli", XNLI | {"label": True}, "has the label True"),
    ("xnli", XNLI | {"label": [0]}, "has the label"),
    ("xnli", XNLI | {"label": 1.0}, "has the label 1.0"),
    ("xnli", XNLI | {"premise": " "}, "text that is not blank"),
    ("xnli", XNLI | {"premise": 3}, "has 3 as 'premise'"),
    ("xnli", '{"premise": "\\ud800", "hypothesis": "b", "label": 0}', "surrogate"),
    ("xnli", XNLI | {"language": "tlh"}, "XNLI has published prompts in ar, bg"),
    ("xcopa", XCOPA | {"question": "why"}, "the question 'why', allowed is 0 to 1 or cause, effect"),
    ("xwino", XWINO | {"sentence": "no space"}, "no space in its sentence"),
    ("xwino", XWINO | {"answer": 0}, "the answer 0, allowed is 1 to 2"),
    ("mlama", MLAMA | {"obj_label": "Spain"}, "'Spain', which is none of its candidates"),
    ("mlama", MLAMA | {"template": "[X] lies"}, "needs [X] and [Y]"),
    ("choice", CHOICE | {"candidates": ["one"]}, "list of 2 texts or more"),
    ("choice", CHOICE | {"candidates": ["one", ""]}, "list of 2 texts or more"),
    ("choice", CHOICE | {"answer": 2}, "allowed is 0 to 1"),
    ("pos", {"tokens": ["a", "b"], "tags": ["X"]}, "2 tokens and 1 tags"),
    ("pos", {"tokens": [], "tags": []}, "list of 1 texts or more"),
]


@pytest.mark.parametrize(("task", "row", "said"), BAD)
def test_a_bad_row_is_one_sentence_with_its_place(read, task, row, said):
    with pytest.raises(PolygraftError) as caught:
        read(task, row, language="it" if task == "xcopa" else "en")
    assert said in str(caught.value) and "rows.jsonl" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_row_without_a_language_needs_the_option(read):
    with pytest.raises(PolygraftError, match="give --language"):
        read("xnli", XNLI, language="")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.data())
def test_whatever_a_row_holds_it_is_an_item_or_one_sentence(tmp_path_factory, data):
    task = data.draw(st.sampled_from(sorted(TASKS)))
    field = data.draw(st.sampled_from(sorted(ROWS[task])))
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text(json.dumps(ROWS[task] | {field: data.draw(JSON)}), encoding="utf-8")
    try:
        [item] = read_items(task, path, language="it" if task == "xcopa" else "en", published=data.draw(st.booleans()))
    except PolygraftError:
        return
    assert 0 <= item.answer < len(item.candidates)


# Shots


def item(number, language="en"):
    return Item(candidates=(f"a{number}", f"b{number}"), answer=0, label="a", language=language)


def test_shots_are_drawn_by_seed_and_number_and_never_hold_the_item():
    pool = [item(number) for number in range(10)]
    shots = Shots(pool, 9, seed=0)
    for number, own in enumerate(pool):
        drawn = shots.draw(number, own)
        assert own not in drawn and len(set(drawn)) == 9
    assert Shots(pool, 3, seed=0).draw(0, pool[0]) == Shots(pool, 3, seed=0).draw(0, pool[0])
    draws = {tuple(Shots(pool, 3, seed=seed).draw(number, pool[0])) for seed in range(3) for number in range(3)}
    assert len(draws) > 5


def test_copies_of_the_item_with_another_label_are_left_out():
    twin = Item(candidates=("a0", "b0"), answer=1, label="b", language="en")
    pool = [item(0), twin, item(1), item(2)]
    for number in range(20):
        assert {shot.candidates for shot in Shots(pool, 2, seed=0).draw(number, item(0))} == {
            ("a1", "b1"),
            ("a2", "b2"),
        }


def test_shots_are_in_the_language_of_the_item_where_there_are_any():
    pool = [item(number, "en") for number in range(5)] + [item(number, "de") for number in range(5, 8)]
    drawn = Shots(pool, 3, seed=0).draw(0, item(9, "de"))
    assert {shot.language for shot in drawn} == {"de"}
    assert len(Shots(pool, 8, seed=0).draw(0, item(9, "fr"))) == 8


def test_too_few_examples_are_one_sentence():
    with pytest.raises(PolygraftError, match="only 1 example"):
        Shots([item(0), item(1)], 2, seed=0).draw(0, item(0))


# Sentences


def test_sentences_are_written_as_published_and_corrected():
    sentence = Sentence(words=("Time", "flies"), tags=("NOUN", "VERB"), language="en")
    written = {
        ("pos", True): "<s>lang: en\nTagged sentence: Time_NOUN flies_VERB</s>",
        ("ner", True): "<s>lang: en\nSentence: Time_NOUN flies_VERB Named Entities: ",
        ("pos", False): "lang: en\nTagged sentence: Time_NOUN flies_VERB",
    }
    for (task, published), text in written.items():
        assert layout_of(task, published=published).written(sentence) == text


def test_parts_of_speech_are_all_universal_ones_unless_there_are_others():
    def tagged(*tags):
        return [Sentence(words=("w",) * len(tags), tags=tags, language="en")]

    assert tag_set("pos", tagged("NOUN", "VERB")) == UNIVERSAL
    assert tag_set("pos", tagged("NN", "VB", "NN")) == ("NN", "VB")
    assert tag_set("ner", tagged("O", "B-PER")) == ("B-PER", "O")
    with pytest.raises(PolygraftError, match="nothing to choose"):
        tag_set("ner", tagged("O", "O"))


# The probe


def test_the_probe_is_whole_and_its_answers_stand_anywhere():
    items = read_probe()
    assert len(items) == 504
    assert {one.language for one in items} == {"de", "en", "es", "fr", "it", "ru"}
    assert {one.kind for one in items} == {"number", "gender", "translation", "verse"}
    assert all(len(set(one.candidates)) == len(one.candidates) for one in items)
    assert len({one.solved for one in items}) == len(items)
    assert 0.4 < sum(one.answer == 0 for one in items if len(one.candidates) == 2) / 324 < 0.6
