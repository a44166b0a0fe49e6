"""Tiny videos with narrations, and tiny narrators upon the starter of the environment."""

from pathlib import Path
from typing import Any

import torch

from backbone.clip import ImageEncoder
from backbone.gpt2 import Backbone
from tests.video.tiny_narrator import moved, tiny_config, write_lines, write_video
from video.narrator import Narrator

COLOURS = ("red", "lime", "blue", "yellow", "black", "white")
DOES = ("paints the wall", "washes the car", "opens the door", "cuts a potato", "sits down", "reads a book")


def write_clips(folder: Path, videos: int = 12, **marks: str) -> Path:
    """Write videos of two colours, a second and a clip each; ``marks`` says the split of a video: ``film3="test"``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(videos):
        name = f"{number:02}.gif"
        pair = (number % 6, (number // 6 + number + 1) % 6)
        write_video(folder / name, [COLOURS[at] for at in pair])
        mark = {"split": marks[f"video{number}"]} if f"video{number}" in marks else {}
        rows += [
            {"film": name, "start": at, "stop": at + 1, "text": DOES[colour], "scenario": "house"} | mark
            for at, colour in enumerate(pair)
        ]
    return write_lines(folder / "clips.jsonl", rows)


def write_narrator(folder: Path, **changes: Any) -> Path:
    """Write a narrator, untrained but pushed off its start, upon the starter of the environment."""
    encoder, backbone = ImageEncoder.from_pretrained(device="cpu"), Backbone.from_pretrained(device="cpu")
    torch.manual_seed(0)
    return moved(Narrator.build(encoder, backbone, tiny_config(**changes))).save_pretrained(folder)
