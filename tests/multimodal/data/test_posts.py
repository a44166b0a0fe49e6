"""Posts from files and folders as people have them, odd and hostile ones among them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backbone.errors import PolygraftError
from multimodal.data.posts import MAX_TEXT, Post, load_posts


def image(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


@pytest.fixture
def posts_file(tmp_path):
    """Return a function that writes lines (objects, or bytes as they are) beside a.png and b.png."""
    image(tmp_path, "a.png")
    image(tmp_path, "sub/b.png")

    def write(*lines: object, end: bytes = b"\n") -> Path:
        file = tmp_path / "posts.jsonl"
        file.write_bytes(end.join(x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines))
        return file

    return write


def row(image="a.png", text="a dog", **more):
    return {"image": image, "text": text, **more}


def test_a_line_is_a_post_with_its_image_beside_the_file(posts_file, tmp_path):
    (post,) = load_posts(posts_file(row("sub/b.png", " Hi! ", user=7, time="2020", id="x", split="test1")))
    assert post == Post(image=tmp_path / "sub/b.png", text="Hi!", user="7", time="2020", id="x", split="test1")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(posts_file, end):
    file = posts_file(row(text="one\u2028two"), row(text="two"), end=end)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert [post.text for post in load_posts(file)] == ["one\u2028two", "two"]


def test_a_folder_takes_the_text_beside_each_image(tmp_path):
    for name in ("b.jpg", "deep/a.png", "bare.png"):
        image(tmp_path, name)
    (tmp_path / "b.txt").write_text("\ufeffa boat\n", encoding="utf-8")
    (tmp_path / "deep/a.png.txt").write_text("an ant", encoding="utf-8")
    remarks = []
    posts = load_posts(tmp_path, report=remarks.append)
    assert {post.id: post.text for post in posts} == {"b.jpg": "a boat", "deep/a.png": "an ant"}
    assert remarks == [f"1 image without a text left out: {tmp_path / 'bare.png'}"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "holds no post"),
        ([b"  "], "holds no post"),
        ([row(), {"picture": "a.png", "text": "x"}], "line 2 has no 'image', only picture, text"),
        ([row(), {"image": "a.png"}], "line 2 has no 'text', only image"),
        ([row(text=5)], "line 1 has '5' for 'text'"),
        ([row(user=["anna"])], "line 1 has .* for 'user', which must be a text or a number"),
        ([row(id=True)], "line 1 has 'True' for 'id'"),
        ([row(split="dev")], "line 1 has 'dev' for 'split': .* one of train, validation, test1, test2"),
        ([row(image="a" * 5000)], "none of the 1 images"),
        ([row(image="")], "line 1 names no image"),
        ([row(image="a\0.png")], "line 1 names no image"),
        ([row(), b'{"image": "a.png", "te'], "line 2 is not JSON"),
        ([b"[" * 100_000], "line 1 is not JSON"),
        ([b"[]"], "line 1 is a list, not an object"),
        ([row(), b"\xff\xfe{}"], "line 2 is not UTF-8"),
        ([row("x.png"), row("y.png")], "none of the 2 images"),
        ([row(text=" ")], "no post .* has a text"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_the_line(posts_file, lines, told):
    with pytest.raises(PolygraftError, match=told):
        load_posts(posts_file(*lines))


def test_a_missing_source_says_what_posts_are(tmp_path):
    with pytest.raises(PolygraftError, match="nowhere is missing"):
        load_posts(tmp_path / "nowhere")


def test_a_sidecar_in_another_encoding_is_named(tmp_path):
    image(tmp_path, "a.png").with_suffix(".txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(PolygraftError, match=r"a\.txt is not UTF-8"):
        load_posts(tmp_path)


def test_odd_posts_are_left_out_or_cut_with_a_remark_each(posts_file):
    remarks = []
    lines = [row(), row(), row(text=""), row("gone.png"), row(text="x" * 1_000_000), row(likes=3, text="liked")]
    posts = load_posts(posts_file(*lines), report=remarks.append)
    assert [post.text for post in posts] == ["a dog", "x" * MAX_TEXT, "liked"]
    for told in ("ignored likes", "twice", "1 post without a text", "1 text cut", "1 image missing"):
        assert sum(told in remark for remark in remarks) == 1


def test_a_lone_surrogate_becomes_text_that_can_be_written(posts_file):
    (post,) = load_posts(posts_file(rb'{"image": "a.png", "text": "so \ud83d lonely"}'))
    assert post.text == "so ? lonely"


@given(st.text(max_size=30), st.text(max_size=10))
def test_any_text_comes_back_as_it_was_written(tmp_path_factory, text, user):
    folder = tmp_path_factory.mktemp("any")
    image(folder, "a.png")
    (folder / "p.jsonl").write_text(json.dumps(row(text=f"<{text}>", user=user)), encoding="utf-8")
    (post,) = load_posts(folder / "p.jsonl")
    written = [part.encode("utf-8", "replace").decode().strip() for part in (f"<{text}>", user)]
    assert [post.text, post.user] == written


def test_a_post_without_an_id_gets_one_that_its_folder_and_order_do_not_change(posts_file, tmp_path):
    lines = [row(), row(text="a cat"), row("sub/b.png"), row(user="anna")]
    ids = [post.id for post in load_posts(posts_file(*lines))]
    assert len(set(ids)) == 4
    assert all(id_.startswith(line["image"]) for id_, line in zip(ids, lines, strict=True))
    image(tmp_path / "elsewhere", "a.png"), image(tmp_path / "elsewhere", "sub/b.png")
    moved = posts_file(*lines[::-1]).rename(tmp_path / "elsewhere/moved.jsonl")
    assert [post.id for post in load_posts(moved)] == ids[::-1]


def test_an_id_does_not_name_the_machine(posts_file, tmp_path):
    (post,) = load_posts(posts_file(row(str(tmp_path / "a.png"))))
    assert post.id.startswith("a.png#")


def test_posts_that_share_an_id_are_kept_and_told_apart(posts_file):
    remarks = []
    lines = [row(text=str(number), id=id_) for number, id_ in enumerate(["x", "x", "x~2", "x", 7, "7"])]
    posts = load_posts(posts_file(*lines), report=remarks.append)
    assert [post.id for post in posts] == ["x", "x~3", "x~2", "x~4", "7", "7~2"]
    assert remarks == ["2 ids shared by posts, distinguished by ~2, ~3 and so on: x, 7"]


def test_a_missing_image_changes_no_id(posts_file, tmp_path):
    file = posts_file(row(text="1", id="x"), row("sub/b.png", text="2", id="x"))
    (tmp_path / "a.png").unlink()
    assert [post.id for post in load_posts(file)] == ["x~2"]


@pytest.mark.parametrize("text", ["😀", "👩‍👩‍👧 ❤️", "مرحبا بالعالم", "\u202eשלום", "日本"])
def test_texts_without_latin_letters_are_texts(posts_file, text):
    (post,) = load_posts(posts_file(row(text=text)))
    assert post.text == text


def test_a_cut_post_keeps_the_rest(posts_file):
    (post,) = load_posts(posts_file(row(text="x" * 3000, user="anna", id="1", time="2020", split="train")))
    assert (post.user, post.id, post.time, post.split) == ("anna", "1", "2020", "train")


def test_users_may_be_any_numbers_and_hold_anything(posts_file):
    users = [7, -1.5, 10**30, "a\0b", "a\nb", None]
    posts = load_posts(posts_file(*(row(text=str(number), user=user) for number, user in enumerate(users))))
    assert [post.user for post in posts] == ["7", "-1.5", str(10**30), "a\0b", "a\nb", ""]


def test_a_lone_surrogate_in_a_name_is_a_image_that_is_missing(posts_file):
    posts = load_posts(posts_file(row(), rb'{"image": "\ud83d.png", "text": "x", "user": "\ud83d", "id": "\ud83d"}'))
    assert [post.text for post in posts] == ["a dog"]


@pytest.mark.timeout(60)
def test_one_user_may_have_a_hundred_thousand_posts(posts_file):
    file = posts_file(*(row(["a.png", "sub/b.png"][n % 2], f"post {n}", user="anna") for n in range(100_000)))
    posts = load_posts(file)
    assert len({post.id for post in posts}) == 100_000
