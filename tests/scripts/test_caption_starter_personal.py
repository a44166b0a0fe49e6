"""The starter that knows users: taken where a user is named, and the shipped one with its example users."""

import json
from pathlib import Path

import pytest

from multimodal import Captioner, Profile
from tests.multimodal.tiny_captioner import paint
from tests.scripts.tiny_users import write_user_captioner, write_users_posts

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def caption(polygraft, starter, tmp_path):
    if not (starter / "personal").exists():
        write_user_captioner(starter / "personal")
    paint(9).save(tmp_path / "new.png")
    return lambda *flags: polygraft("caption", tmp_path / "new.png", "--cache", tmp_path / "cache", *flags)


def test_a_user_needs_no_other_model_than_the_starter(caption, tmp_path):
    posts = write_users_posts(tmp_path / "posts")
    called = caption("--user", posts, "--user-name", "ann", "--max-tokens", 6)
    assert (called.code, len(called.out)) == (0, 1)


def test_the_starter_that_knows_none_can_still_be_had(caption, starter, tmp_path):
    posts = write_users_posts(tmp_path / "posts")
    called = caption("--user", posts, "--user-name", "ann", "--model", starter / "captioner")
    assert (called.code, called.out) == (1, [])
    assert "knows no users" in called.err[0] and "starter-personal" in called.err[0]


@pytest.mark.parametrize(
    ("user", "habit"),
    [
        ("shortcodes", lambda text: text.startswith(":")),
        ("capitals", lambda text: text == text.upper()),
        ("hashtags", lambda text: text.startswith("#")),
    ],
)
def test_the_shipped_one_writes_as_each_example_user_does(user, habit):
    captioner = Captioner.from_pretrained("starter-personal", device="cpu")
    lines = (EXAMPLES / "users" / f"{user}.jsonl").read_text(encoding="utf-8").splitlines()
    posts = [json.loads(line) for line in lines]
    assert all((EXAMPLES / "users" / post["image"]).is_file() for post in posts)
    features = captioner.encoder.encode([paint(number) for number in range(2)])
    past = Profile(user=user, texts=tuple(post["text"] for post in posts))
    assert all(habit(texts[0]) for texts in captioner.caption(features, users=past))
