"""Stage 3: writes the texts of a part to the training split, to the held-out split or to the log of drops."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from backbone.io.files import atomic_folder, write_json
from crosslingual.corpus.clean import delete_texts, read_drops, read_facts, read_text_lines
from crosslingual.corpus.compressed_io import LineWriter, to_line
from crosslingual.corpus.corpus import Amount
from crosslingual.corpus.minhash import copies
from crosslingual.corpus.readers import Unit
from crosslingual.corpus.selection import FATES, HELDOUT, TRAIN, read_decided

SPLITS = ("train", "heldout", "drops")
SUFFIX = ".jsonl.zst"
SUMMARY = "summary.json"


@dataclass(kw_only=True)
class UnitSummary:
    """What became of the texts of one unit."""

    amounts: dict[str, Amount] = field(default_factory=lambda: dict.fromkeys(SPLITS, Amount()))  # by split
    dropped: dict[str, Amount] = field(default_factory=dict)  # by reason
    rehydrated: Amount = field(default_factory=Amount)
    files: dict[str, tuple[int, str]] = field(default_factory=dict)  # bytes and SHA-256 of the file of each split

    def drop(self, reason: str, size: int) -> None:
        """Count a text that was dropped."""
        self.amounts["drops"] += Amount(documents=1, bytes=size)
        self.dropped[reason] = self.dropped.get(reason, Amount()) + Amount(documents=1, bytes=size)


def write_unit(unit: Unit, part: Path, folder: Path) -> None:
    """Write the shards of a unit into ``folder``, whole or not at all; those that are there already stay.

    The texts of the part are deleted then, so that the disk does not hold them a third time.
    """
    target = folder / unit.name
    if target.exists():
        delete_texts(part)  # if the build was killed before it was done
        return
    summary = UnitSummary()
    with atomic_folder(target) as partial:
        with ExitStack() as stack:
            out = {split: stack.enter_context(LineWriter(partial / f"{split}{SUFFIX}", keep=True)) for split in SPLITS}
            for drop in read_drops(part):
                summary.drop(drop["reason"], drop["bytes"])
                out["drops"].write(drop)
            for split, line, size in _sorted(unit, part, summary):
                out[split].write_line(line)
                if split != "drops":  # counted when the reason was known
                    summary.amounts[split] += Amount(documents=1, bytes=size)
        for split in SPLITS:
            with (partial / f"{split}{SUFFIX}").open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                summary.files[split] = (file.tell(), digest)
        write_json(partial / SUMMARY, asdict(summary))
    delete_texts(part)


def _sorted(unit: Unit, part: Path, summary: UnitSummary) -> Iterator[tuple[str, bytes, int]]:
    source = to_line({"source": unit.source.name})[1:-2]
    facts, decided = read_facts(part), read_decided(part)
    rows = (facts["size"].tolist(), decided["fate"].tolist(), decided["cluster"].tolist())
    for line, size, fate, cluster in zip(read_text_lines(part), *rows, strict=True):
        if fate not in (TRAIN, HELDOUT):
            reason = FATES[fate]
            summary.drop(reason, size)
            yield "drops", to_line({"id": json.loads(line)["id"], "bytes": size, "reason": reason}), size
            continue
        if fate == TRAIN:
            times = copies(cluster)
            summary.rehydrated += Amount(documents=times, bytes=times * size)
        # what is known by now is put in at the end: to parse the text again would take longer than to pack it
        yield FATES[fate], b'%b,%b,"cluster_size":%d}\n' % (line[:-2], source, cluster), size
