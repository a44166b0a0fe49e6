"""The three image sets on made-up packages."""

import pytest
from PIL import Image

from backbone.errors import PolygraftError
from starter_build.datasets.clipart import clean_title, clips, is_visible, read_metadata
from starter_build.datasets.images import draw_svg, emoji, stamp_caption, stamps
from tests.starter_build.opendata_trees import LEXICON, clip_svg, clip_trees, emoji_trees, paint, write

STAMPS = "usr/share/tuxpaint/stamps"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="400pt" height="200pt"><rect width="9" height="9"/></svg>'


def test_emoji_come_in_two_hands_without_flags_letters_and_skin_tones(tmp_path):
    found = list(emoji(*emoji_trees(tmp_path), LEXICON))
    assert [(image.id, image.text, image.concept) for image in found] == [
        ("emoji/fluent/1f436", "dog face", "dog"),
        ("emoji/twemoji/1f436", "dog face", "dog"),
        ("emoji/fluent/1f3c4", "person surfing", "surfing"),
        ("emoji/twemoji/1f3c4", "person surfing", "surfing"),
    ]


def test_stamps_have_a_sentence_and_a_image(tmp_path):
    write(tmp_path, {f"{STAMPS}/{name}.txt": "A dog.\nfr.utf8=Un chien." for name in ("pets/dog", "symbols/x", "lost")})
    paint(tmp_path / STAMPS / "pets/dog.png")
    paint(tmp_path / STAMPS / "symbols/x.png")
    [stamp] = stamps(tmp_path, tmp_path / "drawn", LEXICON)
    assert (stamp.id, stamp.text, stamp.concept) == ("stamps/pets/dog", "A dog.", "dog")


def test_a_stamp_that_is_svg_only_is_drawn(tmp_path):
    pytest.importorskip("resvg_py")
    write(tmp_path, {f"{STAMPS}/hat.txt": "A hat.", f"{STAMPS}/hat.svg": SVG})
    [stamp] = stamps(tmp_path, tmp_path / "drawn", LEXICON)
    with Image.open(stamp.image) as drawn:
        assert drawn.width == 256
        assert drawn.height in (128, 129)  # a size in points is rounded to pixels on the way


def test_a_broken_drawing_is_named(tmp_path):
    pytest.importorskip("resvg_py")
    with pytest.raises(PolygraftError, match=r"hat\.svg cannot be drawn"):
        draw_svg(write(tmp_path, {"hat.svg": "<svg"}) / "hat.svg", tmp_path / "hat.png")


@pytest.mark.parametrize(
    ("note", "caption"),
    [
        ("A computer mouse. Squeak!\nfr.utf8=Une souris.", "A computer mouse."),
        ("A calculator.  6x7=42", "A calculator."),
        ("– Because a brain is a terrible thing to waste…", ""),
        ("word " * 15, ""),
        ("", ""),
    ],
)
def test_a_stamp_is_called_by_its_first_sentence(note, caption):
    assert stamp_caption(note) == caption


@pytest.mark.parametrize(
    ("title", "caption"),
    [
        ("Sleeping_Dog-02.svg", "sleeping dog"),
        ("SleepingDog", "sleeping dog"),
        ("ball red", "red ball"),
        ("Apple (B and W)", "apple in black and white"),
        ("apple_bw_01", "apple in black and white"),
        ("Clipart by Ann Lee - hat", "hat"),
        ("ann_lee_apple", "apple"),
        ("saturn", "Saturn"),
        ("Gatto Nero", ""),
        ("untitled", ""),
        ("big", ""),
        ("stripper", ""),
    ],
)
def test_titles_become_short_english_captions(title, caption):
    assert clean_title(title, "Ann Lee", LEXICON) == caption


def test_a_title_of_nothing_but_a_colour_ends():
    assert clean_title("red blue", "Ann Lee", LEXICON) == ""


def test_metadata_tell_title_and_author_apart_from_the_publisher():
    assert read_metadata(clip_svg("A &amp; B", "A.J. Ashton &lt;aj@x.org&gt;")) == ("A & B", "AJ Ashton")
    assert read_metadata("<svg/>") == ("", "")


def test_clips_drop_flags_repeats_series_titles_and_other_languages(tmp_path):
    uploads = {f"toys/{name}": ("My Collection", "Ann") for name in ("ball", "hat", "moon")}
    uploads |= {f"toys/more_{name}": (name, "Bo") for name in ("Gatto", "Cane", "hat")}
    uploads |= {"toys/other": ("Hat", "Ann"), "signs_and_symbols/flags/x": ("dog", "Ann"), "toys/lost": ("dog", "")}
    svg, png = clip_trees(tmp_path, uploads)
    found = list(clips(svg, png, LEXICON))
    assert [(clip.title, clip.author) for clip in found] == [("ball", "Ann"), ("hat", "Ann"), ("moon", "Ann")]


@pytest.mark.parametrize(
    ("options", "visible"),
    [({}, True), ({"box": (1, 1, 3, 3)}, False), ({"colour": "white"}, False), ({"size": (20, 64)}, False)],
)
def test_specks_white_on_white_and_tiny_images_are_not_visible(tmp_path, options, visible):
    paint(tmp_path / "x.png", **options)
    assert is_visible(tmp_path / "x.png") == visible
