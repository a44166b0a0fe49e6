"""A little prose to build corpora from, and ways to damage it."""

import json
import random
from pathlib import Path

from crosslingual.corpus.build import build_corpus
from crosslingual.corpus.corpus import Corpus
from crosslingual.corpus.sources import read_sources
from crosslingual.options import BuildOptions

_STEMS = {
    "en": "king queen house night river city small great white walk sing write long old voice winter garden letter",
    "ru": "король дом ночь река город малый большой белый ходить петь писать долгий старый голос зима сад письмо",
    "de": "könig haus nacht fluss stadt klein groß weiß gehen singen schreiben lang alt stimme winter garten brief",
}
_JOINS = {"en": "the and of in a was", "ru": "и в на не он был", "de": "die und von in ein war"}


def prose(language: str, count: int, *, seed: int = 0, words: int = 90) -> list[str]:
    """Return texts of sentences, no two alike."""
    draw = random.Random(f"{language} {seed}")
    stems, joins = _STEMS[language].split(), _JOINS[language].split()

    def word() -> str:
        return (
            draw.choice(joins) if draw.random() < 0.3 else draw.choice(stems) + draw.choice(stems)[: draw.randint(1, 3)]
        )

    def sentence() -> str:
        return " ".join(word() for _ in range(draw.randint(6, 14))).capitalize() + "."

    def text() -> str:
        parts: list[str] = []
        while sum(len(part.split()) for part in parts) < words:
            parts.append(sentence())
        return " ".join(parts)

    return [text() for _ in range(count)]


def alter(text: str, count: int, seed: int = 0) -> str:
    """Return a near copy: with so many words before the last replaced."""
    words = text.split()
    for place in random.Random(seed).sample(range(len(words) - 1), count):
        words[place] = "other"
    return " ".join(words)


def write_jsonl(path: Path, texts: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def source(name: str, language: str, path: str, **fields: object) -> str:
    """Return a table of a list of sources."""
    table = {"name": name, "language": language, "licence": "CC0-1.0", "path": path, **fields}
    return "[[source]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def build(folder: Path, listed: str, *, out: str = "corpus", workers: int = 1, **options: object) -> Corpus:
    """Write a list of sources into ``folder`` and build it."""
    (folder / "sources.toml").write_text(listed, encoding="utf-8")
    settings = BuildOptions(**options)  # type: ignore[arg-type]
    return build_corpus(read_sources(folder / "sources.toml"), folder / out, settings, workers=workers)


def texts(corpus: Corpus, language: str, split: str = "train") -> list[str]:
    return [document.text for document in corpus.documents(language, split)]  # type: ignore[arg-type]


def drops(corpus: Corpus, language: str) -> dict[str, str]:
    """Return the reason by id."""
    return {drop["id"]: drop["reason"] for drop in corpus.drops(language)}


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below ``folder``."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
