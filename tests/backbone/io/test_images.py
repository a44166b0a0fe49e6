"""Opening and finding images: every odd kind gives plain RGB, every bad file one sentence."""

import contextlib
import io
import os
import resource
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from backbone.errors import PolygraftError
from backbone.io.images import list_images, open_image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def two_tone(mode: str = "RGB", left: object = "red", right: object = "blue") -> Image.Image:
    image = Image.new(mode, (8, 4), left)
    image.paste(right, (4, 0, 8, 4))
    return image


def bomb_png(width: int, height: int) -> bytes:
    """A well-formed PNG of the given size, all black, compressed to next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def corners(image: Image.Image) -> tuple[object, object]:
    return image.getpixel((0, 0)), image.getpixel((image.width - 1, image.height - 1))


# Kinds of images


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right
    opened = open_image(encoded(two_tone(), "PNG", exif=exif))
    assert opened.size == (4, 8)
    assert corners(opened) == ((255, 0, 0), (0, 0, 255))


def test_transparency_lies_on_white():
    half = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    half.putpixel((1, 0), (0, 0, 0, 0))
    assert corners(open_image(encoded(half))) == ((255, 0, 0), (255, 255, 255))
    half.putpixel((1, 0), (0, 0, 0, 51))
    assert open_image(encoded(half)).getpixel((1, 0)) == (204, 204, 204)


def test_a_palette_with_a_transparent_entry_lies_on_white():
    image = two_tone().quantize(2)
    clear = image.getpixel((7, 3))
    assert corners(open_image(encoded(image, "PNG", transparency=clear)))[1] == (255, 255, 255)
    assert corners(open_image(encoded(image, "PNG"))) == ((255, 0, 0), (0, 0, 255))


def test_grey_with_alpha_lies_on_white():
    assert corners(open_image(encoded(two_tone("LA", (10, 255), (10, 0))))) == ((10, 10, 10), (255, 255, 255))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert corners(open_image(data))[0] == (255, 0, 0)


def test_cmyk_becomes_rgb():
    opened = open_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = opened.getpixel((4, 4))
    assert opened.mode == "RGB"
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind):
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    opened = np.asarray(open_image(encoded(Image.fromarray(values), kind)))
    assert opened[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[-10.0, 0.0, 10.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0, 100_000, 200_000]], dtype=np.int32), [0, 128, 255]),
    ],
)
def test_deep_grey_spans_black_to_white(values, expected):
    assert np.asarray(open_image(encoded(Image.fromarray(values), "TIFF")))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "RGBa", "LAB", "HSV", "RGBX"])
def test_every_mode_of_pillow_gives_rgb(mode):
    source = Image.new("RGB", (3, 3), "white").convert(mode) if mode not in ("RGBa", "LAB") else None
    source = source or Image.new("RGBA", (3, 3), "white").convert("RGBa")
    opened = open_image(source)
    assert opened.mode == "RGB"
    assert opened.getpixel((1, 1)) == (255, 255, 255)


def test_an_image_given_is_left_as_it_is():
    image = two_tone()
    opened = open_image(image)
    opened.putpixel((0, 0), (9, 9, 9))
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_a_path_may_be_text(tmp_path):
    two_tone().save(tmp_path / "a.bmp")
    assert corners(open_image(str(tmp_path / "a.bmp"))) == corners(open_image(tmp_path / "a.bmp"))


# Bad files


def bad_file(folder: Path, kind: str) -> Path:
    """Write a file that holds no usable image."""
    path = folder / f"{kind.replace(' ', '_')}.png"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    contents = {
        "truncated png": encoded(noise)[:4000],
        "truncated jpeg": encoded(noise, "JPEG")[:1000],
        "zero bytes": b"",
        "text": b"this is no image\n" * 20,
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n",
        "cut header": encoded(noise)[:20],
    }
    if kind == "folder":
        path.mkdir()
    elif kind == "broken link":
        path.symlink_to(folder / "gone.png")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind != "missing":
        path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated png", "damaged or cut short"),
        ("truncated jpeg", "damaged or cut short"),
        ("cut header", "cannot be decoded|no image"),
        ("zero bytes", "is empty"),
        ("text", "no image in a known format"),
        ("eps", "no image in a known format"),
        ("folder", "is a folder"),
        ("broken link", "broken link to .*gone.png"),
        ("pipe", "no regular file"),
        ("missing", "does not exist"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence_with_its_path(tmp_path, kind, words):
    path = bad_file(tmp_path, kind)
    with pytest.raises(PolygraftError, match=words) as caught:
        open_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_by_its_header_alone(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb_png(30_000, 30_000))
    code = (
        "import resource, sys\n"
        "from backbone.errors import PolygraftError\n"
        "from backbone.io.images import open_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: open_image(sys.argv[1])\n"
        "except PolygraftError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=60)
    sentence, kilobytes = done.stdout.splitlines()
    assert "too large" in sentence or "30000 x 30000" in sentence
    assert int(kilobytes) < 20_000
    assert done.stderr == ""


@pytest.mark.parametrize("side", [60, 12_000])
def test_the_size_limit_is_the_callers(side):
    with pytest.raises(PolygraftError, match=f"{side} x {side} pixels"):
        open_image(bomb_png(side, side), max_pixels=3599)
    assert open_image(bomb_png(60, 60), max_pixels=3600).size == (60, 60)
    with pytest.raises(PolygraftError, match="8 x 4 pixels"):
        open_image(two_tone(), max_pixels=31)


def test_limits_of_memory_are_not_mistaken_for_damage():
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, hard))
    try:
        with pytest.raises(MemoryError):
            open_image(bomb_png(9_900, 9_900))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_random_bytes_never_raise_anything_else(data):
    with pytest.raises(PolygraftError):
        open_image(data)


@given(st.data(), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "ICO"]))
@settings(max_examples=200, deadline=None)
def test_damaged_images_open_or_are_refused(data, kind):
    good = bytearray(encoded(two_tone().resize((32, 32)), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PolygraftError):
        assert open_image(bytes(good)).mode == "RGB"


def test_warnings_of_pillow_stay_inside_and_others_get_out(tmp_path):
    path = tmp_path / "warns.png"
    path.write_bytes(bomb_png(9_800, 9_800))  # Pillow warns from 89 million pixels on

    def refuse(path):
        with pytest.raises(PolygraftError, match="allowed are 10"):
            open_image(path, max_pixels=10)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(refuse, [path] * 20))
        warnings.warn("from elsewhere", stacklevel=1)
    assert [str(one.message) for one in seen] == ["from elsewhere"]


# Finding


@pytest.fixture
def tree(tmp_path):
    names = ["b.png", "a.JPG", "sub/c.webp", "sub/deep/d.gif", ".hidden.png", "._a.JPG", ".git/x.png", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("no image")
    return tmp_path


def relative(files, root):
    return [str(file.relative_to(root)) for file in files]


def test_a_folder_is_searched_at_every_depth_in_order(tree):
    assert relative(list_images([str(tree)]), tree) == ["a.JPG", "b.png", "sub/c.webp", "sub/deep/d.gif"]


def test_a_named_file_is_taken_whatever_its_name(tree):
    assert relative(list_images([str(tree / "notes.txt")]), tree) == ["notes.txt"]


def test_patterns_are_expanded(tree):
    assert relative(list_images([str(tree / "*.png")]), tree) == ["b.png"]
    assert relative(list_images([str(tree / "**/*.gif")]), tree) == ["sub/deep/d.gif"]
    assert relative(list_images([str(tree / "s*")]), tree) == ["sub/c.webp", "sub/deep/d.gif"]


def test_each_image_is_listed_once(tree):
    assert relative(list_images([str(tree / "b.png"), str(tree), str(tree / "*.png")]), tree)[0] == "b.png"
    assert len(list_images([str(tree), str(tree)])) == 4


def test_a_name_with_pattern_characters_is_a_name_first(tmp_path):
    (tmp_path / "a[1].png").write_text("x")
    assert relative(list_images([str(tmp_path / "a[1].png")]), tmp_path) == ["a[1].png"]


@pytest.mark.parametrize(
    ("name", "words"), [("gone.png", "does not exist"), ("*.bmp", "matches no image"), ("empty", "no images in")]
)
def test_nothing_found_is_an_error_that_names_it(tree, name, words):
    (tree / "empty").mkdir()
    with pytest.raises(PolygraftError, match=words) as caught:
        list_images([str(tree / name)])
    assert name in str(caught.value)


def test_no_paths_at_all_is_an_error():
    with pytest.raises(PolygraftError, match="no images in nothing"):
        list_images([])
