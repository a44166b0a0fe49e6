import json
from dataclasses import replace
from pathlib import Path

import pytest

from backbone.feature_cache import FeatureCache
from benchmarks import personal as benchmark_personal
from benchmarks.captioning import experiment
from benchmarks.captioning.conditions import Condition, nearest_past, shown_contexts, shuffled
from multimodal.data.posts import Post
from multimodal.training import train as training
from multimodal.users.contexts import pasts as pasts_of
from starter_build.datasets.post_sets import PersonalSet, encode_posts
from starter_build.starter import captioners as systems
from tests.multimodal.tiny_captioner import TEXTS, paint, tiny_captioner, write_starter

SPLITS = {0: "test2", 1: "validation"}


def tiny_posts(folder: Path) -> list[Post]:
    """Two users of 16 images each, who write the same with other endings, and one unseen user."""
    posts = []
    for number in range(16):
        image = folder / f"{number}.png"
        paint(number).save(image)
        for user, ending in (("plain/0", ""), ("loud/0", " wow"), ("third/0", " hm")):
            split = SPLITS.get(number % 8, "train")
            split = split if user != "third/0" else "test1"
            text = TEXTS[number % 8].rstrip("!") + ending
            posts.append(Post(image=image, text=text, user=user, id=f"{user}/{number}", split=split))
    return posts


@pytest.fixture
def bench(tmp_path: Path) -> PersonalSet:
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    posts = tiny_posts(tmp_path)
    return encode_posts("authors", posts, {post.id: "" for post in posts}, cache)


def test_own_past_is_searched_and_no_other(bench: PersonalSet):
    told = bench.pasts(["plain/0", "loud/0"], None, seed=0)
    data = bench.splits["test2"]
    captions = nearest_past(bench, data, told)
    assert all(c.endswith("wow") == (p.user == "loud/0") for c, p in zip(captions, data.posts, strict=True))


def test_no_post_is_its_own_nearest(bench: PersonalSet):
    one = bench.splits["train"].take([0])
    assert nearest_past(bench, one, pasts_of(one, bench.encoder)) == [""]


def test_the_training_users_lend_their_training_posts_alone(bench: PersonalSet):
    community, train = bench.community, bench.splits["train"]
    assert community.users == ("loud/0", "plain/0") and sorted(community.texts) == sorted(train.texts)
    assert set(community.groups) == set(bench.groups("train"))


@pytest.mark.parametrize(
    ("name", "borrows"),
    [
        (systems.OURS, True),
        ("ours, own past alone", False),
        (systems.BLIND, False),
        ("ours, without past captions", False),
    ],
)
def test_systems_borrow_where_they_see_images_and_read_past_captions(bench: PersonalSet, name: str, borrows: bool):
    system = systems.SYSTEMS[name]
    shown = shown_contexts(Condition(name="3", past=3), system, bench)
    assert shown is not None
    posts = bench.splits["test2"].posts
    own = {user: set(past.texts) for user, past in bench.past.items()}
    borrowed = [set(dict(context.posts)) - own[post.user] for post, context in zip(posts, shown, strict=True)]
    assert any(borrowed) == borrows
    assert {len(context.posts) for context in shown} == {3 if system.config.past_posts and not borrows else 5 * borrows}


def test_shuffled_pasts_are_nobodys_own(bench: PersonalSet):
    told = bench.pasts(["plain/0", "loud/0"], None, seed=0)
    assert shuffled(told)["plain/0"] is told["loud/0"]


def test_paper_context_counts_the_very_caption(bench: PersonalSet):
    system = replace(systems.SYSTEMS[systems.OURS], settings={"words": 200})
    posts = list(bench.splits["test2"].posts)
    posts[0] = replace(posts[0], text="zeppelin")
    split = replace(bench.splits["test2"], posts=tuple(posts), texts=tuple(p.text for p in posts))
    train = bench.splits["train"]
    known = replace(train.posts[0], text="zeppelin")
    trained = replace(train, posts=(known, *train.posts[1:]), texts=("zeppelin", *train.texts[1:]))
    data = replace(bench, splits={**bench.splits, "test2": split, "train": trained})
    other = "loud/0" if posts[0].user == "plain/0" else "plain/0"
    posts[0], number = replace(posts[0], user=other), data.table.words.index("zeppelin")
    data.splits["test2"] = replace(split, posts=tuple(posts))
    found = {}
    for paper in (True, False):
        shown = shown_contexts(Condition(name="x", paper=paper), system, data)
        assert shown is not None
        found[paper] = number in {word for word, _ in shown[0].words}
    assert found[True] and (not found[False] or known.user == other)


def test_a_system_that_sees_nothing_gets_the_same_row_for_all(bench: PersonalSet):
    blind = systems.seen_by(systems.SYSTEMS[systems.BLIND], bench.splits["train"])
    rows = blind.features.take(blind.rows).pooled
    assert (rows == rows[0]).all()


@pytest.fixture
def tiny_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A starter, authors and systems so small that each is trained in a moment."""
    monkeypatch.setenv("POLYGRAFT_STARTER", str(write_starter(tmp_path / "starter")))
    posts = tiny_posts(tmp_path)

    def tiny(_name: str, _data: Path, cache: FeatureCache) -> PersonalSet:
        return encode_posts("authors", posts, {post.id: "" for post in posts}, cache)

    monkeypatch.setattr(experiment, "load_set", tiny)
    for name, system in list(systems.SYSTEMS.items()):
        small = replace(system, settings={**system.settings, "heads": 2, "prefix_length": 3, "clip_length": 2})
        monkeypatch.setitem(systems.SYSTEMS, name, small)
    return tmp_path


def test_a_system_is_trained_with_what_it_is_tested_with(tiny_world: Path, monkeypatch: pytest.MonkeyPatch):
    shown, trained = [], training.train_captioner

    def record(captioner, data, config, **keywords):
        own = {user: {p.text for p in data.posts if p.user == user} for user in ("plain/0", "loud/0")}
        for seen, posts in ((keywords["users"], data), (keywords["validation_users"], keywords["validation"])):
            pairs = zip(seen, posts.posts, strict=True)
            shown.append(any(set(dict(one.posts)) - own[post.user] for one, post in pairs))
        return trained(captioner, data, config, **keywords)

    monkeypatch.setattr(training, "train_captioner", record)
    schedule = systems.CaptionSchedule(steps=1, batch_size=8)
    tiny = experiment.CaptioningExperiment.open(
        "authors", tiny_world, tiny_world / "work", schedule=schedule, device="cpu"
    )
    for system in (systems.OURS, "ours, own past alone"):
        tiny.trained(system, 0)
    # few past posts are left in training: there others share
    assert shown[0] and not any(shown[2:])


def test_the_command_prints_tables_and_keeps_what_it_made(tiny_world: Path, capsys: pytest.CaptureFixture[str]):
    tmp_path = tiny_world
    options = benchmark_personal.Options(
        sets=("authors",), parts=("table", "controls"), seeds=(0,), work=tmp_path / "work", data=tmp_path,
        train=systems.CaptionSchedule(steps=4, batch_size=8), device="cpu", json=True,
    )  # fmt: skip
    assert benchmark_personal.main(options) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    tables = [line for line in printed if "table" in line]
    assert len(tables) == 6 and any("ours over it" in row for row in tables[0]["rows"].values())
    assert "ours over it" not in tables[0]["rows"][systems.OURS]
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").rglob("captions/*.json")}
    assert benchmark_personal.main(options) == 0
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_unknown_ablations_are_refused():
    with pytest.raises(Exception, match="without hope"):
        benchmark_personal.Options(ablations=("without hope",))
