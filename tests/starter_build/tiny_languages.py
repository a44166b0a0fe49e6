"""A tiny English model and what is known of German, as files: made once in a second or two."""

from pathlib import Path

from tests.backbone.tiny import tiny_model
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, PAIRS, byte_bpe
from tests.crosslingual.tiny_vectors import tiny_fasttext


def write_languages(folder: Path) -> Path:
    """Write ``model``, ``german`` (a tokenizer), word vectors, a dictionary and texts; return ``folder``."""
    write_model(folder / "model")
    byte_bpe(GERMAN, 400).save_pretrained(folder / "german")
    tiny_fasttext(folder / "en.bin", ENGLISH)
    tiny_fasttext(folder / "de.bin", GERMAN)
    (folder / "pairs.tsv").write_text("\n".join("\t".join(pair) for pair in PAIRS), encoding="utf-8")
    (folder / "de.txt").write_text("\n".join(GERMAN * 5), encoding="utf-8")
    (folder / "en.txt").write_text("\n".join(ENGLISH * 5), encoding="utf-8")
    return folder


def write_model(folder: Path, **sizes: int) -> Path:
    """Write a random GPT-2 in half precision, as the starter's is, with its tokenizer."""
    tiny_model(420, **sizes).half().save_pretrained(folder)
    byte_bpe(ENGLISH, 420).save_pretrained(folder)
    return folder
