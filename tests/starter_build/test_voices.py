"""What the communities call emoji, read from made-up packages in the layouts of the real ones."""

import json

import pytest

from backbone.errors import PolygraftError
from starter_build.datasets.images import EMOJI_NAMES, EMOJI_TWITTER, emoji, emoji_code
from starter_build.datasets.packages import MARKER
from starter_build.datasets.voices import (
    EMOJILIB,
    GEMOJI,
    JOYPIXELS,
    OPENMOJI,
    VOICES,
    ZULIP,
    gather,
    hashtags,
    voice_texts,
)
from tests.starter_build.opendata_trees import LEXICON, emoji_trees, write

GEMOJI_MODULE = """export const gemoji = [
  {
    emoji: '🐶',
    names: ['dog'],
    tags: ['pet'],
    description: 'dog face',
    category: 'Animals & Nature'
  },
  {
    emoji: '🏄️',
    names: ['surfer', 'surfing'],
    tags: [],
    description: 'person surfing',
"""
ZULIP_MODULE = """from typing import Any
NAMES: dict[str, Any] = {"1f436": {"canonical_name": "puppy", "aliases": []}}
"""
DOG = {
    "cldr-name": "dog face",
    "unicode": "DOG FACE",
    "charts": "animals & nature / animal-mammal / dog face",
    "cldr-tags": "dog face #adorbs #guidedog #dog #face #pet",
    "cldr-keywords": "adorbs | guide dog | dog | face | pet",
    "emojilib": "#animal #friend",
    "joypixels-keywords": "dog, pet",
    "openmoji": "friend, doggy",
    "github": ":dog: #pet",
    "slack": ":dog:",
    "joypixels": ":dog: :dog_face:",
    "emojibase": ":dog_face:",
    "emojibase-legacy": ":dog_face:",
    "cldr-shortcode": ":dog_face:",
    "zulip": ":puppy:",
}


def packages():
    """Return ``{package: {path: content}}`` for a dog, and a surfer whom some communities do not name."""
    both = {"1F436": "dog_face", "1F3C4": ["person_surfing", "surfer"]}
    tags = ["adorbs", "guide dog", "dog", "face", "pet", "puppy"]
    entries = [
        {"label": "dog face", "hexcode": "1F436", "group": 3, "subgroup": 34, "tags": tags},
        {"label": "person surfing", "hexcode": "1F3C4-FE0F"},
    ]
    table = [
        {"unified": "1F436", "name": "DOG FACE", "short_name": "dog"},
        {"unified": "1F3C4", "name": None, "short_name": "surfer"},
    ]
    toolkit = {
        "shortname": ":dog:",
        "shortname_alternates": [":dog_face:"],
        "keywords": ["dog", "pet", "uc6"],
        "code_points": {"fully_qualified": "1f436"},
    }
    data = {"en/data.json": entries, "meta/groups.json": {"subgroups": {"34": "animal-mammal"}}}
    data["en/messages.json"] = {"groups": [{"message": "animals & nature", "order": 3}]}
    data |= {f"en/shortcodes/{name}.json": both for name in ("cldr", "emojibase", "emojibase-legacy")}
    return {
        EMOJI_NAMES: {f"package/{path}": json.dumps(content) for path, content in data.items()},
        EMOJI_TWITTER: {"package/emoji.json": json.dumps(table)},
        GEMOJI: {"package/index.js": GEMOJI_MODULE},
        EMOJILIB: {
            "package/dist/emoji-en-US.json": json.dumps({"🐶": ["dog_face", "animal", ":D", "friend", "animal"]})
        },
        JOYPIXELS: {"package/emoji.json": json.dumps({"1f436": toolkit})},
        OPENMOJI: {"package/data/openmoji.json": json.dumps([{"hexcode": "1F436", "openmoji_tags": "friend, doggy"}])},
        ZULIP: {"zulip_emoji_mapping/emoji_names.py": ZULIP_MODULE},
    }


@pytest.fixture
def data(tmp_path):
    for package, files in packages().items():
        write(tmp_path / package.folder, files | {MARKER: "{}"})
    return tmp_path


def test_a_dog_in_the_words_of_every_community(data):
    texts = voice_texts(data)
    assert {voice: said["1f436"] for voice, said in texts.items()} == DOG
    assert list(texts) == [voice.name for voice in VOICES]


def test_who_has_no_word_for_an_emoji_says_nothing(data):
    surfer = {voice: said["1f3c4"] for voice, said in voice_texts(data).items() if "1f3c4" in said}
    assert surfer == {
        "cldr-name": "person surfing",
        "cldr-tags": "person surfing",
        "github": ":surfer:",
        "slack": ":surfer:",
        "emojibase": ":person_surfing: :surfer:",
        "emojibase-legacy": ":person_surfing: :surfer:",
        "cldr-shortcode": ":person_surfing: :surfer:",
    }


def test_images_of_both_hands_meet_the_texts(tmp_path, data):
    found = gather(emoji(*emoji_trees(tmp_path / "trees"), LEXICON), voice_texts(data))
    assert [(spoken.code, spoken.concept) for spoken in found] == [("1f436", "dog"), ("1f3c4", "surfing")]
    assert found[0].texts == DOG
    assert found[0].images.keys() == {"fluent", "twemoji"}


def test_a_package_that_is_not_json_is_named(data):
    (data / OPENMOJI.folder / "package/data/openmoji.json").write_text("<html>")
    with pytest.raises(PolygraftError, match=r"openmoji\.json is not JSON"):
        voice_texts(data)


def test_codes_are_read_from_characters_and_from_any_spelling():
    assert emoji_code("👨‍🍳") == emoji_code("1F468-200D-1F373") == "1f468-200d-1f373"
    assert emoji_code("☀️") == emoji_code("2600-FE0F") == "2600"


def test_hashtags_are_words_without_blanks_and_at_most_five():
    assert hashtags(["hot dog", "i’m", "100", ":D", "hot-dog", *"abcd"]) == "#hotdog #im #a #b #c"
