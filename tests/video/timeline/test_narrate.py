"""Videos narrated: the right words at the right time, whatever is asked."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from backbone.errors import PolygraftError, UsageError
from tests.video.tiny_narrator import moved, parts, tiny_narrator, write_video
from video.config import NarrateOptions
from video.timeline import query as timeline
from video.vocabulary.narrations import NarrationRow, collect
from video.vocabulary.novelty import CalibratedMargin
from video.vocabulary.vectors import TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary

SAYS = {"red": "a red wall", "lime": "a green field", "blue": "the blue sky", "white": "snow", "black": "night"}
SCENES = {"red": "inside", "black": "inside"}


@pytest.fixture(scope="module")
def narrator():
    """One whose query is the mean frame, so that it says what it sees."""
    return tiny_narrator(body="none")


@pytest.fixture(scope="module")
def encoder(narrator):
    """The narrator's text encoder, as far as anyone can tell; it puts words where their colours are."""
    images = parts()[0].encode([Image.new("RGB", (32, 24), colour) for colour in SAYS]).pooled
    table = dict(zip(SAYS.values(), images, strict=True))
    other = torch.ones(1, images.shape[1])

    def encode(texts):
        rows = [table.get(text.removesuffix(" again"), other[0]) for text in texts]
        rows = [0.9 * row + 0.1 * other[0] if text.endswith(" again") else row for row, text in zip(rows, texts)]  # noqa: B905
        return F.normalize(torch.stack(rows), dim=1) if rows else other[:0]

    own = narrator.text_encoder
    return TextEncoder(encode, name=own.name, digest=own.digest)


@pytest.fixture(scope="module")
def vocabulary(encoder):
    return NarrationVocabulary.build(collect(NarrationRow(text) for text in SAYS.values()), encoder=encoder)


def said(told):
    return [(one.start, one.stop, one.text) for one in told]


def test_a_video_is_narrated_scene_by_scene(narrator, vocabulary, tmp_path):
    video = write_video(tmp_path / "film.gif", ["red"] * 3 + ["lime"] * 4 + ["blue"] * 2 + ["red"] * 3)
    told = narrator.narrate(video, vocabulary)
    assert said(told) == [(0, 3, "a red wall"), (3, 7, "a green field"), (7, 9, "the blue sky"), (9, 12, "a red wall")]
    assert all(one.narrations[0].text == one.text and 0 < one.confidence <= 1 for one in told)
    assert [one.score for one in told] == pytest.approx([one.narrations[0].score for one in told])


def test_cuts_fall_where_the_video_changes_not_where_moments_begin(narrator, vocabulary, tmp_path, monkeypatch):
    monkeypatch.setattr(timeline, "_LEAST_CHANGE", 0.0)  # colours are all alike to an encoder of random weights
    video = write_video(tmp_path / "film.gif", ["red"] * 7 + ["blue"] * 9, seconds=0.5)
    options = NarrateOptions(every=2.0, window=2.0)
    assert said(narrator.narrate(video, vocabulary, options)) == [(0, 3.5, "a red wall"), (3.5, 8, "the blue sky")]


def test_what_is_over_in_a_flash_is_not_told(narrator, vocabulary, tmp_path):
    video = write_video(tmp_path / "film.gif", ["red"] * 4 + ["blue"] + ["red"] * 4)
    options = {"window": 1.0, "steady": 0.0, "cuts": False}
    assert len(narrator.narrate(video, vocabulary, NarrateOptions(min_span=1.0, **options))) == 3
    assert said(narrator.narrate(video, vocabulary, NarrateOptions(min_span=2.0, **options))) == [(0, 9, "a red wall")]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("next", [(1, 5, "a red wall"), (5, 8, "the blue sky")]),
        ("before", [(0, 3, "a red wall"), (3, 7, "the blue sky")]),
        ("overall", [(0, 8, "a red wall")]),
        ("What colour is it?", [(0, 4, "a red wall"), (4, 8, "the blue sky")]),
    ],
)
def test_the_question_decides_what_is_shown(narrator, vocabulary, tmp_path, question, expected):
    video = write_video(
        tmp_path / "film.gif", ["red"] * 5 + ["blue"] * 3 if question == "overall" else ["red"] * 4 + ["blue"] * 4
    )
    options = NarrateOptions(question=question, window=1.0)
    assert said(narrator.narrate(video, vocabulary, options)) == expected


def test_more_narrations_of_a_span_are_in_the_order_of_their_scores(narrator, vocabulary, tmp_path):
    video = write_video(tmp_path / "film.gif", ["red"] * 3)
    (told,) = narrator.narrate(video, vocabulary, NarrateOptions(top=3, scene_weight=0))
    assert len(told.narrations) == 3
    assert [one.score for one in told.narrations] == sorted((one.score for one in told.narrations), reverse=True)


def test_the_scene_of_the_whole_video_tips_the_balance(narrator, encoder, tmp_path):
    both = collect([NarrationRow("snow", scenario="night"), NarrationRow("snow again", scenario="snow")])
    vocabulary = NarrationVocabulary.build(both, encoder=encoder)
    video = write_video(tmp_path / "film.gif", ["white"] * 3)
    assert narrator.narrate(video, vocabulary, NarrateOptions(scene_weight=0))[0].text == "snow"
    assert narrator.narrate(video, vocabulary, NarrateOptions(scene_weight=1))[0].text == "snow again"
    assert narrator.narrate(video, vocabulary, NarrateOptions(scene_weight=0, scene_keep=1))[0].text == "snow again"


def test_what_there_are_no_words_for_is_known_and_a_segment(narrator, encoder, vocabulary, tmp_path):
    few = NarrationVocabulary.build(
        collect(NarrationRow(t) for t in [*list(SAYS.values())[1:], "fog"]), encoder=encoder
    )
    video = write_video(tmp_path / "film.gif", ["lime"] * 3 + ["red"] * 3 + ["blue"] * 3)
    encoded = narrator.encode_video(video, NarrateOptions(window=1.0))
    line = CalibratedMargin(weights=(-100.0, 0.0), bias=99.0)  # new below a cosine of .99
    assert encoded.novel(few, line).tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert not encoded.novel(vocabulary, line).any()
    (segment,) = encoded.novel_segments(few, line, scene="paint", images=True)
    assert (segment.start, segment.stop, segment.scene) == (3, 6, "paint")
    assert segment.image.convert("RGB").getpixel((5, 5)) == pytest.approx((255, 0, 0), abs=8)


def test_a_video_of_one_frame_is_one_span(narrator, vocabulary, tmp_path):
    Image.new("RGB", (32, 24), "blue").save(tmp_path / "one.png")
    (told,) = narrator.narrate(tmp_path / "one.png", vocabulary)
    assert (told.start, told.text) == (0.0, "the blue sky")


def test_a_video_is_decoded_once(narrator, tmp_path):
    video = write_video(tmp_path / "film.gif", ["red", "lime", "blue"])
    seen = []
    narrator.encode_video(video, cache=tmp_path / "cache", progress=seen.append)
    assert seen == [0, 0.5, 1, 1.5, 2, 2.5]
    narrator.encode_video(video, cache=tmp_path / "cache", progress=seen.append)
    assert len(seen) == 6


def test_a_two_hour_video_is_narrated_in_little_memory(narrator, vocabulary, tmp_path):
    # an animated image that shows each of its images for a minute and more
    video = write_video(tmp_path / "long.gif", ["red", "lime", "blue"] * 36, seconds=60)
    told = narrator.narrate(video, vocabulary, NarrateOptions(every=10, window=10, fps=0.1))
    assert told[-1].stop == pytest.approx(36 * 180)
    assert len(told) == 108
    assert {one.text for one in told} == {"a red wall", "a green field", "the blue sky"}


def test_a_short_video_has_no_next(narrator, vocabulary, tmp_path):
    video = write_video(tmp_path / "film.gif", ["red", "blue"], seconds=0.4)
    with pytest.raises(PolygraftError, match=r"0\.8 s"):
        narrator.narrate(video, vocabulary, NarrateOptions(question="next"))


def test_a_video_that_cannot_be_read_and_a_strange_vocabulary_are_one_sentence(narrator, encoder, tmp_path):
    with pytest.raises(PolygraftError, match="does not exist"):
        narrator.encode_video(tmp_path / "none.mp4")
    strange = TextEncoder(encoder.encode, name="other", digest="0" * 64)
    other = NarrationVocabulary.build(collect([NarrationRow("snow")]), encoder=strange)
    with pytest.raises(PolygraftError, match="'other'"):
        narrator.narrate(tmp_path / "none.mp4", other)


def test_a_narrator_that_writes_retrieves_nothing(tmp_path):
    with pytest.raises(PolygraftError, match="--answer retrieve"):
        tiny_narrator(answer="generate", body="frozen").encode_video(tmp_path / "film.gif")


def test_a_trained_body_narrates_the_same_in_batches_and_alone(tmp_path):
    narrator = moved(tiny_narrator())
    video = write_video(tmp_path / "film.gif", ["red"] * 40)
    queries = narrator.encode_video(video, NarrateOptions(window=1.0)).queries
    torch.testing.assert_close(queries[1:-1], queries[1:2].expand(len(queries) - 2, -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"every": 0.0}, "every is 0.0, allowed is above 0"),
        ({"window": float("nan")}, "window is nan"),
        ({"min_span": -1.0}, "min_span is -1.0, allowed is 0 or more"),
        ({"top": 0}, "top is 0"),
        ({"question": " "}, "the question is empty"),
        ({"fps": 0.0}, "fps is 0.0"),
    ],
)
def test_options_out_of_bounds_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        NarrateOptions(**options)
