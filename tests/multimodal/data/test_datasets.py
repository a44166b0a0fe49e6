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
    with pytest.raises(PolygraftError, match="'pinterest' .*instapic"):
        load_posts(tmp_path, "pinterest")


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


# Captions of nobody in particular: Flickr8k in three forms, Flickr30k, COCO

SPLIT_OF = {"a.jpg": "train", "b.jpg": "validation", "c.jpg": "test1"}


@pytest.fixture
def photographs(tmp_path):
    """Return a function that puts three photographs into a folder, and the root."""

    def put(folder):
        for name in SPLIT_OF:
            image(tmp_path / folder, name)
        return tmp_path

    return put


def summary(posts):
    return [(post.image.name, post.text, post.split) for post in posts]


KAGGLE = (
    b'image,caption\na.jpg,A dog runs .\na.jpg,"A dog , wet , runs ."\nb.jpg,"A ""red"" boat"\nc.jpg,A cat \'s tail\n'
)
READ = [("a.jpg", "A dog runs."), ("a.jpg", "A dog, wet, runs."), ("b.jpg", 'A "red" boat'), ("c.jpg", "A cat's tail")]


def test_flickr_as_a_table_has_no_splits(photographs):
    root = photographs("Images")
    file = write(root, "captions.txt", KAGGLE)
    expected = [(name, text, "") for name, text in READ]
    assert (
        summary(load_posts(root))
        == summary(load_posts(root, "flickr"))
        == summary(load_posts(file, "flickr"))
        == expected
    )


def test_flickr_30k_is_a_table_with_bars(photographs):
    root = photographs("flickr30k_images")
    rows = (
        b"image_name| comment_number| comment\na.jpg| 0| Two dogs , one wet .\nb.jpg| 4   A boat .\nc.jpg| 1| A | cat\n"
    )
    write(root, "results.csv", rows)
    assert [post.text for post in load_posts(root)] == ["Two dogs, one wet.", "A boat.", "A | cat"]


def test_flickr_as_published_takes_its_lists_of_splits(photographs):
    root = photographs("Flicker8k_Dataset")
    image(root / "Flicker8k_Dataset", "d.jpg")
    lines = [f"{name}#{number}\t{text}" for number, (name, text) in enumerate([*READ, ("d.jpg", "In no list .")])]
    write(root, "Flickr8k_text/Flickr8k.token.txt", "\n".join(lines).encode())
    write(root, "Flickr8k_text/Flickr8k.lemma.token.txt", b"a.jpg#0\ta dog run .")
    for name, list_ in zip(SPLIT_OF, ("train", "dev", "test"), strict=True):
        write(root, f"Flickr8k_text/Flickr_8k.{list_}Images.txt", f"{name}\r\n".encode())
    remarks = []
    posts = load_posts(root, report=remarks.append)
    assert summary(posts) == [(name, text, SPLIT_OF[name]) for name, text in READ]
    assert [remark[:17] for remark in remarks] == ["1 images left out"]


def karpathy(**more):
    images = [
        {
            "filename": name,
            "split": split,
            "sentences": [{"raw": text, "tokens": []} for at, text in READ if at == name],
        }
        for name, split in zip(SPLIT_OF, ("restval", "val", "test"), strict=True)
    ]
    return {"images": [entry | more for entry in images], "dataset": "any"}


@pytest.mark.parametrize(
    ("file", "folder", "more"),
    [
        ("dataset_flickr8k.json", "Flicker8k_Dataset", {}),
        ("annotations/dataset_flickr8k.json", "", {}),
        ("dataset_coco.json", "images/val2014", {"filepath": "val2014"}),
        ("annotations/dataset_coco.json", "val2014", {"filepath": "val2014"}),
    ],
)
def test_karpathys_splits_are_taken(photographs, file, folder, more):
    root = photographs(folder)
    write(root, file, karpathy(**more))
    assert summary(load_posts(root)) == [(name, text, SPLIT_OF[name]) for name, text in READ]
    assert len(load_posts(root / file, "coco" if more else "flickr")) == len(READ)


@pytest.mark.parametrize(("below", "names"), [("", "dict"), ("images/", "dict"), ("images/", "flat")])
def test_coco_is_read_with_the_parts_that_are_there(photographs, below, names):
    folder = {"dict": f"{below}{{}}2017", "flat": "images"}[names]
    for part in ("train", "val"):
        root = photographs(folder.format(part))
        images = [{"id": 7, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.jpg"}]
        entries = [{"image_id": 9, "id": 1, "caption": f"A {part} .\n"}, {"image_id": 7, "id": 2, "caption": "Two"}]
        content = {"info": {}, "images": images, "licenses": [], "annotations": entries}
        write(root, f"annotations/captions_{part}2017.json", content)
        write(root, f"annotations/instances_{part}2017.json", {"info": {}, "annotations": [{"bbox": []}]})
    found = load_posts(root)
    said = {("a.jpg", f"A {part}.", split) for part, split in (("train", "train"), ("val", "validation"))}
    assert said < set(summary(found)), "COCO is not taken for RedCaps, and each file has its own split and folder"
    assert len(load_posts(root / "annotations/captions_val2017.json", "coco")) == 2


@pytest.mark.parametrize(
    ("layout", "name", "content", "place"),
    [
        ("flickr", "x.token.txt", b"a.jpg#0\tA dog\na.jpg#1 A dog", "line 2 has no tab"),
        ("flickr", "captions.txt", b"image,caption\na.jpg", "line 2 has no caption"),
        ("flickr", "captions.txt", b"image,caption\na.jpg," + b"x" * 200_000, "line 2 is no row"),
        ("flickr", "captions.txt", b"image,caption\na.jpg,caf\xe9", "line 2 is not UTF-8"),
        ("flickr", "dataset_flickr8k.json", {"images": [{"filename": "a.jpg"}]}, "number 1 has no 'sentences'"),
        ("flickr", "dataset_flickr8k.json", {"images": [7]}, "number 1 is a int"),
        ("flickr", "dataset_flickr8k.json", karpathy(split="dev"), "'dev' for 'split'"),
        ("coco", "captions_a.json", {"images": [], "annotations": [{"image_id": 4, "caption": "x"}]}, "of image 4"),
        ("coco", "captions_a.json", {"images": [], "annotations": [{"image_id": [], "caption": "x"}]}, "image_id"),
        ("coco", "captions_a.json", b"[" * 100_000, "is not JSON"),
    ],
)
def test_a_damaged_file_of_captions_is_named_with_the_place(tmp_path, layout, name, content, place):
    image(tmp_path, "a.jpg")
    file = write(tmp_path, name, content)
    with pytest.raises(PolygraftError, match=place):
        load_posts(file, layout)


def test_a_captions_txt_that_is_a_side_car_is_no_table(tmp_path):
    image(tmp_path, "captions.jpg")
    write(tmp_path, "captions.txt", b"A page of captions")
    assert [post.text for post in load_posts(tmp_path)] == ["A page of captions"]
