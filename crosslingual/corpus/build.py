"""Building a corpus: two passes over the text and a decision between them; a kill undoes no unit that is done."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from backbone.io.atomic_files import atomic_folder
from crosslingual.corpus.clean import clean_unit
from crosslingual.corpus.corpus import Corpus
from crosslingual.corpus.language_id import check_identifier
from crosslingual.corpus.manifest import write_manifest
from crosslingual.corpus.options import BuildOptions
from crosslingual.corpus.placing import place_language
from crosslingual.corpus.plan import plan_units
from crosslingual.corpus.selection import decide
from crosslingual.corpus.settings import begin, describe, is_built
from crosslingual.corpus.sources import SourceList
from crosslingual.corpus.workers import run_jobs
from crosslingual.corpus.write import write_unit

Watch = Callable[[Iterator[None], int, str], Iterable[None]]
Job = tuple[Any, ...]


def _unwatched(done: Iterator[None], total: int, label: str) -> Iterable[None]:
    return done


def build_corpus(
    listed: SourceList,
    out: Path,
    options: BuildOptions,
    *,
    workers: int = 1,
    overwrite: bool = False,
    watch: Watch = _unwatched,
) -> Corpus:
    """Build a corpus in ``out``, or go on with a build that was killed; one that is finished is only opened.

    The corpus is the same, byte for byte, from any number of workers and after any number of kills.

    Args:
        listed: the sources.
        out: a folder that is new, empty, or an earlier build of the same sources with the same options.
        options: what is dropped and held out.
        workers: processes.
        overwrite: throw away a corpus or a build with other settings that is in ``out``.
        watch: sees every unit pass, with the number of units and what is being done, for a progress bar.

    Raises:
        PolygraftError: a source cannot be read, or ``out`` holds something else.
    """
    units = plan_units(listed, options.unit_bytes)
    settings = describe(listed, units, options)
    if is_built(out, settings, overwrite=overwrite):
        return Corpus.open(out)
    work = begin(out, settings, overwrite=overwrite)
    parts, shards = work / "parts", work / "shards"

    rules = {language: listed.located_rules(language) for language in listed.rules}
    if not options.no_rules:
        for identifier, label in {(one.identifier, one.label) for one in rules.values() if one.identifier}:
            check_identifier(Path(identifier), label)
    jobs: list[Job] = [(unit, rules[unit.source.language], options, parts) for unit in units]
    _run(clean_unit, jobs, workers, watch, "cleaning")

    groups = {language: [unit for unit in units if unit.source.language == language] for language in listed.rules}
    folders = {language: [parts / unit.name for unit in group] for language, group in groups.items()}
    tails = decide(folders, options, work)
    _run(write_unit, [(unit, parts / unit.name, shards) for unit in units], workers, watch, "writing")

    with atomic_folder(out, replace=True) as partial:
        records = {
            language: place_language(language, group, listed.rules[language], tails[language], work, partial)
            for language, group in groups.items()
        }
        write_manifest(partial, records, settings)
    return Corpus.open(out)


def _run(work: Callable[..., None], jobs: Sequence[Job], workers: int, watch: Watch, label: str) -> None:
    for _ in watch(run_jobs(work, jobs, workers), len(jobs), label):
        pass
