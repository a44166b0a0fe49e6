import json
from dataclasses import replace
from pathlib import Path

import pytest

from backbone.feature_cache import FeatureCache
from benchmarks import personal as benchmark_personal
from benchmarks.captioning import experiment as laboratory
from benchmarks.captioning.baselines import baseline_captions, nearest_past
from benchmarks.captioning.conditions import Condition, shown_contexts, shuffled
from benchmarks.captioning.plots import draw_grid, drawn_pairs
from benchmarks.captioning.tables import CaptionRun, compared, counterfactual_accuracy
from benchmarks.common import summary
from multimodal.data.posts import Post
from multimodal.training import train as training
from multimodal.users.contexts import pasts as pasts_of
from starter_build.datasets import post_sets as sets
from starter_build.datasets.post_sets import Authors, PersonalSet, scored_form
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
def bench(tmp_path: Path) -> Authors:
    cache = FeatureCache(tmp_path / "cache", tiny_captioner().encoder)
    posts = tiny_posts(tmp_path)
    return Authors(data=sets._encoded("authors", posts, {post.id: "" for post in posts}, cache))


def run_of(captions: list[str], users: tuple[str, ...] = ("a/0", "b/0")) -> CaptionRun:
    posts = [
        Post(image=Path(f"{at // 2}.png"), text=f"{users[at % 2]} says {at // 2}", user=users[at % 2], id=f"{at}")
        for at in range(len(captions))
    ]
    return CaptionRun(posts=posts, captions=captions)


def test_shortcodes_are_scored_word_by_word():
    assert scored_form(":man_cook: #food") == "man cook  #food"


def test_own_past_is_searched_and_no_other(bench: Authors):
    told = bench.pasts(["plain/0", "loud/0"], None, seed=0)
    data = bench.data.splits["test2"]
    captions = nearest_past(bench.data, data, told)
    assert all(c.endswith("wow") == (p.user == "loud/0") for c, p in zip(captions, data.posts, strict=True))


def test_a_user_without_a_past_has_no_nearest_image(bench: Authors):
    data = bench.data.splits["test2"]
    assert nearest_past(bench.data, data, {}) == [""] * len(data.posts)


def test_no_post_is_its_own_nearest(bench: Authors):
    one = bench.data.splits["train"].take([0])
    assert nearest_past(bench.data, one, pasts_of(one, bench.data.encoder)) == [""]


def test_baselines_caption_every_post(bench: Authors):
    told = bench.pasts(["plain/0", "loud/0"], None, seed=0)
    rows = baseline_captions(bench, "test2", told)
    assert len(rows) == 4 and {len(captions) for captions in rows.values()} == {len(bench.data.splits["test2"].posts)}
    borrowed = rows["nearest image, own and borrowed"]
    posts = bench.data.splits["test2"].posts
    assert sum(c.endswith("wow") == (p.user == "loud/0") for c, p in zip(borrowed, posts, strict=True)) > len(posts) / 2


def test_who_writes_alike_lends_the_caption_of_the_nearest_image(bench: Authors):
    data = bench.data.splits["test2"]
    short = bench.pasts(["plain/0", "loud/0"], 1, seed=0)
    new = {user: replace(past, user="new") for user, past in short.items()}
    borrowed = nearest_past(bench.data, data, new, shares=True)
    assert all(c.endswith("wow") == (p.user == "loud/0") for c, p in zip(borrowed, data.posts, strict=True))
    own = {user: past.texts[0] for user, past in short.items()}
    assert any(c != own[p.user] for c, p in zip(borrowed, data.posts, strict=True))
    assert nearest_past(bench.data, data, {}, shares=True) == [""] * len(data.posts)


def test_the_training_users_lend_their_training_posts_alone(bench: Authors):
    community, train = bench.data.community, bench.data.splits["train"]
    assert community.users == ("loud/0", "plain/0") and sorted(community.texts) == sorted(train.texts)
    assert set(community.groups) == set(bench.data.groups("train"))


@pytest.mark.parametrize(
    ("name", "borrows"),
    [
        (systems.OURS, True),
        ("ours, own past alone", False),
        (systems.BLIND, False),
        ("ours, without past captions", False),
    ],
)
def test_systems_borrow_where_they_see_images_and_read_past_captions(bench: Authors, name: str, borrows: bool):
    system = systems.SYSTEMS[name]
    shown = shown_contexts(Condition(name="3", past=3), system, bench)
    assert shown is not None
    posts = bench.data.splits["test2"].posts
    own = {user: set(past.texts) for user, past in bench.data.past.items()}
    borrowed = [set(dict(context.posts)) - own[post.user] for post, context in zip(posts, shown, strict=True)]
    assert any(borrowed) == borrows
    assert {len(context.posts) for context in shown} == {3 if system.config.past_posts and not borrows else 5 * borrows}


def test_pasts_can_be_shortened_and_an_unseen_user_has_one(bench: Authors):
    told = bench.pasts(["plain/0", "third/0"], 3, seed=0)
    assert len(told["plain/0"]) == len(told["plain/0"].ids) == 3
    assert all(text.endswith("hm") for text in bench.pasts(["third/0"], None, seed=0)["third/0"].texts)


def test_shuffled_pasts_are_nobodys_own(bench: Authors):
    told = bench.pasts(["plain/0", "loud/0"], None, seed=0)
    assert shuffled(told)["plain/0"] is told["loud/0"]


@pytest.mark.parametrize(("condition", "known"), [
    (Condition(name="own"), True), (Condition(name="nobody", history="nobody"), False), (Condition(name="0", past=0), False),  # noqa: E501
    (Condition(name="popular", history="popular"), True),
])  # fmt: skip
def test_what_is_shown(bench: Authors, condition: Condition, known: bool):
    system = replace(systems.SYSTEMS[systems.OURS], settings={"heads": 2})
    shown = shown_contexts(condition, system, bench)
    assert shown is not None and {context.known for context in shown} == {known}


def test_paper_context_counts_the_very_caption(bench: Authors):
    system = replace(systems.SYSTEMS[systems.OURS], settings={"words": 200})
    posts = list(bench.data.splits["test2"].posts)
    posts[0] = replace(posts[0], text="zeppelin")
    split = replace(bench.data.splits["test2"], posts=tuple(posts), texts=tuple(p.text for p in posts))
    train = bench.data.splits["train"]
    known = replace(train.posts[0], text="zeppelin")
    trained = replace(train, posts=(known, *train.posts[1:]), texts=("zeppelin", *train.texts[1:]))
    data = replace(bench.data, splits={**bench.data.splits, "test2": split, "train": trained})
    other = "loud/0" if posts[0].user == "plain/0" else "plain/0"
    posts[0], number = replace(posts[0], user=other), data.table.words.index("zeppelin")
    data.splits["test2"] = replace(split, posts=tuple(posts))
    found = {}
    for paper in (True, False):
        shown = shown_contexts(Condition(name="x", paper=paper), system, Authors(data=data))
        assert shown is not None
        found[paper] = number in {word for word, _ in shown[0].words}
    assert found[True] and (not found[False] or known.user == other)


def test_a_system_that_sees_nothing_gets_the_same_row_for_all(bench: Authors):
    blind = systems.seen_by(systems.SYSTEMS[systems.BLIND], bench.data.splits["train"])
    rows = blind.features.take(blind.rows).pooled
    assert (rows == rows[0]).all()


def test_better_captions_have_a_ratio_above_one():
    good = run_of([f"{user} says {at}" for at in range(8) for user in ("a/0", "b/0")])
    bad = run_of([f"{user} says nothing" for _ in range(8) for user in ("a/0", "b/0")])
    found = compared([good], [bad])
    assert found["ratio"] > 1 and found["low"] <= found["ratio"] <= found["high"]
    assert summary([good])["bleu_1"][0] == pytest.approx(1.0, abs=1e-6)


def test_counterfactual_accuracy_is_one_for_the_truth_and_a_half_for_one_caption_for_all():
    right = run_of([f"{user} says {at}" for at in range(4) for user in ("a/0", "b/0")])
    key = {post.id: post.image.name for post in right.posts}
    assert counterfactual_accuracy(right, key) == 1.0
    same = run_of([f"somebody says {at}" for at in range(4) for _ in range(2)])
    assert counterfactual_accuracy(same, key) == pytest.approx(0.5)


def test_the_grid_is_drawn_by_its_seed(tmp_path: Path):
    run = run_of([f"caption {at}" for at in range(24)])
    for post in run.posts:
        paint(0).save(tmp_path / post.image.name)
    run = CaptionRun(posts=[replace(p, image=tmp_path / p.image.name) for p in run.posts], captions=run.captions)
    assert drawn_pairs(run, 0) == drawn_pairs(run, 0) != drawn_pairs(run, 1)
    assert draw_grid(run, tmp_path / "out", seed=0).stat().st_size > 1000


@pytest.fixture
def tiny_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A starter, authors and systems so small that each is trained in a moment."""
    monkeypatch.setenv("POLYGRAFT_STARTER", str(write_starter(tmp_path / "starter")))
    posts = tiny_posts(tmp_path)

    def tiny(_: Path, cache: FeatureCache) -> Authors:
        return Authors(data=sets._encoded("authors", posts, {post.id: "" for post in posts}, cache))

    monkeypatch.setattr(laboratory, "load_authors", tiny)
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
    tiny = laboratory.CaptioningExperiment.open(
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
    assert len(tables) == 5 and systems.OURS in tables[0]["rows"] and systems.MLP in tables[0]["ours over"]
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "work").rglob("captions/*.json")}
    assert benchmark_personal.main(options) == 0
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_unknown_ablations_are_refused():
    with pytest.raises(Exception, match="without hope"):
        benchmark_personal.Options(ablations=("without hope",))


def test_groups_follow_the_posts(bench: Authors):
    data = PersonalSet(
        name="x", splits=bench.data.splits, encoder="e",
        concepts={p.id: p.id.rpartition("/")[2] for s in bench.data.splits.values() for p in s.posts},
    )  # fmt: skip
    assert data.groups("test2") == [post.id.rpartition("/")[2] for post in data.splits["test2"].posts]
