"""Candidates scored in branches from what they share, against scoring each whole text by itself."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from crosslingual.evaluation.scorer import Branches, CandidateScore, Encoder, Scorer, chosen
from crosslingual.evaluation.tagging import UNIVERSAL, Tagger
from tests.backbone.tiny import tiny_model, tiny_tokenizer
from tests.crosslingual.tiny_models import llama

QUESTIONS = [
    ("", ["The cat sits on the mat.", "The cat sits on the roof of the mat.", "The cat"]),
    ("The bird looks at", [" the sea.", " the cat, and sings.", " 漢字 👍"]),
    ("One example.\nTwo examples.\n", ["A dog runs", "The dogs run"]),
    ("The balloon", ["s", " s", ""]),
    ("", ["a", "b"]),
]


def made(architecture):
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = {"gpt2": tiny_model, "llama": llama}[architecture](len(tokenizer))
    for parameter in model.parameters():
        parameter.data.mul_(4 if architecture == "llama" else 1)  # else all tokens are nearly as likely
    return Backbone.from_parts(model, tokenizer, name=architecture)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def backbone(request):
    return made(request.param)


def encoder_of(backbone, *, context=60, start=True, specials=False):
    first = backbone.bos_id if start else None
    return Encoder(backbone.tokenizer, context=context, start=first, fallback=backbone.eos_id, specials=specials)


def ids_of(backbone, text, start):
    return [backbone.bos_id] * start + backbone.tokenizer(text)["input_ids"]


@torch.no_grad()
def naive(backbone, prompt, candidates, start=True):
    """Log-probability, tokens and greediness of what differs from the prompt's own tokens, a text at a time."""
    given = ids_of(backbone, prompt, start)
    texts = [ids_of(backbone, prompt + candidate, start) for candidate in candidates]
    same = next(i for i in range(len(given), -1, -1) if all(ids[:i] == given[:i] for ids in texts))
    for ids in texts:
        begin = max(same, 1)
        logits = backbone.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        wanted = torch.tensor(ids[begin:], dtype=torch.int64)
        predicted = logits[begin - 1 : -1]
        own = predicted.gather(1, wanted[:, None])
        yield float(own.sum()), len(wanted), bool((own[:, 0] >= predicted.amax(1)).all())


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("batch_size", [4, 64])
def test_scores_are_those_of_each_whole_text(backbone, batch_size, start):
    scorer = Scorer(backbone, encoder_of(backbone, start=start), batch_size=batch_size)
    questions = QUESTIONS if start else QUESTIONS[:3]
    for (prompt, candidates), scores in zip(questions, scorer.score(questions), strict=True):
        expected = list(naive(backbone, prompt, candidates, start))
        assert [score.log_probability for score in scores] == pytest.approx([one[0] for one in expected], abs=1e-4)
        assert [score.tokens for score in scores] == [one[1] for one in expected]
        assert [score.greedy for score in scores] == [one[2] for one in expected]
        assert chosen(scores, "sum") == max(range(len(expected)), key=lambda number: expected[number][0])


def test_without_a_start_token_the_first_token_is_not_predicted(backbone):
    [[one, other]] = Scorer(backbone, encoder_of(backbone, start=False)).score([("", ["a", "b!"])])
    assert (one.tokens, one.log_probability) == (0, 0.0)
    assert other.tokens == 1 and other.log_probability < 0


def test_what_a_greedy_model_writes_is_greedy(backbone):
    ids = ids_of(backbone, "The cat", True)
    with torch.no_grad():
        for _ in range(3):
            ids.append(int(backbone.model(torch.tensor([ids])).logits[0, -1].argmax()))
    other = [*ids[:-1], (ids[-1] + 1) % backbone.vocabulary_size]
    branches = Branches(shared=ids[:-2], tails=[ids[-2:], other[-2:]], counted=1)
    [scores] = Scorer(backbone, encoder_of(backbone)).score_branches([branches])
    assert [score.greedy.tolist() for score in scores] == [[True, True, True], [True, True, False]]


@settings(max_examples=8)
@given(
    prompt=st.text(max_size=12),
    candidates=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4),
)
def test_any_text_is_scored_as_by_itself(prompt, candidates):
    backbone = BACKBONE
    [scores] = Scorer(backbone, encoder_of(backbone), batch_size=3).score([(prompt, candidates)])
    expected = [one[0] for one in naive(backbone, prompt, candidates)]
    assert [score.log_probability for score in scores] == pytest.approx(expected, abs=1e-4)


BACKBONE = made("gpt2")


def test_fewer_tokens_are_read_than_there_are(backbone):
    scorer = Scorer(backbone, encoder_of(backbone))
    scorer.score([("The cat sits on the mat and looks at", [" the sea.", " the bird.", " the cat."])])
    whole = len(ids_of(backbone, "The cat sits on the mat and looks at the sea.", True))
    assert scorer.effort.read < whole + 10 and scorer.effort.naive > 2.5 * whole


def test_an_over_long_prompt_loses_its_first_lines(backbone):
    lines = [f"The cat sits on roof {number}." for number in range(12)]
    candidates = [" It sings.", " It runs."]
    encoder = encoder_of(backbone, context=40)
    scorer = Scorer(backbone, encoder)
    [scores] = scorer.score([("\n".join(lines) + "\nThe cat:", candidates)])
    fitting = [
        prompt
        for start in range(12)
        if max(len(ids_of(backbone, (prompt := "\n".join(lines[start:]) + "\nThe cat:") + c, True)) for c in candidates)
        <= 40
    ]
    assert len(fitting) < 12 and scorer.effort.cut == 1
    assert [s.log_probability for s in scores] == pytest.approx(
        [one[0] for one in naive(backbone, fitting[0], candidates)], abs=1e-4
    )


def test_a_prompt_without_lines_loses_its_first_tokens(backbone):
    prompt = "The cat sits on the mat and looks at the bird. " * 6
    [branches] = encoder_of(backbone, context=40)(prompt, ["A", "The cat!"])
    ids = ids_of(backbone, prompt + "The cat!", True)
    assert branches.cut and max(branches.lengths) == 40
    assert branches.shared + branches.tails[1] == ids[-40:]
    assert branches.counted == 0


def test_candidates_that_do_not_fit_are_one_sentence(backbone):
    with pytest.raises(PolygraftError, match="does not fit into 10"):
        encoder_of(backbone, context=10)("The cat", [" sits on the mat and looks at the bird", " x"])


def test_names_of_special_tokens_are_characters_unless_told(backbone):
    [plain] = encoder_of(backbone)("", ["<|endoftext|>a", "<|endoftext|>b"])
    [special] = encoder_of(backbone, specials=True)("", ["<|endoftext|>a", "<|endoftext|>b"])
    assert len(plain.shared) > 3 and special.shared == [backbone.bos_id, backbone.eos_id]


# Words tagged one after the other


def naively_tagged(backbone, opening, words, tags):
    text, found, read = opening, [], 0
    for word in words:
        text += f"{word}_"
        scores = [one[0] for one in naive(backbone, text, tags)]
        read += sum(len(ids_of(backbone, text + tag, True)) for tag in tags)
        found.append(tags[scores.index(max(scores))])
        text += f"{found[-1]} "
    return tuple(found), read


SENTENCE = ("the", "cat", "sits")


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def roomy(request):
    tokenizer = tiny_tokenizer("".join(f"_{tag} lang: en Tagged sentence: the cat sits on mat " for tag in UNIVERSAL))
    model = tiny_model(300, n_positions=512) if request.param == "gpt2" else llama(300)
    return Backbone.from_parts(model, tokenizer, name="roomy")


def test_tags_are_those_of_whole_texts_for_a_tenth_of_the_tokens(roomy):
    examples = "lang: en\nTagged sentence: the_DET mat_NOUN sits_VERB on_ADP\n"
    tagger = Tagger(roomy, encoder_of(roomy, context=500), UNIVERSAL, "sum")
    opening = f"{examples}lang: en\nTagged sentence: "
    expected, read = naively_tagged(roomy, opening, SENTENCE, UNIVERSAL)
    assert tagger.tag(opening, SENTENCE) == expected
    assert tagger.effort.naive == read
    assert tagger.effort.read * 10 < read


def test_a_second_sentence_is_tagged_as_if_it_were_the_first(roomy):
    encoder = encoder_of(roomy, context=500)
    used = Tagger(roomy, encoder, UNIVERSAL[:3], "mean")
    openings = ["lang: en\nTagged sentence: ", "a\nlang: de\nTagged sentence: ", "lang: en\nTagged sentence: "]
    for one, other in pairwise(openings):
        used.tag(one, SENTENCE)
        fresh = Tagger(roomy, encoder, UNIVERSAL[:3], "mean")
        assert used.tag(other, SENTENCE[::-1]) == fresh.tag(other, SENTENCE[::-1])


def test_tag_scores_are_those_of_the_scorer(roomy):
    encoder = encoder_of(roomy, context=500)
    text = "lang: en\nTagged sentence: the_"
    one = Tagger(roomy, encoder, UNIVERSAL, "sum").scores(text)
    [other] = Scorer(roomy, encoder).score([(text, UNIVERSAL)])
    assert [s.log_probability for s in one] == pytest.approx([s.log_probability for s in other], abs=1e-4)


# What is chosen


def test_the_three_scores_choose_by_what_they_say():
    def score(log_probability, tokens, size):
        return CandidateScore(log_probability=log_probability, tokens=tokens, bytes=size, greedy=False)

    scores = [score(-2, 1, 1), score(-3, 3, 2), score(-4, 2, 8)]
    assert [chosen(scores, by) for by in ("sum", "mean", "byte")] == [0, 1, 2]
    assert chosen([scores[1], scores[1]], "sum") == 0
    with pytest.raises(PolygraftError, match="no number"):
        chosen([score(math.nan, 1, 1)], "sum")
