"""Moving emoji on made-up packages."""

import pytest

from starter_build.datasets.emoji_clips import emoji_clips, moves, plain_names
from tests.starter_build.opendata_trees import paint, write
from tests.starter_build.tiny_emoji import BY_PART, STILL, write_emoji, write_video


def test_emoji_that_move_have_their_names_and_their_scene(tmp_path):
    found = {clip.code: clip for clip in emoji_clips(write_emoji(tmp_path))}
    assert found.keys() == {code for videos in BY_PART.values() for code in videos}
    assert not found.keys() & STILL.keys()
    ogre = found["1f479"]
    assert (ogre.names, ogre.concept) == (("ogre", "japanese ogre"), "ogre")
    assert ogre.scene == "animals & nature / animal-mammal"
    assert ogre.video.is_file() and ogre.video.stem == "1f479"


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        ({"cldr-name": "man cook", "unicode": "MAN COOK", "slack": ":male-cook:"}, ("man cook", "male cook")),
        ({"cldr-name": "dog face", "joypixels": ":dog: :dog_face:", "github": ":dog: #pet"}, ("dog face", "dog")),
        ({"cldr-name": "thumbs up", "slack": ":+1:", "cldr-tags": "thumbs up #good"}, ("thumbs up",)),
        ({"cldr-name": "keycap: *", "unicode": "KEYCAP: ASTERISK"}, ("keycap: *", "keycap: asterisk")),
    ],
)
def test_names_are_plain_words_and_tags_are_none(texts, names):
    assert plain_names(texts) == names


def test_a_image_moves_that_has_several_frames(tmp_path):
    write_video(tmp_path / "film.webp", 0)
    paint(tmp_path / "still.webp")
    write(tmp_path, {"none.webp": "no image"})
    assert [moves(tmp_path / f"{name}.webp") for name in ("film", "still", "none", "absent")] == [True, *[False] * 3]
