"""`polygraft caption --user`: in whose voice, known from what, and what becomes of odd pasts."""

import json
import shutil

import pytest

from backbone.gpt2 import Generation
from multimodal.captioner import Captioner
from multimodal.profile.profile import Profile
from tests.multimodal.tiny_captioner import paint
from tests.scripts.tiny_users import write_lines, write_user_captioner, write_users_posts


@pytest.fixture(scope="module")
def model(starter_root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYGRAFT_STARTER", str(starter_root))
        return write_user_captioner(tmp_path_factory.mktemp("model") / "captioner")


@pytest.fixture
def past(tmp_path):
    """A folder of three images with texts."""
    (tmp_path / "past").mkdir()
    for number in range(3):
        paint(number).save(tmp_path / "past" / f"{number}.png")
        (tmp_path / "past" / f"{number}.txt").write_text(f"my #{number} 😀", encoding="utf-8")
    return tmp_path / "past"


@pytest.fixture
def many(tmp_path):
    return write_users_posts(tmp_path / "many")


@pytest.fixture
def caption(polygraft, model, tmp_path):
    paint(9).save(tmp_path / "new.png")
    always = ("--model", model, "--cache", tmp_path / "cache", "--device", "cpu", "--max-tokens", 12)
    return lambda *flags: polygraft("caption", tmp_path / "new.png", *always, *flags)


@pytest.fixture
def seen(monkeypatch):
    """The keywords of each call of the captioner."""
    calls = []
    generate = Captioner.generate

    def record(self, images, decoding=None, **keywords):
        calls.append(keywords | {"decoding": decoding})
        return generate(self, images, decoding, **keywords)

    monkeypatch.setattr(Captioner, "generate", record)
    return calls


@pytest.fixture
def known(monkeypatch):
    """The profile of each call."""
    profiles = []
    contexts = Captioner.contexts

    def record(self, profile, features, **keywords):
        profiles.append(profile)
        return contexts(self, profile, features, **keywords)

    monkeypatch.setattr(Captioner, "contexts", record)
    return profiles


def one_sentence(called, told, code=1):
    assert [called.code, called.out, len(called.err)] == [code, [], 1]
    assert told in called.err[0]


def test_a_folder_of_past_posts_is_a_user(caption, past, seen, known):
    called = caption("--user", past, "--personal", 1.5)
    assert [called.code, called.err, len(called.out)] == [0, [], 1]
    assert sorted(known[0].texts) == ["my #0 😀", "my #1 😀", "my #2 😀"]
    assert {text for text, _ in seen[0]["users"][0].posts} < {*known[0].texts}
    assert seen[0]["personal"] == 1.5


def test_the_past_decides_what_is_said(caption, many):
    nobody = caption("--json").out[0]  # with the score, in which an untrained mapper's users differ
    users = {caption("--json", "--user", many, "--user-name", user).out[0] for user in ("ann", "bob", "eve")}
    assert len({*users, nobody}) == 4
    assert caption("--json", "--user", many, "--user-name", "ann", "--personal", 0).out == [nobody]


def test_of_several_users_one_is_named(caption, many, known):
    one_sentence(caption("--user", many), "posts of 4 users: name one with --user-name (ann, bob, eve, zoë)")
    one_sentence(caption("--user", many, "--user-name", "joe"), "no post of 'joe': its users are ann, bob, eve, zoë")
    assert caption("--user", many, "--user-name", "eve").code == 0
    assert known[0].texts == ("😀🎈",) * 4


def test_posts_of_nobody_are_one_users(caption, many, known):
    lines = [json.loads(line) for line in many.read_text(encoding="utf-8").splitlines()]
    write_lines(many, [{"image": line["image"], "text": line["text"]} for line in lines])
    assert caption("--user", many).code == 0
    assert len(known[0]) == 16
    one_sentence(caption("--user", many, "--user-name", "ann"), "no post of 'ann': its users are not named")


def test_a_past_of_texts_alone_is_known_without_images(caption, tmp_path, known):
    rows = [{"text": "hello 😀", "time": "2"}, {"text": " "}, {"text": "שלום", "time": "1"}]
    assert caption("--user", write_lines(tmp_path / "texts.jsonl", rows)).code == 0
    assert (known[0].texts, known[0].pooled) == (("שלום", "hello 😀"), None)
    one_sentence(caption("--user", write_lines(tmp_path / "texts.jsonl", [{"text": 3}])), "line 1 has no text")


def test_a_saved_profile_says_what_the_posts_say(caption, past, tmp_path):
    first = caption("--user", past, "--save-profile", tmp_path / "deep" / "me.json")
    shutil.rmtree(past)
    assert first.code == 0
    assert caption("--user", tmp_path / "deep" / "me.json").out == first.out


def test_a_profile_is_made_once_for_the_same_posts(caption, past, tmp_path, monkeypatch):
    first = caption("--user", past)
    (file,) = (tmp_path / "cache" / "profiles").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("multimodal.users.load.make_profile", None)
        assert caption("--user", past).out == first.out
    (past / "0.txt").write_text("something else")
    assert caption("--user", past).code == 0
    assert len(list(file.parent.iterdir())) == 2


def test_an_unreadable_past_image_is_told_each_time_and_the_rest_is_used(caption, past, known):
    (past / "1.png").write_bytes((past / "1.png").read_bytes()[:90])
    for call in range(2):
        called = caption("--user", past)
        assert [called.code, len(called.out), len(called.err)] == [0, 1, 1]
        assert "1.png cannot be decoded" in called.err[0]
        assert len(known[call]) == 2


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone", None, "gone is missing"),
        ("posts.jsonl", b"", "holds no post"),
        ("posts.jsonl", b'{"text": "x"}\n\xff\xfe', "line 2 is not UTF-8"),
        ("posts.jsonl", b'{"text": ""}', "no post of"),
        ("posts.jsonl", b'{"image": "a.png", "text": "x"}', "none of the 1 images"),
        ("me.json", b'{"format": 1, "te', "damaged"),
        ("me", b'{"format": 1, "te', "damaged"),
        ("me.json", b'{"format": 9}', "no profile of format 1"),
        ("me.json", b'{"format": 1, "texts": ["a"], "features": {"rows": "AAAA"}}', "damaged profile"),
        ("me.json", b"[]", "JSON object is expected"),
    ],
)
def test_a_past_that_cannot_be_used_is_one_sentence(caption, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    one_sentence(caption("--user", tmp_path / name), told)


def test_a_folder_without_posts_is_one_sentence(caption, tmp_path):
    (tmp_path / "past").mkdir()
    one_sentence(caption("--user", tmp_path / "past"), "no images in")


def test_a_profile_of_another_encoder_is_one_sentence(caption, past, tmp_path):
    caption("--user", past, "--save-profile", tmp_path / "me.json")
    profile = Profile.load(tmp_path / "me.json")
    Profile(user="me", texts=profile.texts, pooled=profile.pooled, encoder="another").save(tmp_path / "me.json")
    one_sentence(caption("--user", tmp_path / "me.json"), "made with another image encoder")


def test_a_captioner_that_knows_no_users_is_one_sentence(caption, past, starter):
    called = caption("--user", past, "--model", starter / "captioner")
    one_sentence(called, f"the captioner {starter / 'captioner'} knows no users")


def test_a_profile_replaces_profiles_alone(caption, past, tmp_path):
    (tmp_path / "thesis.json").write_text("years of work")
    one_sentence(caption("--user", past, "--save-profile", tmp_path / "thesis.json"), "holds no profile")
    for _ in range(2):
        assert caption("--user", past, "--save-profile", tmp_path / "me.json").code == 0


def test_a_consensus_is_one_of_the_samples_or_of_the_past(caption, past, seen):
    samples = caption("--user", past, "--temperature", 0.6, "--seed", 3, "--num-captions", 5).out
    known = [file.read_text(encoding="utf-8") for file in past.glob("*.txt")]
    called = caption("--user", past, "--consensus", 5, "--seed", 3)
    assert (called.code, len(called.out)) == (0, 1)
    assert called.out[0] in samples or called.out[0].partition("\t")[2] in known
    assert [seen[-1]["decoding"].num_return, seen[-1]["decoding"].temperature] == [5, 0.6]


def test_the_consensus_is_the_caption_that_shares_most_and_odd_texts_survive(caption, monkeypatch):
    texts = ("a cat", "👩‍🚀🎈 של", "👩‍🚀🎈 של שלום", "👩‍🚀🎈 של")
    found = [Generation(text=text, ids=(), score=0.0) for text in texts]
    monkeypatch.setattr(Captioner, "generate", lambda *_, **__: [found])
    assert caption("--consensus", 4).out[0].endswith("\t👩‍🚀🎈 של")
    assert [line.partition("\t")[2] for line in caption().out] == list(texts)


# Others who write alike

SAYINGS = {"twin": "my #{} 😀", "foe": "A PHOTOGRAPH OF NUMBER {}", "": "my #{} 😀!"}
"""What others write: one as the user of `past` does, one otherwise, and one who is not named."""


@pytest.fixture
def others(tmp_path):
    """Nine posts of three others."""
    (tmp_path / "others").mkdir()
    for number in range(20, 29):
        paint(number).save(tmp_path / "others" / f"{number}.png")
    rows = [
        {"image": f"{number}.png", "text": SAYINGS[user].format(number), "user": user}
        for number, user in zip(range(20, 29), [*SAYINGS] * 3, strict=True)
    ]
    return write_lines(tmp_path / "others" / "posts.jsonl", rows)


def keep_one(past):
    for name in ("1.txt", "2.txt"):
        (past / name).unlink()


def shown_texts(call):
    return {text for context in call["users"] for text, _ in context.posts}


def test_others_who_write_alike_lend_past_captions(caption, past, others, seen):
    keep_one(past)
    assert caption("--user", past).code == 0
    assert caption("--user", past, "--others", others).code == 0
    alone, borrowed = map(shown_texts, seen)
    assert (
        alone == {"my #0 😀"} and borrowed <= {"my #0 😀", "my #20 😀", "my #23 😀", "my #26 😀"} and len(borrowed) == 2
    )


def test_who_writes_otherwise_lends_after_all_of_the_users_own(caption, past, others, seen):
    rows = [json.loads(line) for line in others.read_text(encoding="utf-8").splitlines()]
    write_lines(others, [row for row in rows if row["user"] == "foe"] + [row | {"user": "me"} for row in rows[:1]])
    caption("--user", past, "--others", others)
    assert shown_texts(seen[0]) <= {"my #0 😀", "my #1 😀", "my #2 😀", "my #20 😀"}


def test_nobody_borrows_their_own(caption, many, seen):
    flags = ("--json", "--user", many, "--user-name", "ann")
    rows = [json.loads(line) for line in many.read_text(encoding="utf-8").splitlines()]
    own = write_lines(many.parent / "own.jsonl", [row for row in rows if row["user"] == "ann"])
    assert caption(*flags, "--others", own).out == caption(*flags).out
    assert seen[0]["users"] == seen[1]["users"]


def test_a_saved_profile_borrows_what_the_posts_do(caption, past, others, tmp_path, seen):
    first = caption("--json", "--user", past, "--others", others, "--save-profile", tmp_path / "me.json")
    assert caption("--json", "--user", tmp_path / "me.json", "--others", others).out == first.out
    assert seen[0]["users"] == seen[1]["users"]


def test_captions_that_are_lent_vote_too(caption, past, others, monkeypatch):
    found = [Generation(text=text, ids=(), score=0.0) for text in ("the sky", "the sky", "sea")]
    monkeypatch.setattr(Captioner, "generate", lambda *_, **__: [found])
    keep_one(past)
    flags = ("--consensus", 3, "--user", past)
    assert caption(*flags).out[0].endswith("\tthe sky")
    assert "\tmy #" in caption(*flags, "--others", others).out[0]


def test_more_vote_than_the_captioner_reads(caption, past, others, seen):
    flags = ("--json", "--seed", 3, "--temperature", 0.6, "--user", past, "--others", others)
    caption(*flags, "--num-captions", 4)
    caption(*flags, "--consensus", 4)
    alone, agreed = (call["users"][0] for call in seen)
    assert len(alone.posts) == 2 and alone.posts == agreed.posts
    assert not alone.voters and len(agreed.voters) > 5 and any(one.worth < one.similarity for one in agreed.voters)


def test_without_images_of_the_user_nobody_can_be_compared(caption, tmp_path, others):
    texts = write_lines(tmp_path / "texts.jsonl", [{"text": "hello 😀"}])
    one_sentence(caption("--user", texts, "--others", others), "--others compares images", code=2)


def test_others_without_a_user_are_refused(caption, others):
    one_sentence(caption("--others", others), f"others {others} does nothing without --user", code=2)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone.jsonl", None, "gone.jsonl is missing"),
        ("posts.jsonl", b"", "holds no post"),
        ("posts.jsonl", b'{"image": "new.png", "text": "x"}', "names its user: only known users can share captions"),
        ("posts.jsonl", b'{"image": "a.png", "text": "x", "user": "u"}', "none of the 1 images"),
        ("posts.jsonl", b'{"text": "x", "user": "u"}', "line 1 has no 'image'"),
        ("posts.jsonl", b'{"image": "new.png", "text": "x"}\n\xff\xfe', "line 2 is not UTF-8"),
    ],
)
def test_others_that_cannot_be_used_are_one_sentence(caption, past, tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    one_sentence(caption("--user", past, "--others", tmp_path / name), told)


def test_an_unreadable_image_of_another_is_told_and_the_rest_is_lent(caption, past, others):
    (others.parent / "21.png").write_bytes((others.parent / "21.png").read_bytes()[:80])
    called = caption("--user", past, "--others", others)
    assert [called.code, len(called.out), len(called.err)] == [0, 1, 1]
    assert "21.png cannot be decoded" in called.err[0]
