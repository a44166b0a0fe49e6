"""The end of a build: the shards of all units get their names, and each language its record."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from crosslingual.corpus.clean import read_counts
from crosslingual.corpus.compression import Tail
from crosslingual.corpus.manifest import Amount, LanguageRecord, Shard
from crosslingual.corpus.plan import Unit
from crosslingual.corpus.rules import Rules
from crosslingual.corpus.write import SPLITS, SUFFIX, UnitSummary, read_summary


def place_language(
    language: str, group: Sequence[Unit], rules: Rules, tails: Sequence[Tail], work: Path, out: Path
) -> LanguageRecord:
    """Put the shards of a language into ``out`` under their names, and return what is known of it.

    Args:
        language: its code, the name of its folder.
        group: its units.
        rules: that were applied.
        tails: that were cut.
        work: folder of the build, with ``parts`` and ``shards``.
        out: folder of the corpus.
    """
    counts = [read_counts(work / "parts" / unit.name) for unit in group]
    summaries = [read_summary(work / "shards" / unit.name) for unit in group]
    shards: list[Shard] = []
    (out / language).mkdir()
    for split in SPLITS:
        filled = [pair for pair in zip(group, summaries, strict=True) if pair[1].amounts[split].documents]
        for number, (unit, summary) in enumerate(filled):
            name = f"{language}/{split}-{number:05d}{SUFFIX}"
            _link(work / "shards" / unit.name / f"{split}{SUFFIX}", out / name)
            shards.append(_shard(name, split, summary))
    return LanguageRecord(
        licences={unit.source.name: unit.source.licence for unit in group},
        read=Amount(documents=_sum(counts, "documents"), bytes=_sum(counts, "bytes")),
        repaired=_sum(counts, "repaired"),
        dropped=_dropped(summaries),
        rehydrated=sum((summary.rehydrated for summary in summaries), Amount()),
        rules=rules.applied(),
        tails=tuple(asdict(tail) for tail in tails),
        shards=tuple(shards),
    )


def _sum(counts: Sequence[dict[str, int]], name: str) -> int:
    return sum(count[name] for count in counts)


def _dropped(summaries: Sequence[UnitSummary]) -> dict[str, Amount]:
    reasons = sorted({reason for summary in summaries for reason in summary.dropped})
    return {
        reason: sum((summary.dropped.get(reason, Amount()) for summary in summaries), Amount()) for reason in reasons
    }


def _shard(name: str, split: str, summary: UnitSummary) -> Shard:
    amount = summary.amounts[split]
    size, digest = summary.files[split]
    return Shard(file=name, split=split, documents=amount.documents, bytes=amount.bytes, file_size=size, sha256=digest)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where there are no links: a build that is killed here finds the first."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
