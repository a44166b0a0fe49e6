"""`polygraft evaluate caption`: on which posts, knowing what, and what is printed."""

import json

import pytest

from multimodal.captioner import Captioner
from multimodal.users import contexts as contexts_module
from multimodal.users.neighbors import Community
from tests.multimodal.tiny_captioner import paint
from tests.scripts.tiny_users import write_lines, write_user_captioner, write_users_posts

WORDS = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"]


@pytest.fixture(scope="module")
def model(starter_root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYGRAFT_STARTER", str(starter_root))
        return write_user_captioner(tmp_path_factory.mktemp("model") / "captioner")


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    """Sixteen posts: the last of ann and bob are test2, of eve validation."""
    return write_users_posts(tmp_path_factory.mktemp("posts"), ann="test2", bob="test2", eve="validation")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The same without splits."""
    return write_users_posts(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def evaluate(polygraft, model, posts, cache):
    def call(*flags, model=model, source=posts, split="test2"):
        always = ("--cache", cache, "--device", "cpu", "--max-tokens", 8)
        return polygraft("evaluate", "caption", model, source, "--split", split, *always, *flags)

    return call


@pytest.fixture
def shown(monkeypatch):
    """What each call shows of authors: (user, what is hidden)."""
    asked = []
    hidden = contexts_module._hidden

    def record(post, group, user, mode):
        found = hidden(post, group, user, mode)
        asked.append((post.id, user.user, [id_ for id_, gone in zip(user.ids, found, strict=True) if gone]))
        return found

    monkeypatch.setattr(contexts_module, "_hidden", record)
    return asked


@pytest.fixture
def lenders(monkeypatch):
    """The ids of the posts that each call shares."""
    calls = []
    of = Community.of

    def record(pasts):
        calls.append(sorted(id_ for past in pasts.values() for id_ in past.ids))
        return of(pasts)

    monkeypatch.setattr(Community, "of", record)
    return calls


@pytest.fixture
def asked(monkeypatch):
    """The keywords of each batch that is captioned."""
    calls = []
    caption = Captioner.caption

    def record(self, images, decoding=None, **keywords):
        calls.append(keywords | {"decoding": decoding})
        return caption(self, images, decoding, **keywords)

    monkeypatch.setattr(Captioner, "caption", record)
    return calls


def one_sentence(called, told, code=1):
    assert [called.code, called.out, len(called.err)] == [code, [], 1]
    assert told in called.err[0]


def test_a_captioner_that_knows_users_is_measured_in_every_way(evaluate):
    called = evaluate("--json", "--identify", 2, split="all")
    found = json.loads(called.out[0])
    assert [called.code, len(called.out), found["samples"], found["users"]] == [0, 1, 16, 4]
    copied = [f"copied_own_{part}" for part in (1, 2, 3, 4, "whole")]
    controls = [f"{who}_{name}" for who in ("stranger", "nobody") for name in ("rouge_l", "cider_d", "style_distance")]
    wanted = [*WORDS, "distinct_1", "distinct_2", "style_distance", *copied, "identified", "identified_by_chance"]
    assert set(found["figures"]) == {*wanted, *controls}
    assert found["figures"]["identified_by_chance"] == 0.5
    means = {"rouge_l", "cider_d", "style_distance", "identified", *controls}
    assert set(found["intervals"]) == means
    assert all(low <= found["figures"][name] <= high for name, (low, high) in found["intervals"].items())


def test_a_table_has_a_line_for_each_figure(evaluate):
    called = evaluate("--identify", 3)
    table = {line.split()[0]: line.split()[1:] for line in called.out}
    assert (called.code, called.err) == (0, [])
    assert [table[name] for name in ("split", "samples", "users")] == [["test2"], ["2"], ["2"]]
    assert {*WORDS, "copied_training_1", "nobody_cider_d"} < set(table)
    assert table["cider_d"][2] == "to"


def test_fewer_users_than_asked_for_are_told(evaluate):
    called = evaluate()
    assert [called.code, len(called.err)] == [0, 1]
    assert "identified among 4 users, not 10" in called.err[0]


def test_a_captioner_that_knows_none_is_measured_without_users(evaluate):
    found = json.loads(evaluate("--json", model="starter", split="all").out[0])["figures"]
    assert {*WORDS, "style_distance", "copied_own_1"} < set(found)
    assert not any(name.startswith(("identified", "stranger", "nobody")) for name in found)


@pytest.mark.parametrize("changes", [{"features": "grid"}, {"mapper": "mlp", "normalize": False}])
def test_captioners_that_take_other_features_are_measured_too(evaluate, starter, tmp_path, changes):
    model = write_user_captioner(tmp_path / "model", **changes)
    found = json.loads(evaluate("--json", "--identify", 2, model=model).out[0])
    assert "cider_d" in found["figures"]


def test_posts_of_nobody_have_neither_users_nor_pasts(evaluate, bare):
    lines = [{"image": str(bare.parent / f"{n:02}.png"), "text": f"a cat {n % 3}"} for n in range(6)]
    source = write_lines(bare.parent / "nobodys.jsonl", lines)
    found = json.loads(evaluate("--json", source=source, split="all").out[0])
    assert (found["samples"], found["users"]) == (6, 0)
    assert not any(name.startswith(("copied", "identified", "stranger")) for name in found["figures"])
    assert "cider_d" in found["intervals"]


def test_an_author_is_shown_all_other_posts_and_never_this_one(evaluate, shown):
    evaluate("--identify", 0)
    by_author = {id_: hidden for id_, user, hidden in shown if hidden}
    assert len(by_author) == 2
    assert all(hidden == [id_] for id_, hidden in by_author.items())


def test_a_history_is_what_came_before(evaluate, shown):
    assert evaluate("--identify", 0, "--context", "history", split="all").code == 0
    own = [(id_, hidden) for id_, user, hidden in shown[:16]]
    assert sorted(len(hidden) for _, hidden in own) == sorted([1, 2, 3, 4] * 4)


def test_predictions_are_lines_with_odd_texts_whole(evaluate, tmp_path):
    assert evaluate("--predictions", tmp_path / "deep" / "said.jsonl", split="all").code == 0
    rows = [json.loads(line) for line in (tmp_path / "deep" / "said.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [set(row) for row in rows] == [{"id", "user", "text", "reference"}] * 16
    assert {row["reference"] for row in rows if row["user"] == "eve"} == {"😀🎈"}
    assert next(row["reference"] for row in rows if row["user"] == "zoë").startswith("שלום ")


def test_captions_of_emoji_and_from_right_to_left_are_whole_too(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr("multimodal.captioner.Captioner.caption", lambda *_, **__: [["👩‍🚀"], ["שלום"]])
    assert evaluate("--identify", 0, "--predictions", tmp_path / "said.jsonl", model="starter").code == 0
    lines = (tmp_path / "said.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["👩‍🚀", "שלום"]


def test_several_texts_of_one_author_are_truths_of_one_image(evaluate, tmp_path):
    paint(1).save(tmp_path / "a.png")
    rows = [{"image": "a.png", "text": text, "user": "ann"} for text in ("a cat", "a small cat")]
    source = write_lines(tmp_path / "posts.jsonl", rows)
    called = evaluate("--json", "--predictions", tmp_path / "said.jsonl", source=source, split="all")
    assert json.loads(called.out[0])["samples"] == 1
    assert json.loads((tmp_path / "said.jsonl").read_text())["reference"] == ["a cat", "a small cat"]


def test_figures_do_not_depend_on_the_batch_and_the_limit_is_kept(evaluate):
    one, many = (
        json.loads(evaluate("--json", "--batch-size", size, "--limit", 5, split="all").out[0]) for size in (1, 32)
    )
    assert one == many
    assert one["samples"] == 4


def test_tests_are_drawn_as_in_training(evaluate, bare, tmp_path, polygraft, cache):
    shares = ("--test-users", 0.4, "--test-posts", 0.2, "--seed", 2)
    out = tmp_path / "out"
    small = ("--steps", 1, "--prefix-length", 3, "--max-tokens", 8, "--cache", cache, "--device", "cpu")
    trained = polygraft("train", "captioner", bare, "--out", out, *shares, *small, "--val-share", 0.2)
    assert trained.code == 0
    (told,) = [line for line in trained.err if "for tests" in line]
    counts = [
        json.loads(evaluate("--json", *shares, source=bare, split=split, model=out).out[0])["samples"]
        for split in ("test1", "test2")
    ]
    assert told.startswith(f"{sum(counts)} posts left out")
    assert min(counts) > 0
    held = evaluate("--json", *shares, "--val-share", 0.2, source=bare, split="validation", model=out)
    assert f"On {json.loads(held.out[0])['samples']} held-out" in (out / "README.md").read_text(encoding="utf-8")


def test_an_unreadable_image_is_told_and_the_rest_is_measured(evaluate, tmp_path):
    source = write_users_posts(tmp_path / "cut")
    (source.parent / "03.png").write_bytes((source.parent / "03.png").read_bytes()[:80])
    called = evaluate("--json", "--identify", 2, source=source, split="all")
    assert [called.code, len(called.err), json.loads(called.out[0])["samples"]] == [0, 1, 15]
    assert "03.png cannot be decoded" in called.err[0]


def test_a_split_that_holds_nothing_is_one_sentence(evaluate, bare):
    one_sentence(evaluate(split="test1"), "is in the split test1 (13 train, 1 validation, 2 test2)")
    one_sentence(evaluate(source=bare), "give --test-users and --test-posts")


def test_a_missing_model_and_posts_that_cannot_be_read_are_one_sentence(evaluate, tmp_path):
    one_sentence(evaluate(model=tmp_path / "gone"), "gone")
    one_sentence(evaluate(source=tmp_path / "gone.jsonl"), "gone.jsonl is missing")
    (tmp_path / "posts.jsonl").write_bytes('{"image": "a.png", "text": "é"}'.encode("latin-1"))
    one_sentence(evaluate(source=tmp_path / "posts.jsonl"), "line 1 is not UTF-8")


def test_a_history_without_times_is_one_sentence(evaluate, tmp_path):
    source = write_users_posts(tmp_path / "timeless")
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    write_lines(source, [{key: row[key] for key in ("image", "text", "user")} for row in rows])
    one_sentence(evaluate("--context", "history", source=source, split="all"), "needs a time")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--personal", 3), "personal is 3.0, allowed is 0 to 2"),
        (("--identify", 1), "identify is 1, allowed is 0, or 2 or more"),
        (("--limit", -1), "limit is -1"),
        (("--temperature", 1, "--num-captions", 2), "num_return is 2"),
        (("--test-users", 1), "test_users is 1.0"),
        (("--test-users", 0.5), "have splits already"),
    ],
)
def test_wrong_usage_leaves_with_two(evaluate, flags, told):
    one_sentence(evaluate(*flags), told, code=2)


def test_a_strength_without_users_is_refused(evaluate):
    one_sentence(evaluate("--personal", 2, model="starter"), "knows no users", code=2)


# Past captions of others, and consensus


def lent_to(users, source):
    """Return which of the texts that are shown of a user, or vote, are others'."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    own = {user: {row["text"] for row in rows if row["user"] == user} for user in ("ann", "bob")}
    shown = [{text for text, *_ in (*one.posts, *one.voters)} for one in users]
    return [texts - own[user] for user, texts in zip(("ann", "bob"), shown, strict=True)]


def split_of(posts, ids):
    rows = {row["image"]: row for row in map(json.loads, posts.read_text(encoding="utf-8").splitlines())}
    return [next(row["split"] for name, row in rows.items() if name in id_) for id_ in ids]


@pytest.mark.parametrize("split", ["test2", "validation"])
def test_what_was_learned_from_is_lent_and_no_post_for_tests(evaluate, posts, lenders, split):
    assert evaluate("--identify", 2, "--consensus", 2, split=split).code == 0
    assert [split_of(posts, ids) for ids in lenders] == [["train"] * 13]


def test_of_all_posts_all_are_lent(evaluate, lenders):
    evaluate("--identify", 0, split="all")
    assert [len(ids) for ids in lenders] == [16]


def test_tests_that_are_drawn_are_not_lent(evaluate, bare, lenders):
    flags = ("--test-users", 0.4, "--test-posts", 0.2, "--seed", 2, "--identify", 0, "--json")
    counts = {
        split: json.loads(evaluate(*flags, source=bare, split=split).out[0])["samples"] for split in ("test1", "test2")
    }
    assert lenders[0] == lenders[1] and len(lenders[0]) == 16 - sum(counts.values())


def test_others_lend_unless_it_is_switched_off(evaluate, posts, asked):
    longer = ("--identify", 0, "--consensus", 2)  # all of the own past is among those who vote
    assert [evaluate(*longer, *flags).code for flags in ((), ("--no-lend",))] == [0, 0]
    # for either the captions themselves, then the strangers' and nobody's
    borrowed, _, _, alone, _, _ = (lent_to(call["users"], posts) for call in asked)
    assert all(borrowed) and not any(alone)


def test_without_lending_authors_are_shown_what_they_wrote(evaluate, posts, lenders, asked):
    evaluate("--identify", 0, "--no-lend")
    first = asked[0]["users"]
    assert lenders == [] and lent_to(first, posts) == [set(), set()]
    assert [len(one.posts) for one in first] == [2, 2]


def test_a_captioner_that_reads_no_past_captions_borrows_none_unless_they_vote(evaluate, starter, tmp_path, lenders):
    model = write_user_captioner(tmp_path / "model", past_posts=0)
    assert evaluate("--identify", 0, model=model).code == evaluate("--identify", 0, model="starter").code == 0
    assert lenders == []
    assert evaluate("--identify", 0, "--consensus", 2, model=model).code == 0
    assert len(lenders) == 1


def test_a_consensus_is_one_that_was_drawn_or_shown(evaluate, asked, tmp_path):
    flags = ("--identify", 0, "--consensus", 4, "--predictions", tmp_path / "said.jsonl")
    assert evaluate(*flags).code == 0
    call = asked[0]
    assert (call["decoding"].num_return, call["decoding"].temperature) == (4, 0.6)
    assert evaluate(*flags, "--temperature", 0.9).code == 0
    assert asked[-1]["decoding"].temperature == 0.9
    assert evaluate(*flags, model="starter").code == 0


def test_a_past_caption_may_be_the_consensus(evaluate, monkeypatch, tmp_path):
    monkeypatch.setattr("multimodal.captioner.Captioner.caption", lambda *_, **__: [["sea", "sky"]] * 2)
    flags = ("--identify", 0, "--consensus", 2, "--predictions", tmp_path / "said.jsonl")
    assert evaluate(*flags).code == 0
    said = [json.loads(line)["text"] for line in (tmp_path / "said.jsonl").read_text(encoding="utf-8").splitlines()]
    assert said[0].startswith("so ") and said[1].endswith(" #mine")


def test_rare_words_are_told_by_few_training_texts(evaluate, monkeypatch):
    told = []
    monkeypatch.setattr("multimodal.reranking.rerank.KNOWN", 5)
    monkeypatch.setattr("multimodal.evaluation.rerank", lambda drawn, _, known: told.append(known) or drawn[0])
    assert evaluate("--identify", 0, "--consensus", 2).code == 0
    assert {len(known) for known in told} == {5}


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--consensus", 1), "consensus is 1, allowed is 0, or 2 or more"),
        (("--consensus", -3), "consensus is -3"),
        (("--consensus", 4, "--beams", 3), "consensus draws captions and gives one, so beams 3 contradicts it"),
        (("--consensus", 4, "--contrastive", 0.5), "so contrastive 0.5 contradicts it"),
    ],
)
def test_a_consensus_that_contradicts_itself_is_refused(evaluate, flags, told):
    one_sentence(evaluate(*flags), told, code=2)
