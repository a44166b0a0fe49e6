"""Builds a corpus in two passes over the text with a selection between them; a killed build loses no finished unit."""

import json
import multiprocessing
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError, UsageError
from backbone.io.files import atomic_folder, read_json, write_text
from backbone.io.settings import config_from_dict
from backbone.training.logger import watched
from crosslingual.corpus.clean import COUNTS, clean_unit
from crosslingual.corpus.corpus import MANIFEST, Amount, Corpus, LanguageRecord, Shard, read_settings, write_manifest
from crosslingual.corpus.language_id import check_identifier
from crosslingual.corpus.quality_filters import Rules
from crosslingual.corpus.readers import Unit, plan_units
from crosslingual.corpus.selection import Tail, decide
from crosslingual.corpus.sources import SourceList
from crosslingual.corpus.write import SPLITS, SUFFIX, SUMMARY, UnitSummary, write_unit
from crosslingual.options import BuildOptions


def _place_language(
    language: str, group: Sequence[Unit], rules: Rules, tails: Sequence[Tail], work: Path, out: Path
) -> LanguageRecord:
    counts: Counter[str] = Counter()
    for unit in group:
        counts.update(read_json(work / "parts" / unit.name / COUNTS))
    files = [work / "shards" / unit.name / SUMMARY for unit in group]
    summaries = [config_from_dict(UnitSummary, read_json(file)) for file in files]
    dropped: dict[str, Amount] = {}
    for reason, amount in (item for summary in summaries for item in summary.dropped.items()):
        dropped[reason] = dropped.get(reason, Amount()) + amount
    shards: list[Shard] = []
    (out / language).mkdir()
    for split in SPLITS:
        filled = [pair for pair in zip(group, summaries, strict=True) if pair[1].amounts[split].documents]
        for number, (unit, summary) in enumerate(filled):
            name = f"{language}/{split}-{number:05d}{SUFFIX}"
            _link(work / "shards" / unit.name / f"{split}{SUFFIX}", out / name)
            size, digest = summary.files[split]
            amounts = asdict(summary.amounts[split])
            shards.append(Shard(file=name, split=split, file_size=size, sha256=digest, **amounts))
    return LanguageRecord(
        licences={unit.source.name: unit.source.licence for unit in group},
        read=Amount(documents=counts["documents"], bytes=counts["bytes"]),
        repaired=counts["repaired"],
        dropped={reason: dropped[reason] for reason in sorted(dropped)},
        rehydrated=sum((summary.rehydrated for summary in summaries), Amount()),
        rules=rules.applied(),
        tails=tuple(asdict(tail) for tail in tails),
        shards=tuple(shards),
    )


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where there are no links: a build that is killed here finds the first."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


UNFINISHED = "unfinished"  # folder within the corpus that keeps what a build has done
_SETTINGS = "settings.json"
Settings = Mapping[str, Any]


def _describe(listed: SourceList, units: Sequence[Unit], options: BuildOptions) -> Settings:
    settings = {
        "options": asdict(options),
        "sources": {source.name: asdict(source) for source in listed.sources},
        "rules": {language: rules.applied() for language, rules in listed.rules.items()},
        "files": {piece.name: piece.size for unit in units for piece in unit.pieces},
    }
    plain: Settings = json.loads(json.dumps(settings))  # as it is read again: tuples become lists
    return plain


def _is_built(out: Path, settings: Settings, *, overwrite: bool) -> bool:
    if out.exists() and not out.is_dir():
        raise PolygraftError(f"{out} is a file, but --out must be a folder")
    found = {entry.name for entry in out.iterdir()} if out.is_dir() else set()
    if not found or found == {UNFINISHED}:
        return False
    if MANIFEST not in found:
        strange = sorted(found - {UNFINISHED})[0]
        raise PolygraftError(f"{out} holds {strange}, which is no part of a corpus: choose another --out")
    if overwrite:
        return False
    _refuse_others(read_settings(out), settings, f"{out} holds a corpus built")
    return True


def _begin(out: Path, settings: Settings, *, overwrite: bool) -> Path:
    """Return the folder where the build of these settings keeps what it has done, from this call or an earlier one."""
    work = out / UNFINISHED
    if (work / _SETTINGS).is_file():
        before = read_json(work / _SETTINGS)
        if not overwrite:
            _refuse_others(before, settings, f"{out} holds a build begun")
        if before == settings:
            return work
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("parts", "shards"):
        (work / folder).mkdir(parents=True)
    write_text(work / _SETTINGS, json.dumps(settings, ensure_ascii=False))
    return work


def _refuse_others(before: Settings, now: Settings, place: str) -> None:
    for group, values in now.items():
        old = before.get(group, {})
        changed = [name for name in sorted(values.keys() | old.keys()) if values.get(name) != old.get(name)]
        if changed:
            raise UsageError(
                f"{place} with other {group} ({', '.join(changed[:3])}): give the same, choose another --out, or "
                "--overwrite it"
            )


Job = tuple[Any, ...]


def run_jobs(work: Callable[..., None], jobs: Sequence[Job], workers: int, label: str) -> None:
    """Call ``work(*job)`` for every job, in any order, in ``workers`` processes, of which 1 is this one.

    The first error ends all of it: jobs that have not begun are left out. ``work`` stands at the top of a module.

    Raises:
        PolygraftError: A process was killed.
    """
    if workers == 1 or len(jobs) < 2:
        for job in watched(jobs, label):
            work(*job)
        return
    # fresh processes: a fork would copy the threads' locks of torch and numpy
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_leave_interrupts_to_parent) as pool:
        futures = [pool.submit(work, *job) for job in jobs]
        try:
            for future in watched(as_completed(futures), label, len(jobs)):
                future.result()
        except BrokenProcessPool:
            raise PolygraftError(
                "a worker was killed, perhaps for want of memory: run the command again, which goes on where it was, "
                "with fewer --workers"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def build_corpus(
    listed: SourceList,
    out: Path,
    options: BuildOptions,
    *,
    workers: int = 1,
    overwrite: bool = False,
) -> Corpus:
    """Build a corpus in ``out``, or go on with a build that was killed; one that is finished is only opened.

    The corpus is the same, byte for byte, from any number of workers and after any number of kills.

    Args:
        listed: The sources.
        out: A folder that is new, empty, or an earlier build of the same sources with the same options.
        options: What is dropped and held out.
        workers: Processes.
        overwrite: Throw away a corpus or a build with other settings that is in ``out``.

    Raises:
        PolygraftError: A source cannot be read, or ``out`` holds something else.
    """
    units = plan_units(listed, options.unit_bytes)
    settings = _describe(listed, units, options)
    if _is_built(out, settings, overwrite=overwrite):
        return Corpus.open(out)
    work = _begin(out, settings, overwrite=overwrite)
    parts, shards = work / "parts", work / "shards"

    rules = {  # the place of an identifier counts from the list of sources
        language: replace(one, identifier=str(listed.folder / one.identifier)) if one.identifier else one
        for language, one in listed.rules.items()
    }
    if not options.no_rules:
        for identifier, label in {(one.identifier, one.label) for one in rules.values() if one.identifier}:
            check_identifier(Path(identifier), label)
    jobs: list[Job] = [(unit, rules[unit.source.language], options, parts) for unit in units]
    run_jobs(clean_unit, jobs, workers, "cleaning")

    groups = {language: [unit for unit in units if unit.source.language == language] for language in listed.rules}
    folders = {language: [parts / unit.name for unit in group] for language, group in groups.items()}
    tails = decide(folders, options, work)
    run_jobs(write_unit, [(unit, parts / unit.name, shards) for unit in units], workers, "writing")

    with atomic_folder(out, replace=True) as partial:
        records = {
            language: _place_language(language, group, listed.rules[language], tails[language], work, partial)
            for language, group in groups.items()
        }
        write_manifest(partial, records, settings)
    return Corpus.open(out)
