"""The examiner: which texts are right, how hits are ranked, and that what is said is what was found."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from backbone.errors import PolygraftError
from tests.video.tiny_narrator import TEXTS, clip_set, moved, parts, planted_set, tiny_narrator, write_video
from tests.video.toy import toy_vocabulary
from video.data.clip_features import gather
from video.data.clips import Clip
from video.data.feature_cache import VideoCache
from video.evaluation import NarratorEvaluator, hit_ranks, truths
from video.vocabulary.narrations import NarrationRow, collect
from video.vocabulary.vectors import Hits
from video.vocabulary.vocabulary import NarrationVocabulary


def hits(*rows):
    """Return hits of (score, row) pairs for each query."""
    scores = torch.tensor([[score for score, _ in row] for row in rows])
    numbers = torch.tensor([[number for _, number in row] for row in rows])
    return Hits(scores, numbers)


def test_hits_are_ranked_with_ties_at_their_worst():
    found = hits([(0.9, 4), (0.9, 7), (0.5, 2)], [(0.9, 4), (0.8, 7), (0.5, 2)], [(0.9, 4), (0.8, 7), (0.8, 2)])
    assert hit_ranks([found], [[4], [7, 2], [7, 2]]).tolist() == [2, 2, 2]
    assert hit_ranks([found, found], [[2], [5], [], [7], [4, 7], [2]]).tolist() == [3, 4, 4, 2, 1, 3]


def test_right_are_all_texts_of_the_same_moment_and_question_the_own_first():
    data = planted_set().take([0, 1, 0, 0])
    clips = tuple(Clip(video=Path("x"), text=text, question=asked) for text, asked in
                  (("cut", "now"), ("wash", "now"), ("chop", "now"), ("cook", "overall")))  # fmt: skip
    same = clip_set([data.frames(at) for at in range(4)], [clip.text for clip in clips])
    features = data.features
    moments = type(same)(clips=clips, features=features, encoder=same.encoder)
    assert truths(moments) == [("cut", "chop"), ("wash",), ("chop", "cut"), ("cook",)]


@pytest.fixture(scope="module")
def narrator():
    return moved(tiny_narrator(residual=False))


def test_what_is_said_is_the_text_nearest_to_the_query(narrator):
    data = planted_set()
    narrations, figures = NarratorEvaluator(narrator, data, batch_size=7).measure()
    vectors = narrator.text_encoder.half(TEXTS).double()
    with torch.no_grad():
        queries = narrator.query(narrator.batch([data.frames(at) for at in range(36)], [data.clips[0].asked] * 36))
    nearest = (F.normalize(queries, dim=1).double() @ vectors.T).argmax(dim=1)
    assert narrations == [TEXTS[at] for at in nearest]
    right = sum(text == own for text, own in zip(narrations, TEXTS, strict=True)) / 36
    assert figures["deduplicated_recall_1"] == pytest.approx(right)


def test_a_vocabulary_of_the_same_texts_finds_the_same(narrator):
    data = planted_set()
    vocabulary = NarrationVocabulary.build(collect(NarrationRow(text) for text in TEXTS), encoder=narrator.text_encoder)
    (one, first), (other, second) = (
        NarratorEvaluator(narrator, data, vocabulary=each).measure() for each in (None, vocabulary)
    )
    assert one == other
    assert second["coverage"] == 1.0
    for name in ("deduplicated_recall_1", "deduplicated_recall_5", "multi_positive_recall_5"):
        assert second[name] == first[name]


def test_a_vocabulary_of_another_text_encoder_is_refused(narrator):
    with pytest.raises(PolygraftError, match="'toy'"):
        NarratorEvaluator(narrator, planted_set(), vocabulary=toy_vocabulary())


def test_the_time_end_to_end_is_of_reading_anew(narrator, tmp_path, monkeypatch):
    videos = [write_video(tmp_path / f"{at}.gif", ("red", "blue")) for at in range(4)]
    clips = [Clip(video=video, text=text, id=text) for video, text in zip(videos, TEXTS[:4], strict=True)]
    data = gather(clips, VideoCache(tmp_path / "cache", parts()[0]))
    encode, seen = parts()[0].encode, []
    monkeypatch.setattr(parts()[0], "encode", lambda images, **k: seen.append(len(images)) or encode(images, **k))
    assert NarratorEvaluator(narrator, data).seconds_end_to_end(3) > 0
    assert seen == [4, 4, 4]
