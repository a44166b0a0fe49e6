"""`polygraft train captioner`: from posts to a folder that captions, through interruptions and odd data."""

import json
import os
import shutil
import signal
import threading
import time

import pytest
from safetensors.torch import load_file

from multimodal.captioner import Captioner
from multimodal.training import train as training
from multimodal.users.neighbors import Community
from scripts._app.run_folder import is_finished
from tests.multimodal.tiny_captioner import TEXTS, paint, write_posts
from tests.scripts.tiny_users import write_lines, write_users_posts

TINY = ("--prefix-length", 3, "--max-tokens", 16, "--batch-size", 8, "--lr", 1e-2, "--device", "cpu")
SMALL = (*TINY, "--preset", "clipcap")
USERS = (
    "--clip-length", 2, "--heads", 2, "--words", 8, "--past-posts", 2, "--mapping-layers", 1, "--fusion-layers", 1
)  # fmt: skip


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    return write_posts(tmp_path_factory.mktemp("posts"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def train(polygraft, posts, cache, tmp_path):
    def call(*flags, source=posts, out=tmp_path / "out", steps=6):
        return polygraft("train", "captioner", source, "--out", out, "--cache", cache, "--steps", steps, *SMALL, *flags)

    return call


@pytest.fixture
def train_users(polygraft, cache, tmp_path):
    """Train a captioner that knows users."""

    def call(source, *flags, out=tmp_path / "out", steps=3):
        always = ("--out", out, "--cache", cache, "--steps", steps, *TINY, *USERS)
        return polygraft("train", "captioner", source, *always, *flags)

    return call


@pytest.fixture
def odd_posts(posts, tmp_path):
    """A copy of the posts with lines of its own."""
    shutil.copytree(posts.parent, tmp_path / "odd")

    def write(*lines):
        kept = posts.read_text(encoding="utf-8").splitlines()
        text = "\n".join([*kept, *(json.dumps(line) for line in lines)])
        (tmp_path / "odd" / "posts.jsonl").write_text(text, encoding="utf-8")
        return tmp_path / "odd" / "posts.jsonl"

    return write


def test_a_training_leaves_a_checkpoint_that_captions(train, polygraft, tmp_path, posts):
    called = train(steps=60)
    assert called.code == 0
    assert {"steps\t60", f"out\t{tmp_path / 'out'}"} < set(called.out)
    entries = {entry.name for entry in (tmp_path / "out").iterdir()}
    assert entries == {"config.json", "model.safetensors", "README.md", "training.json"}
    captioned = polygraft("caption", posts.parent / "00.png", "--model", tmp_path / "out", "--device", "cpu")
    assert [captioned.code, len(captioned.out)] == [0, 1]


def test_a_captioner_is_trained_and_measured_on_flickr_with_its_own_splits(polygraft, train, cache, tmp_path):
    source, splits = tmp_path / "flickr", ("train",) * 9 + ("val",) * 3 + ("test",) * 4
    (source / "Images").mkdir(parents=True)
    images = []
    for number, split in enumerate(splits):
        paint(number).save(source / "Images" / f"{number}.png")
        said = [{"raw": f"{TEXTS[number]} ."}, {"raw": f"One {TEXTS[number]} , seen ."}]
        images.append({"filename": f"{number}.png", "split": split, "sentences": said})
    (source / "dataset_flickr8k.json").write_text(json.dumps({"images": images}), encoding="utf-8")
    assert train("--layout", "flickr", source=source).code == 0
    assert "18 captions of 9 images" in (tmp_path / "out" / "README.md").read_text()
    asked = ("--split", "test1", "--layout", "flickr", "--cache", cache, "--device", "cpu", "--json")
    measured = polygraft("evaluate", "caption", tmp_path / "out", source, *asked)
    assert [measured.code, json.loads(measured.out[0])["samples"]] == [0, 4], "all captions of an image are its truths"


def test_a_query_mapper_reads_the_grid_after_a_prompt(polygraft, train, posts, tmp_path):
    queries = ("--mapper", "query", "--features", "grid", "--clip-length", 2, "--heads", 2, "--prompt", "\n")
    assert train(*queries).code == 0
    config = Captioner.from_pretrained(tmp_path / "out", device="cpu").config
    assert (config.mapper, config.features, config.prompt) == ("query", "grid", "\n")
    captioned = polygraft("caption", posts.parent / "00.png", "--model", tmp_path / "out", "--device", "cpu")
    assert [captioned.code, len(captioned.out)] == [0, 1]


def test_a_captioner_is_trained_on_towards_cider(train, polygraft, posts, cache, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train("--mapper", "transformer", "--layers", 1, "--heads", 2, steps=40, out=first)
    always = ("--from", first, "--out", second, "--cache", cache, "--batch-size", 8, "--lr", 1e-3, "--device", "cpu")
    asked = ("train", "captioner", posts, *always, "--steps", 4)
    assert polygraft(*asked, "--objective", "cider").code == 0
    one, other = (Captioner.from_pretrained(folder, device="cpu") for folder in (first, second))
    assert one.config == other.config
    assert any((a != b).any() for a, b in zip(one.mapper.parameters(), other.mapper.parameters(), strict=True))
    assert json.loads((second / "training.json").read_text())["options"]["start"] == str(first)
    for flags, told in (("--mapper", "query"), "model"), (("--backbone", "gpt2"), "backbone"):
        refused = polygraft(*asked, "--overwrite", *flags)
        assert [refused.code, f"{told} cannot be changed with --from" in refused.err[0]] == [2, True]
    assert train("--objective", "cider").code == 2


def test_the_record_and_the_card_tell_how_it_was_made(train, tmp_path):
    figures = json.loads(train("--json").out[0])
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["options"]["train"]["steps"] == figures["steps"] == 6
    assert record["figures"]["cider_d"] == figures["cider_d"]
    assert "29 captions of 29 images from `posts.jsonl`" in (tmp_path / "out" / "README.md").read_text()


def test_a_finished_run_says_so_and_is_left_alone_unless_told_otherwise(train, tmp_path):
    train()
    before = load_file(tmp_path / "out" / "model.safetensors")
    again = train()
    assert (again.code, again.out) == (0, [])
    assert "is finished" in again.err[0]
    assert train("--overwrite", "--seed", 1).code == 0
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert any((before[name] != after[name]).any() for name in before)


def interrupt_after(log, lines):
    """Send this process SIGINT once a log has so many lines."""

    def watch():
        for _ in range(3000):
            if log.exists() and len(log.read_text().splitlines()) >= lines:
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()


def test_an_interrupted_run_goes_on_to_the_same_weights(train, tmp_path):
    flags, steps = ("--log-every", 1, "--save-every", 5), 60
    interrupt_after(tmp_path / "out" / "log.jsonl", 12)
    assert train(*flags, steps=steps).code == 130
    assert not is_finished(tmp_path / "out")
    resumed = train(*flags, steps=steps)
    assert "going on" in resumed.err[0]
    train(*flags, steps=steps, out=tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "whole"))
    assert all((one[name] == other[name]).all() for name in one)


def test_an_unfinished_run_with_other_settings_is_refused_by_name(train, odd_posts, tmp_path):
    interrupt_after(tmp_path / "out" / "log.jsonl", 3)
    assert train("--log-every", 1, steps=500).code == 130
    refusals = {"train.lr 0.01 (now 0.02)": ("--lr", 0.02), "model.layers 8 (now 3)": ("--layers", 3)}
    for told, flags in refusals.items():
        refused = train(*flags)
        assert (refused.code, told in refused.err[0]) == (2, True)
    other = odd_posts({"image": "00.png", "text": "one more"})
    assert "with data" in train(source=other).err[0]
    assert train("--overwrite", source=other).code == 0
    assert is_finished(tmp_path / "out")


def test_a_folder_with_other_things_is_not_touched(train, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    refused = train()
    assert (refused.code, list((tmp_path / "out").iterdir())) == (1, [tmp_path / "out" / "thesis.txt"])
    assert "thesis.txt" in refused.err[0]


def test_a_folder_of_images_with_texts_trains_too(train, tmp_path):
    for number in range(8):
        paint(number).resize((40, 40)).save(tmp_path / f"{number}.png")
        (tmp_path / f"{number}.txt").write_text(f"image {number}")
    paint(9).save(tmp_path / "bare.png")
    called = train(source=tmp_path)
    assert called.code == 0
    assert "1 image without a text" in called.err[0]


@pytest.mark.parametrize("mapper", ["mlp", "transformer"])
@pytest.mark.parametrize(
    "flags", [("--val-share", 0), ("--split-by", "user", "--val-share", 0.25), ("--no-calibrate",)]
)
def test_every_choice_trains(train, mapper, flags):
    assert train("--mapper", mapper, "--layers", 1, *flags, steps=2).code == 0


def test_a_captioner_without_validation_is_not_measured(train, tmp_path):
    train("--val-share", 0, steps=2)
    assert "nothing was held out" in (tmp_path / "out" / "README.md").read_text()


def test_held_out_posts_may_be_named_and_are_never_learned_from(train, odd_posts, tmp_path):
    shutil.copytree(odd_posts().parent, tmp_path / "held")
    lines = (tmp_path / "held" / "posts.jsonl").read_text().splitlines()[:4]
    (tmp_path / "held" / "posts.jsonl").write_text("\n".join(lines))
    called = train("--validation", tmp_path / "held" / "posts.jsonl")
    assert "4 captions left out of training" in called.err[0]
    assert "28 captions of 28 images" in (tmp_path / "out" / "README.md").read_text()


def test_odd_posts_are_reported_and_the_rest_is_learned(train, odd_posts):
    lines = [
        {"image": "00.png", "text": "x" * 1_000_000},
        {"image": "gone.png", "text": "a ghost"},
        {"image": "broken.png", "text": "a wreck"},
        {"image": "01.png", "text": "a blue cat!", "user": "u1"},
    ]
    source = odd_posts(*lines)
    (source.parent / "broken.png").write_bytes((source.parent / "02.png").read_bytes()[:60])
    called = train(source=source)
    assert called.code == 0
    for told in ("twice", "1 text cut at 2000", "1 image missing", "broken.png cannot be decoded"):
        assert sum(told in line for line in called.err) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no post"),
        (b'{"image": "a.png", "caption": "x"}', "line 1 has no 'text'"),
        (b'{"image": "a.png", "text": "x"}\n\xff', "line 2 is not UTF-8"),
        (b'{"image": "a.png", "text": "x"}', "none of the 1 images"),
    ],
)
def test_posts_that_cannot_be_used_are_one_sentence(train, tmp_path, content, told):
    (tmp_path / "posts.jsonl").write_bytes(content)
    called = train(source=tmp_path / "posts.jsonl")
    assert [called.code, len(called.err), told in called.err[0]] == [1, 1, True]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--val-share", 1.5), "val_share is 1.5"),
        (("--lr", -1), "lr is -1"),
        (("--prefix-length", 0), "prefix_length is 0"),
        (("--mapper", "rnn"), "rnn"),
    ],
)
def test_wrong_usage_leaves_with_two(train, flags, told):
    called = train(*flags)
    assert called.code == 2
    assert told in " ".join(called.err)


def test_without_a_bound_the_training_makes_30_passes():
    from scripts.train_captioner import Training

    assert Training().bounded().epochs == 30
    assert Training(minutes=3).bounded().epochs == 0


def test_the_overfit_checkpoint_says_what_it_learned(train, posts, tmp_path):
    train("--val-share", 0, "--batch-size", 32, steps=120)
    captioner = Captioner.from_pretrained(tmp_path / "out", device="cpu")
    known = [json.loads(line) for line in posts.read_text().splitlines()]
    said = captioner.caption([posts.parent / post["image"] for post in known])
    assert sum(one == [post["text"]] for one, post in zip(said, known, strict=True)) >= 31


# Users


def test_posts_of_several_users_make_a_captioner_that_knows_them(train_users, polygraft, tmp_path):
    source = write_users_posts(tmp_path / "posts", each=6)
    called = train_users(source)
    assert [called.code, len(called.err)] == [0, 1]
    assert called.err[0].startswith("preset default: the posts are by 4 named users (--preset clipcap")
    captioner = Captioner.from_pretrained(tmp_path / "out", device="cpu")
    assert captioner.config.knows_users
    assert captioner.table.users == 4
    assert "It knows users by their past posts" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    flags = ("--model", tmp_path / "out", "--user", source, "--user-name", "ann", "--device", "cpu")
    assert polygraft("caption", source.parent / "00.png", *flags).code == 0


def test_posts_of_one_user_or_of_nobody_make_one_that_knows_none(polygraft, odd_posts, cache, tmp_path):
    source = odd_posts()
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    write_lines(source, [row | {"user": "u1" if at % 2 else ""} for at, row in enumerate(rows)])
    always = ("--out", tmp_path / "out", "--cache", cache, "--steps", 2, *TINY)
    called = polygraft("train", "captioner", source, *always)
    assert (called.code, called.err[0]) == (0, "preset clipcap: the posts are by 1 named users")
    assert "It knows no users" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "flags",
    [
        ("--preset", "paper", "--width", 8),
        ("--context", "paper"),
        ("--context", "history"),
        ("--no-lend",),
        ("--past-posts", 0),
        ("--features", "grid"),
        ("--split-by", "user", "--val-share", 0.3),
        ("--val-share", 0),
    ],
)
def test_every_way_of_knowing_users_trains(train_users, tmp_path, flags):
    assert train_users(write_users_posts(tmp_path / "posts"), *flags, steps=2).code == 0


def test_posts_for_tests_are_never_learned_from(train_users, tmp_path):
    source = write_users_posts(tmp_path / "posts", ann="test1", bob="test2", eve="validation")
    lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    marked = [line | {"text": f"{line['text']} {line['split']}words"} for line in lines]
    called = train_users(write_lines(source, marked))
    assert "2 posts left out: they are for tests" in called.err
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "13 captions of 13 images" in card
    assert "On 1 held-out images" in card
    words = Captioner.from_pretrained(tmp_path / "out", device="cpu").table.words
    assert {word for word in words if word.endswith("words")} == {"trainwords"}


@pytest.fixture
def shown(monkeypatch):
    """What each training is shown of authors: for training, for validation."""
    calls = []
    trained = training.train_captioner

    def record(captioner, data, config, **keywords):
        calls.append([(keywords["users"], data), (keywords["validation_users"], keywords["validation"])])
        return trained(captioner, data, config, **keywords)

    monkeypatch.setattr(training, "train_captioner", record)
    return calls


def lent_in(users, data, source):
    """Return the texts that are shown to each caption and were written by others."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    own = {row["user"]: {other["text"] for other in rows if other["user"] == row["user"]} for row in rows}
    return [{text for text, _ in one.posts} - own[post.user] for one, post in zip(users, data.posts, strict=True)]


def test_others_lend_in_training_and_validation_unless_it_is_switched_off(train_users, tmp_path, shown):
    source = write_users_posts(tmp_path / "posts", each=2, ann="validation", bob="validation")
    for name, flags in {"lent": (), "alone": ("--no-lend",)}.items():
        assert train_users(source, *flags, out=tmp_path / name).code == 0
        record = json.loads((tmp_path / name / "training.json").read_text(encoding="utf-8"))
        assert record["options"]["lend"] == (name == "lent")
    borrowed, alone = ([lent_in(users, data, source) for users, data in call] for call in shown)
    # of two posts of a user the other one alone is known, or none: room for what others wrote
    assert [any(texts) for texts in borrowed] == [True, True]
    assert [any(texts) for texts in alone] == [False, False]
    assert [len(one.posts) for one in shown[0][1][0]] == [2, 2] != [len(one.posts) for one in shown[1][1][0]]


def test_posts_for_tests_and_validation_are_never_lent(train_users, tmp_path, monkeypatch):
    source = write_users_posts(tmp_path / "posts", ann="test1", bob="test2", eve="validation")
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    rows = [row | ({"split": "validation"} if row["user"] == "eve" else {}) for row in rows]  # known by these alone
    borrowed, of = [], Community.of
    monkeypatch.setattr(Community, "of", lambda pasts: borrowed.append(pasts) or of(pasts))
    assert train_users(write_lines(source, rows)).code == 0
    texts = [text for past in borrowed[0].values() for text in past.texts]
    assert len(borrowed) == 1 and sorted(texts) == sorted(row["text"] for row in rows if row["split"] == "train")
    assert len(texts) == 10


def test_nothing_but_posts_for_tests_is_one_sentence(train_users, tmp_path):
    marks = dict.fromkeys(("ann", "bob", "eve", "zoë"), "test1")
    called = train_users(write_users_posts(tmp_path / "posts", each=1, **marks))
    assert [called.code, len(called.err), "is for training" in called.err[0]] == [1, 1, True]


def test_an_interrupted_run_with_users_goes_on_to_the_same_weights(train_users, tmp_path):
    source = write_users_posts(tmp_path / "posts", each=6)
    flags, steps = ("--log-every", 1, "--save-every", 5), 40
    interrupt_after(tmp_path / "out" / "log.jsonl", 8)
    assert train_users(source, *flags, steps=steps).code == 130
    others = {
        ("--context", "history"): "context 'leave-one-out' (now 'history')", ("--no-lend",): "lend True (now False)"
    }  # fmt: skip
    for other, told in others.items():
        refused = train_users(source, *flags, *other, steps=steps)
        assert (refused.code, told in refused.err[-1]) == (2, True)
    assert "going on" in train_users(source, *flags, steps=steps).err[-1]
    train_users(source, *flags, steps=steps, out=tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "whole"))
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--preset", "clipcap", "--context", "history"), "context history does nothing"),
        (("--preset", "best"), "best"),
        (("--test-posts", 1), "test_posts is 1.0"),
        (("--layout", "pinterest"), "pinterest"),
    ],
)
def test_wrong_usage_about_users_leaves_with_two(train_users, posts, flags, told):
    called = train_users(posts, *flags)
    assert called.code == 2
    assert told in " ".join(called.err)
