"""Stage 1: documents of a unit are repaired (encoding, normalization, control characters) and filtered one by one.

The result is a part, a folder with the remaining texts, the log of drops, and the statistics of each text that stage 2
decides by: hash, size, compression ratio and, for near-duplicate search, a MinHash signature.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ftfy import fix_encoding
from ftfy.chardata import UTF8_CLUES

from backbone.io.files import atomic_folder, write_json
from crosslingual.arrays import Array, text_key
from crosslingual.corpus.compressed_io import LineWriter, open_unpacked, read_objects, read_through
from crosslingual.corpus.minhash import WIDTH, signatures
from crosslingual.corpus.quality_filters import Rules, judge_texts
from crosslingual.corpus.readers import FoundText, Unit, read_documents
from crosslingual.corpus.unicode_scripts import writing_of
from crosslingual.options import BuildOptions

# A text that was UTF-8 and was decoded as something else holds the letters that lead and continuation bytes become,
# side by side; ftfy's own test, which takes longer, then decides. A space may be a continuation byte as well, yet it
# stands after half the letters of any text. The pattern looks back from the rarer letters, at twice the speed.
_PAIR, _TRIPLE, _REST = (
    f"[{UTF8_CLUES[name].replace(' ', '')}]" for name in ("utf8_first_of_2", "utf8_first_of_3", "utf8_continuation")
)
_MISREAD = re.compile(f"{_REST}(?<={_PAIR}{_REST})|{_REST}{{2}}(?<={_TRIPLE}{_REST}{{2}})")
# Joiners (U+200C, U+200D) stay: Persian and the scripts of India are misspelt without them.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_LINE_END = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # what both of them look for


def repair_text(text: str) -> str:
    """Return a text with encoding mistakes undone (ftfy), in NFC, with line feeds alone, without control characters.

    Spaces around it go; an empty text may be left. Surrogates, which are no characters, are not looked for.
    """
    misread = not text.isascii() and _MISREAD.search(text)
    if misread:
        # one line may be misread where another is not
        text = "\n".join(fix_encoding(line) if _MISREAD.search(line) else line for line in text.split("\n"))
    if misread or _ODD.search(text):  # what was misread may have been a control character
        text = _CONTROL.sub("", _LINE_END.sub("\n", text))
    return unicodedata.normalize("NFC", text).strip()


TEXTS, DROPS, FACTS, SIGNATURES, COUNTS = "texts.zst", "drops.zst", "facts.bin", "signatures.bin", "counts.json"
FACT = np.dtype([("key", "<u8"), ("ratio", "<f4"), ("size", "<u4")])
"""Statistics of a text: `text_key`, `compression_ratio`, and its bytes."""

_BATCH_LETTERS = 1 << 17  # of the texts that are repaired and judged at a time


def clean_unit(unit: Unit, rules: Rules, options: BuildOptions, folder: Path) -> None:
    """Write the part of a unit into ``folder``, whole or not at all; one that is there already stays."""
    target = folder / unit.name
    if target.exists():
        return
    writing = writing_of(unit.source.language)
    counts = {"documents": 0, "bytes": 0, "repaired": 0}
    with atomic_folder(target) as partial:
        with (
            LineWriter(partial / TEXTS) as texts,
            LineWriter(partial / DROPS) as drops,
            (partial / FACTS).open("wb") as facts,
            (partial / SIGNATURES).open("wb") as signed,
        ):
            for batch in _batches(read_documents(unit, options.max_document_bytes)):
                whole = _repair_batch(batch, drops, counts)
                judged = whole and not options.no_rules
                reasons = judge_texts([one.text for one in whole], writing, rules) if judged else [""] * len(whole)
                for found, reason in zip(whole, reasons, strict=True):
                    _drop(drops, found, reason) if reason else texts.write({"id": found.id, "text": found.text})
                kept = [found.text for found, reason in zip(whole, reasons, strict=True) if not reason]
                facts.write(_facts(kept, with_ratio=options.tails > 0).tobytes())
                if kept and options.near != "off":
                    signed.write(signatures(kept, writing.word_characters).tobytes())
        write_json(partial / COUNTS, counts)


def _repair_batch(batch: Sequence[FoundText], drops: LineWriter, counts: dict[str, int]) -> list[FoundText]:
    counts["documents"] += len(batch)
    counts["bytes"] += sum(found.size for found in batch)
    whole = []
    for found in batch:
        text = repair_text(found.text)
        if found.lost or not text:
            _drop(drops, found, found.lost or "empty")
        else:
            counts["repaired"] += text != found.text.strip()
            whole.append(found._replace(text=text))
    return whole


def _drop(drops: LineWriter, found: FoundText, reason: str) -> None:
    drops.write({"id": found.id, "bytes": found.size, "reason": reason})


def _facts(texts: Sequence[str], *, with_ratio: bool) -> Array:
    data = [text.encode() for text in texts]
    rows = [(text_key(text), compression_ratio(text) if with_ratio else 0.0, len(text)) for text in data]
    return np.array(rows, dtype=FACT)


def compression_ratio(data: bytes) -> float:
    """Return compressed by uncompressed size, with zlib at level 4."""
    return len(zlib.compress(data, 4)) / max(len(data), 1)


def _batches(documents: Iterable[FoundText]) -> Iterator[list[FoundText]]:
    batch: list[FoundText] = []
    letters = 0
    for found in documents:
        batch.append(found)
        letters += len(found.text) + 1
        if letters >= _BATCH_LETTERS:
            yield batch
            batch, letters = [], 0
    if batch:
        yield batch


def read_text_lines(part: Path) -> Iterator[bytes]:
    """Yield the JSON line with ``id`` and ``text`` of each text that is left of a unit."""
    with open_unpacked(part / TEXTS) as stream:
        yield from read_through(part / TEXTS, stream)


def read_drops(part: Path) -> Iterator[dict[str, Any]]:
    """Yield ``id``, ``bytes`` and ``reason`` of what the first pass dropped."""
    with open_unpacked(part / DROPS) as stream:
        yield from read_through(part / DROPS, read_objects(stream))


def delete_texts(part: Path) -> None:
    """Delete what `read_text_lines` and `read_drops` read; the facts stay."""
    for name in (TEXTS, DROPS):
        (part / name).unlink(missing_ok=True)


def read_facts(part: Path) -> Array:
    """Return the facts of the texts of a part, (n,) of `FACT`, mapped."""
    return _mapped(part / FACTS, FACT)


def read_signatures(part: Path) -> Array:
    """Return the signatures of the texts of a part, (n, 112) uint32, mapped."""
    return _mapped(part / SIGNATURES, np.dtype(np.uint32)).reshape(-1, WIDTH)


def _mapped(path: Path, kind: np.dtype[Any]) -> Array:
    # an empty file cannot be mapped
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, kind)
