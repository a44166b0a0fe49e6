"""The layouts of public data sets, each written as its authors describe it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import PolygraftError
from multimodal.data.datasets import yfcc_caption
from multimodal.data.posts import load_posts
from tests.multimodal.data.test_posts import image


def write(folder: Path, name: str, content: object) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


@pytest.fixture
def instapic(tmp_path):
    """Return the folder of a data set with one post in each split."""
    for name in ("anna_@_1.jpg", "anna_@_2.png", "bob.b_@_1"):
        image(tmp_path / "images", f"{name}.png").rename(tmp_path / "images" / name)
    write(tmp_path, "json/insta-caption-train.json", {"anna": {"1": {"caption": "Hello #sun", "tags": ["sun"]}}})
    write(tmp_path, "json/insta-caption-test1.json", {"bob.b": {"1": {"caption": "bye"}}})
    write(tmp_path, "json/insta-caption-test2.json", {"anna": {"2": {"caption": "moon"}, "3": {"caption": "gone"}}})
    return tmp_path


def test_instapic_is_read_from_its_root(instapic):
    remarks = []
    found = load_posts(instapic, report=remarks.append)
    assert [(post.user, post.text, post.split, post.image.name) for post in found] == [
        ("anna", "Hello #sun", "train", "anna_@_1.jpg"),
        ("bob.b", "bye", "test1", "bob.b_@_1"),
        ("anna", "moon", "test2", "anna_@_2.png"),
    ]
    assert [post.id for post in found] == ["anna_@_1", "bob.b_@_1", "anna_@_2"]
    assert remarks == [f"1 image missing: {instapic / 'images/anna_@_3.jpg'}"]


def test_instapic_is_read_from_its_files_and_their_folder(instapic):
    assert len(load_posts(instapic / "json")) == 3
    assert [post.split for post in load_posts(instapic / "json/insta-caption-test1.json")] == ["test1"]


def test_a_file_by_another_name_needs_its_layout_named_and_has_no_split(instapic):
    file = (instapic / "json/insta-caption-train.json").rename(instapic / "json/mine.json")
    with pytest.raises(PolygraftError, match="line 1 has no 'image'"):
        load_posts(file)
    assert [post.split for post in load_posts(file, "instapic")] == [""]


def flickr(title, number, description=""):
    return {
        "title": title,
        "description": description,
        "user tags": "a,b",
        "page url": f"http://www.flickr.com/photos/x/{number}/",
    }


@pytest.fixture
def yfcc(tmp_path):
    """Return the folder of a data set: one user in both files, another in the test file alone."""
    for name in ("7@N00_1", "7@N00_2", "8@N00_1"):
        image(tmp_path / "images", f"{name}.jpg")
    train = {"7@N00": [flickr("Caf%C3%A9+in+Rome", 1)]}
    test = {"7@N00": [flickr("IMG_1", 2, "My dog in the sea")], "8@N00": [flickr("Two", 1, None)]}
    write(tmp_path, "json/yfcc-caption-train.json", train)
    write(tmp_path, "json/yfcc-caption-test.json", test)
    return tmp_path


def test_yfcc_is_read_and_its_test_parted_by_whether_the_user_is_known(yfcc):
    assert [(post.id, post.text, post.split) for post in load_posts(yfcc)] == [
        ("7@N00_1", "Café in Rome", "train"),
        ("7@N00_2", "My dog in the sea", "test2"),
        ("8@N00_1", "Two", "test1"),
    ]


@pytest.mark.parametrize(
    ("title", "description", "caption"),
    [
        ("one two three", "four five six", "one two three"),
        ("one two", "three+four+five", "three four five"),
        ("one two", "three four", "one two"),
        ("a " * 21, "b " * 20, "b " * 19 + "b"),
        ("a " * 21, "b " * 21, "a " * 20 + "a"),
        ("1 2 3 go", "my dog runs", "my dog runs"),
        ("", "", ""),
    ],
)
def test_a_flickr_caption_is_the_first_with_three_to_twenty_words(title, description, caption):
    assert yfcc_caption(title, description) == caption


def annotation(number="x1", **more):
    base = {"image_id": number, "author": "anna", "subreddit": "cats", "raw_caption": "My Cat", "caption": "my cat"}
    return base | {"created_utc": 1_500_000_000, "url": "https://i.redd.it/x.jpg"} | more


@pytest.fixture
def redcaps(tmp_path):
    """Return the folder of a data set with two files, in which two posts share an id."""
    for name in ("cats/x1.jpg", "dogs/x1.jpg"):
        image(tmp_path / "images", name)
    write(tmp_path, "annotations/cats_2017.json", {"info": {"version": "1.0"}, "annotations": [annotation()]})
    dog = annotation(subreddit="dogs", raw_caption="", author=None, created_utc=None)
    write(tmp_path, "annotations/dogs_2017.json", {"annotations": [dog]})
    write(tmp_path, "annotations/other.json", {"else": 1})
    return tmp_path


def test_redcaps_is_read_with_the_captions_as_they_were_written(redcaps):
    remarks = []
    cat, dog = load_posts(redcaps, report=remarks.append)
    assert (cat.text, cat.user, cat.time, cat.id) == ("My Cat", "anna", "2017-07-14T02:40:00+00:00", "x1")
    assert (dog.text, dog.user, dog.time, dog.id) == ("my cat", "", "", "x1~2")
    assert cat.image == redcaps / "images/cats/x1.jpg"
    assert remarks == ["1 id shared by posts, distinguished by ~2, ~3 and so on: x1"]


def test_redcaps_is_read_from_one_file_by_how_it_begins(redcaps):
    assert [post.image.parent.name for post in load_posts(redcaps / "annotations/dogs_2017.json")] == ["dogs"]


INSTAPIC, YFCC, REDCAPS = "insta-caption-train.json", "yfcc-caption-train.json", "cats_2017.json"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (INSTAPIC, b'{"anna": {', "train.json is not JSON"),
        (INSTAPIC, b"[" * 100_000, "is not JSON"),
        (INSTAPIC, b"\xff{}", "is not UTF-8"),
        (INSTAPIC, [], "train.json is a list, not an object"),
        (INSTAPIC, {"anna": []}, "user 'anna' is a list, not an object"),
        (INSTAPIC, {"anna": {"1": "hi"}}, "user 'anna', post '1' is a str, not an object"),
        (INSTAPIC, {"anna": {"1": {"text": "hi"}}}, "post '1' has no 'caption', but text"),
        (INSTAPIC, {"anna": {"1": {"caption": 5}}}, "post '1' has '5' for 'caption', which must be a text"),
        (INSTAPIC, {"a\0b": {"1": {"caption": "x"}}}, r"user 'a\\x00b', post '1' names no image"),
        (INSTAPIC, {"..": {"/../x": {"caption": "x"}}}, "none of the 1 images .* the folder images beside"),
        (INSTAPIC, {}, "holds no post"),
        (YFCC, {"7": {}}, "user '7' is a dict, not a list"),
        (YFCC, {"7": [{"title": "x"}]}, "user '7', post 1 has no 'page url', but title"),
        (YFCC, {"7": [flickr("x", 1) | {"page url": "x"}]}, "post 1 has no post id"),
        (YFCC, {"7": [flickr(["x"], 1)]}, "for 'title', which must be a text"),
        (REDCAPS, {"info": {}}, "cats_2017.json has no 'annotations', but info"),
        (REDCAPS, {"annotations": {}}, "annotations is a dict, not a list"),
        (REDCAPS, {"annotations": [annotation(), 5]}, "annotations, number 2 is a int, not an object"),
        (REDCAPS, {"annotations": [annotation(created_utc="now")]}, "number 1 has 'now' for 'created_utc'"),
        (REDCAPS, {"annotations": [annotation(created_utc=1e300)]}, r"has '1e\+300' for 'created_utc'"),
        (REDCAPS, {"annotations": [annotation(author=[1])]}, "number 1 has .* for 'user'"),
        (REDCAPS, {"annotations": [annotation("")]}, "number 1 names no image"),
    ],
)
def test_what_is_malformed_is_one_sentence_that_names_the_place(tmp_path, name, content, told):
    with pytest.raises(PolygraftError, match=told) as caught:
        load_posts(write(tmp_path, f"json/{name}", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["instapic", "yfcc", "redcaps", "jsonl"])
def test_a_folder_in_another_layout_is_refused(tmp_path, layout):
    with pytest.raises(PolygraftError, match=f"is not in the layout {layout}: "):
        load_posts(tmp_path, layout)


def test_a_layout_that_there_is_not_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(PolygraftError, match="'coco' .*instapic"):
        load_posts(tmp_path, "coco")


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(PolygraftError, match="is not in the layout folder"):
        load_posts(write(tmp_path, "posts.jsonl", b"{}"), "folder")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["caption", "title", "page url", "annotations", "image_id", "x"]), inner)
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from([INSTAPIC, YFCC, REDCAPS]))
def test_any_json_is_read_or_refused_in_one_sentence(tmp_path_factory, content, name):
    file = write(tmp_path_factory.mktemp("any"), name, content)
    with pytest.raises(PolygraftError):
        load_posts(file, {INSTAPIC: "instapic", YFCC: "yfcc", REDCAPS: "redcaps"}[name])
