"""Posts from files and folders as people have them, and splits that leak nothing."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backbone.errors import PolygraftError
from multimodal.posts import MAX_TEXT, Post, load_posts, split_posts


def picture(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


@pytest.fixture
def posts_file(tmp_path):
    """Return a function that writes lines (objects, or bytes as they are) beside a.png and b.png."""
    picture(tmp_path, "a.png")
    picture(tmp_path, "sub/b.png")

    def write(*lines: object, end: bytes = b"\n") -> Path:
        file = tmp_path / "posts.jsonl"
        file.write_bytes(end.join(x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines))
        return file

    return write


def row(image="a.png", text="a dog", **more):
    return {"image": image, "text": text, **more}


def test_a_line_is_a_post_with_its_picture_beside_the_file(posts_file, tmp_path):
    (post,) = load_posts(posts_file(row("sub/b.png", " Hi! ", user=7, time="2020", id="x")))
    assert post == Post(image=tmp_path / "sub/b.png", text="Hi!", user="7", time="2020", id="x")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(posts_file, end):
    file = posts_file(row(text="one\u2028two"), row(text="two"), end=end)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert [post.text for post in load_posts(file)] == ["one\u2028two", "two"]


def test_a_folder_takes_the_text_beside_each_picture(tmp_path):
    for name in ("b.jpg", "deep/a.png", "bare.png"):
        picture(tmp_path, name)
    (tmp_path / "b.txt").write_text("\ufeffa boat\n", encoding="utf-8")
    (tmp_path / "deep/a.png.txt").write_text("an ant", encoding="utf-8")
    remarks = []
    posts = load_posts(tmp_path, report=remarks.append)
    assert {post.id: post.text for post in posts} == {"b.jpg": "a boat", "deep/a.png": "an ant"}
    assert remarks == [f"1 picture without a text left out: {tmp_path / 'bare.png'}"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "holds no post"),
        ([b"  "], "holds no post"),
        ([row(), {"picture": "a.png", "text": "x"}], "line 2 has no 'image', only picture, text"),
        ([row(), {"image": "a.png"}], "line 2 has no 'text', only image"),
        ([row(text=5)], "line 1 has '5' for 'text'"),
        ([row(image="")], "line 1 names no picture"),
        ([row(image="a\0.png")], "line 1 names no picture"),
        ([row(), b'{"image": "a.png", "te'], "line 2 is not JSON"),
        ([b"[" * 100_000], "line 1 is not JSON"),
        ([b"[]"], "line 1 is a list, not an object"),
        ([row(), b"\xff\xfe{}"], "line 2 is not UTF-8"),
        ([row("x.png"), row("y.png")], "none of the 2 pictures"),
        ([row(text=" ")], "no post .* has a text"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_the_line(posts_file, lines, told):
    with pytest.raises(PolygraftError, match=told):
        load_posts(posts_file(*lines))


def test_a_missing_source_says_what_posts_are(tmp_path):
    with pytest.raises(PolygraftError, match=r"nowhere is missing: posts are a JSONL file or a folder"):
        load_posts(tmp_path / "nowhere")


def test_a_sidecar_in_another_encoding_is_named(tmp_path):
    picture(tmp_path, "a.png").with_suffix(".txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(PolygraftError, match=r"a\.txt is not UTF-8"):
        load_posts(tmp_path)


def test_odd_posts_are_left_out_or_cut_with_a_remark_each(posts_file):
    remarks = []
    lines = [row(), row(), row(text=""), row("gone.png"), row(text="x" * 1_000_000), row(likes=3, text="liked")]
    posts = load_posts(posts_file(*lines), report=remarks.append)
    assert [post.text for post in posts] == ["a dog", "x" * MAX_TEXT, "liked"]
    for told in ("ignored likes", "twice", "1 post without a text", "1 text cut", "1 picture missing"):
        assert sum(told in remark for remark in remarks) == 1


def test_a_lone_surrogate_becomes_text_that_can_be_written(posts_file):
    (post,) = load_posts(posts_file(rb'{"image": "a.png", "text": "so \ud83d lonely"}'))
    assert post.text == "so ? lonely"


@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_comes_back_as_it_was_written(tmp_path_factory, text, user):
    folder = tmp_path_factory.mktemp("any")
    picture(folder, "a.png")
    (folder / "p.jsonl").write_text(json.dumps(row(text=f"<{text}>", user=user)), encoding="utf-8")
    (post,) = load_posts(folder / "p.jsonl")
    written = [part.encode("utf-8", "replace").decode().strip() for part in (f"<{text}>", user)]
    assert [post.text, post.user] == written


def some_posts(folder="f", captions=2):
    return [
        Post(image=Path(folder, f"{number}.png"), text=f"{number} {caption}", user=f"user{number % 7}")
        for number in range(40)
        for caption in range(captions)
    ]


@pytest.mark.parametrize("by", ["post", "user"])
def test_no_picture_and_no_user_stands_on_both_sides(by):
    train, held = split_posts(some_posts(), 0.2, by=by)
    keys = [{post.image if by == "post" else post.user for post in side} for side in (train, held)]
    assert not keys[0] & keys[1]
    assert [len(keys[1]), len(train) + len(held)] == [8 if by == "post" else 1, 80]


def test_a_split_depends_on_the_seed_alone():
    def held(posts, seed=0):
        return {post.image.name for post in split_posts(posts, 0.2, seed=seed)[1]}

    assert held(some_posts()) == held(some_posts("elsewhere")[::-1]) != held(some_posts(), seed=1)


def test_a_share_of_nothing_keeps_all_for_training():
    assert split_posts(some_posts(), 0.0) == (some_posts(), [])


@pytest.mark.parametrize(("posts", "by"), [(some_posts()[:2], "post"), (some_posts()[:2], "user")])
def test_a_split_that_leaves_one_side_empty_is_refused(posts, by):
    with pytest.raises(PolygraftError, match="cannot be split"):
        split_posts(posts, 0.1, by=by)
