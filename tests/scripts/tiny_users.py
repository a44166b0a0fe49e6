"""A tiny captioner that knows users, untrained, and posts that its users wrote."""

import json
from pathlib import Path
from typing import Any

from backbone.clip import ImageEncoder
from backbone.gpt2 import Backbone
from multimodal.captioner import Captioner
from multimodal.profile.text_features import WordTable
from tests.multimodal.tiny_captioner import TEXTS, paint, tiny_config

VOICES = {"ann": "so {}!", "bob": "#{} #mine", "eve": "😀🎈", "zoë": "שלום {}"}


def write_user_captioner(folder: Path, **changes: Any) -> Path:
    """Write the captioner upon the starter of the environment; ``changes`` are of its config."""
    encoder, backbone = ImageEncoder.from_pretrained(device="cpu"), Backbone.from_pretrained(device="cpu")
    small = {"words": 8, "past_posts": 2, "past_tokens": 8, "mapping_layers": 1, "fusion_layers": 1}
    config = tiny_config(**({"mapper": "user"} | small | changes))
    table = WordTable.fit({user: [text] for user, text in VOICES.items()})
    return Captioner.build(encoder, backbone, config, table).save_pretrained(folder)


def write_users_posts(folder: Path, *, each: int = 4, **marks: str) -> Path:
    """Write ``each`` posts of four users, in voices of their own; ``marks`` says the split of a user's last post."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(4 * each):
        user = list(VOICES)[number % 4]
        paint(number).save(folder / f"{number:02}.png")
        text = VOICES[user].format(TEXTS[number].split()[1])
        post = {"image": f"{number:02}.png", "text": text, "user": user, "time": f"2020-01-{number + 1:02}"}
        last = number >= 4 * (each - 1)
        lines.append(post | ({"split": marks.get(user, "train") if last else "train"} if marks else {}))
    return write_lines(folder / "posts.jsonl", lines)


def write_lines(file: Path, lines: list[dict]) -> Path:
    """Write a line of JSON each."""
    file.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")
    return file
