import fcntl
import json
import os
from datetime import UTC, datetime

import pytest
import torch

from backbone.errors import PolygraftError, UsageError
from tests.video.toy import embed, toy_encoder, toy_narrations, toy_vocabulary
from video.timeline.query import Segment
from video.update.rollback import rollback
from video.update.update import Growth, UpdateOptions, decide, grow
from video.vocabulary.entries import Origin
from video.vocabulary.vectors import TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary


def segment(said, start=0.0, video="film.mp4", scene=""):
    return Segment(video=video, start=start, stop=start + 2, query=embed([said])[0], scene=scene)


class Script:
    """A proposer that says what is written, and remembers for what it was asked."""

    def __init__(self, *answers, name="script"):
        self.answers, self.name, self.asked = list(answers), name, []

    def propose(self, segment):
        self.asked.append(segment.start)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return [answer]


@pytest.fixture
def folder(tmp_path):
    return toy_vocabulary().save_pretrained(tmp_path / "vocabulary")


def update(folder, segments, proposer, **options) -> Growth:
    told = datetime(2025, 3, 1, 12, tzinfo=UTC)
    return grow(folder, segments, proposer, toy_encoder(), options=UpdateOptions(**options), clock=lambda: told)


def texts(folder):
    return {entry.text for entry in NarrationVocabulary.from_pretrained(folder).entries("narrations")}


BEFORE = {entry.text for entry in toy_vocabulary().entries("narrations")}


# What is let in


def fates(said, proposals, room=9, **options):
    decisions = decide(
        toy_vocabulary(),
        embed([said])[0],
        proposals,
        embed(proposals).half() if proposals else torch.zeros(0, 32).half(),
        options=UpdateOptions(**options),
        room=room,
    )
    return {decision.text: decision.outcome for decision in decisions}


def test_what_fits_better_than_all_there_was_is_admitted():
    assert fates("peel a carrot", ["peel a carrot", "peel a banana", "fly a kite"]) == {
        "peel a carrot": "admitted",
        "peel a banana": "admitted",
        "fly a kite": "no better",
    }


def test_what_fits_hardly_better_is_left_out():
    decision = decide(
        toy_vocabulary(),
        embed(["peel a carrot"])[0],
        ["peel a banana"],
        embed(["peel a banana"]).half(),
        options=UpdateOptions(),
        room=1,
    )[0]
    better = decision.score - decision.beaten
    assert better > 0.06
    for gain, fate in {0.0: "admitted", better - 0.01: "admitted", better + 0.01: "no better"}.items():
        assert fates("peel a carrot", ["peel a banana"], gain=gain) == {"peel a banana": fate}


def test_what_is_there_already_is_a_duplicate():
    assert fates("open the door", ["open the door", "the door open"]) == dict.fromkeys(
        ["open the door", "the door open"], "duplicate"
    )


def test_a_sentence_that_is_there_already_is_one_even_where_similarity_is_allowed():
    assert fates("open the door", ["open the door"], duplicate=1.0) == {"open the door": "duplicate"}


def test_of_two_alike_the_closer_one_enters():
    found = fates("peel a carrot", ["carrot a peel", "peel a carrot", "peel a big carrot"], duplicate=0.85)
    assert found == {"carrot a peel": "admitted", "peel a carrot": "duplicate", "peel a big carrot": "duplicate"}


def test_the_room_is_kept():
    assert list(fates("peel a carrot", ["peel a banana", "peel a carrot"], room=1).values()) == [
        "admitted",
        "over the cap",
    ]


def test_no_proposals_no_decisions():
    assert fates("peel", []) == {}


@pytest.mark.parametrize(
    "wrong", [{"duplicate": 0.0}, {"duplicate": 1.1}, {"gain": -0.1}, {"gain": 2.0}, {"per_film": 0}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        UpdateOptions(**wrong)


# Growth


def test_an_update_is_found_afterwards_with_its_origin(folder):
    grown = update(folder, [segment("peel a carrot", 3.0, scene="Cooking")], Script("1. Peel a carrot; fly a kite"))
    score = float(embed(["peel a carrot"]).half().double()[0] @ embed(["peel a carrot"]).double()[0])
    best_before = float(toy_vocabulary().search(embed(["peel a carrot"])).scores)
    assert [decision.outcome for decision in grown.decisions] == ["admitted", "no better"]
    for vocabulary in (grown.vocabulary, NarrationVocabulary.from_pretrained(folder)):
        found = vocabulary.retrieve(embed(["peel a carrot"]))[0][0]
        entry = vocabulary.entry(found.row)
        assert (found.text, found.row, entry.scenarios, entry.videos) == (
            "peel a carrot",
            10,
            ("cooking",),
            ("film.mp4",),
        )
        assert entry.origin == Origin(
            proposer="script",
            film="film.mp4",
            start=3.0,
            stop=5.0,
            when="2025-03-01T12:00:00+00:00",
            score=pytest.approx(score),
            beaten=pytest.approx(best_before),
        )
        assert [*vocabulary.counts.values()] == [11, 8, 3, 2]


def test_what_was_built_is_not_touched(folder):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    update(folder, [segment("peel a carrot")], Script("peel a carrot"))
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_new_scene_is_one_more_and_counts_for_what_was_found_there(folder):
    update(folder, [segment("prune a rose", scene="Gardening")], Script("prune a rose; cut a rose"))
    vocabulary = NarrationVocabulary.from_pretrained(folder)
    assert [entry.text for entry in vocabulary.entries("scenes")] == ["cooking", "working with wood", "gardening"]
    found = vocabulary.retrieve(embed(["cut a"]), scene_queries=embed(["gardening"]))[0][0]
    assert found.text == "cut a rose"


def test_two_updates_share_a_scene_and_either_can_be_taken_back(folder):
    for video, said in (("a", "prune a rose"), ("b", "water the lawn")):
        update(folder, [segment(said, video=video, scene="Gardening")], Script(said))
    rollback(folder, "0001")
    vocabulary = NarrationVocabulary.from_pretrained(folder)
    assert (vocabulary.size("scenes"), texts(folder)) == (3, BEFORE | {"water the lawn"})
    assert vocabulary.entry(10).scenarios == ("gardening",)


def test_one_call_a_segment_and_later_ones_see_what_earlier_ones_brought(folder):
    script = Script("peel a carrot", "peel a carrot", "")
    grown = update(folder, [segment("peel a carrot", start) for start in (0.0, 2.0, 4.0)], script)
    assert script.asked == [0.0, 2.0, 4.0]
    assert [decision.outcome for decision in grown.decisions] == ["admitted", "duplicate"]
    assert [(tried.start, tried.proposed, tried.admitted) for tried in grown.update.header.segments] == [
        (0.0, 1, 1),
        (2.0, 1, 0),
        (4.0, 0, 0),
    ]


def test_a_video_has_a_cap_over_all_its_updates(folder):
    said = ["peel a carrot", "boil some rice", "drink green tea"]
    for index, text in enumerate(said):
        script = Script(text)
        update(folder, [segment(text, float(index))], script, per_film=2)
    assert texts(folder) - BEFORE == {"peel a carrot", "boil some rice"}
    assert script.asked == []
    update(folder, [segment(said[2], video="other")], Script(said[2]), per_film=2)
    assert "drink green tea" in texts(folder)


def test_a_proposer_that_fails_leaves_what_was_admitted_and_the_next_call_goes_on(folder):
    segments = [segment("peel a carrot", 0.0), segment("boil some rice", 2.0)]
    with pytest.raises(PolygraftError, match="it broke"):
        update(folder, segments, Script("peel a carrot", PolygraftError("it broke")))
    assert "peel a carrot" in texts(folder)
    script = Script("boil some rice")
    grown = update(folder, segments, script)
    assert (script.asked, grown.update.header.id, grown.update.header.state) == ([2.0], "0001", "finished")
    assert texts(folder) - BEFORE == {"peel a carrot", "boil some rice"}


def test_another_proposer_does_not_go_on_with_it(folder):
    segments = [segment("peel a carrot", 0.0), segment("boil some rice", 2.0)]
    with pytest.raises(PolygraftError):
        update(folder, segments, Script("peel a carrot", PolygraftError("it broke"), name="first"))
    grown = update(folder, segments, Script("peel a carrot", "boil some rice", name="second"))
    assert (grown.update.header.id, grown.update.header.proposer) == ("0002", "second")
    assert [u.header.state for u in grown.vocabulary.updates] == ["open", "finished"]


def test_no_segments_no_update_and_one_video_at_a_time(folder):
    grown = update(folder, [], Script())
    assert (grown.update, grown.decisions, (folder / "updates").exists()) == (None, (), False)
    with pytest.raises(UsageError, match="of one video"):
        update(folder, [segment("a", video="a"), segment("a", video="b")], Script())


def test_another_encoder_or_no_vectors_are_refused(folder, tmp_path):
    with pytest.raises(PolygraftError, match="does not fit 'other'"):
        grow(folder, [segment("a")], Script(), TextEncoder(embed, "other", "ff" * 32))
    bare = NarrationVocabulary.build(toy_narrations()).save_pretrained(tmp_path / "bare")
    with pytest.raises(PolygraftError, match="build it without --no-vectors"):
        grow(bare, [segment("a")], Script(), toy_encoder())


def test_a_copy_keeps_the_updates(folder, tmp_path):
    update(folder, [segment("peel a carrot", scene="Gardening")], Script("peel a carrot"))
    copy = NarrationVocabulary.from_pretrained(folder).save_pretrained(tmp_path / "copy")
    assert texts(copy) == texts(folder)
    assert NarrationVocabulary.from_pretrained(copy).counts == NarrationVocabulary.from_pretrained(folder).counts


# Rolling back


def test_the_latest_update_goes_first_and_its_record_stays(folder):
    for video, said in (("a", "peel a carrot"), ("b", "boil some rice")):
        update(folder, [segment(said, video=video)], Script(said))
    assert rollback(folder).header.film == "b"
    assert texts(folder) == BEFORE | {"peel a carrot"}
    assert [u.header.state for u in NarrationVocabulary.from_pretrained(folder).updates] == ["finished", "rolled back"]
    assert rollback(folder).header.film == "a"
    assert texts(folder) == BEFORE
    with pytest.raises(PolygraftError, match="no update to roll back"):
        rollback(folder)


def test_ids_are_not_given_twice(folder):
    update(folder, [segment("peel a carrot")], Script("peel a carrot"))
    rollback(folder)
    grown = update(folder, [segment("peel a carrot")], Script("peel a carrot"))
    assert grown.update.header.id == "0002"
    with pytest.raises(PolygraftError, match="0001; .*0002"):
        rollback(folder, "0001")
    with pytest.raises(PolygraftError, match="7; .*0002"):
        rollback(folder, "7")


def test_nothing_happens_to_a_folder_that_is_no_vocabulary(tmp_path):
    with pytest.raises(PolygraftError, match="cannot be opened"):
        rollback(tmp_path / "nowhere")
    with pytest.raises(PolygraftError, match="is no narration vocabulary"):
        rollback(tmp_path)


# The folder


def test_one_process_at_a_time_changes_a_vocabulary(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(PolygraftError, match="another process"):
        rollback(folder)
    os.close(descriptor)
    with pytest.raises(PolygraftError, match="no update"):
        rollback(folder)


def test_what_a_killed_save_left_is_passed_over(folder):
    update(folder, [segment("peel a carrot")], Script("peel a carrot"))
    (folder / "updates" / ".0002.saving-1234").mkdir()
    assert texts(folder) == BEFORE | {"peel a carrot"}


def change(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda one: change(one / "config.json", text_encoder={"name": "x", "sha256": "0"}), "another text encoder"),
        (lambda one: change(one / "config.json", id="0007"), "holds the update '0007'"),
        (lambda one: change(one / "config.json", state="half done"), "UpdateHeader.state is 'half done'"),
        (lambda one: (one / "narrations.jsonl").write_text(""), "has 0 lines"),
        (lambda one: (one / "config.json").unlink(), "is no vocabulary update"),
        (lambda one: one.rename(one.with_name("first")), "give it back its name"),
    ],
)
def test_a_damaged_update_is_one_sentence(folder, damage, told):
    update(folder, [segment("peel a carrot")], Script("peel a carrot"))
    damage(folder / "updates" / "0001")
    with pytest.raises(PolygraftError, match=told):
        NarrationVocabulary.from_pretrained(folder)
