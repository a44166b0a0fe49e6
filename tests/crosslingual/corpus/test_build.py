"""A corpus from end to end: nothing is lost, workers and kills change nothing, and damage is reported."""

import json
import multiprocessing
import os
import resource
import signal
import time

import pytest

from backbone.errors import PolygraftError, UsageError
from crosslingual.corpus import build as building
from crosslingual.corpus.build import build_corpus, run_jobs
from crosslingual.corpus.clean import clean_unit
from crosslingual.corpus.corpus import Corpus
from crosslingual.corpus.sources import read_sources
from crosslingual.corpus.write import write_unit
from crosslingual.options import BuildOptions
from tests.crosslingual.tiny_corpus import alter, build, content, drops, prose, source, texts, write_jsonl

LISTED = source("news", "en", "en/*.jsonl") + source("dom", "ru", "ru.jsonl")


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two files of English, one of Russian, and duplicates in both."""
    english = prose("en", 60)
    write_jsonl(tmp_path / "en" / "a.jsonl", english[:40])
    write_jsonl(tmp_path / "en" / "b.jsonl", [*english[30:], alter(english[0], 1), "too short"])
    write_jsonl(tmp_path / "ru.jsonl", [*prose("ru", 30), english[0]])
    return tmp_path


def test_every_document_is_kept_held_out_or_dropped_with_its_reason(folder):
    corpus = build(folder, LISTED, heldout=0.1)
    assert corpus.languages == ("en", "ru")
    for language, read in (("en", 72), ("ru", 31)):
        record = corpus.records[language]
        kept = texts(corpus, language) + texts(corpus, language, "heldout")
        assert record.read.documents == read == len(kept) + len(drops(corpus, language))
        assert record.size("train").documents == len(texts(corpus, language))
        assert record.size("train").bytes == sum(len(text.encode()) for text in texts(corpus, language))
        assert sum(amount.documents for amount in record.dropped.values()) == len(drops(corpus, language))
    reasons = list(drops(corpus, "en").values())
    assert sorted(reasons) == ["duplicate"] * 10 + ["few_words", "near_duplicate"]
    # whole text of another language is another script, before it is a duplicate
    assert list(drops(corpus, "ru").values()) == ["wrong_script"]
    assert texts(corpus, "en", "heldout") and not set(texts(corpus, "en")) & set(texts(corpus, "en", "heldout"))


def test_documents_say_where_they_came_from(folder):
    corpus = build(folder, LISTED, heldout=0.0)
    first = next(corpus.documents("en"))
    assert (first.id, first.source, first.cluster_size) == ("news/a.jsonl:0", "news", 2)
    second = list(corpus.documents("en"))[1]
    line = (folder / "en" / "a.jsonl").read_bytes()[int(second.id.rpartition(":")[2]) :]
    assert json.loads(line.split(b"\n")[0])["text"] == second.text
    assert corpus.records["en"].licences == {"news": "CC0-1.0"}
    repeated = [document.text for document in corpus.documents("en", rehydrate=True)]
    assert repeated.count(first.text) == 2 and len(repeated) == len(texts(corpus, "en")) + 1
    assert corpus.records["en"].rehydrated.documents == len(repeated)


@pytest.mark.slow
def test_a_corpus_is_the_same_from_any_number_of_workers_and_anywhere(folder, tmp_path_factory):
    one = build(folder, LISTED, unit_bytes=12000)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "en").rename(elsewhere / "en")
    (folder / "ru.jsonl").rename(elsewhere / "ru.jsonl")
    two = build(elsewhere, LISTED, unit_bytes=12000, workers=2)
    assert content(one.folder) == content(two.folder) and one.digest == two.digest
    assert len(list((one.folder / "en").glob("train-*"))) > 2, "several shards are compared"


def test_how_text_is_cut_into_units_changes_no_document(folder):
    whole = build(folder, LISTED)
    cut = build(folder, LISTED, out="cut", unit_bytes=9000)
    for language in whole.languages:
        assert list(whole.documents(language)) == list(cut.documents(language))
        assert list(whole.documents(language, "heldout")) == list(cut.documents(language, "heldout"))
        assert sorted(drops(whole, language).items()) == sorted(drops(cut, language).items())


class StopError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("work", [clean_unit, write_unit], ids=["cleaning", "writing"])
@pytest.mark.parametrize("after", [2])
def test_a_build_that_was_stopped_goes_on_where_it_was(folder, monkeypatch, work, after):
    whole = build(folder, LISTED, out="whole", unit_bytes=12000)
    done = []

    def stopping(*job):
        if len(done) == after:
            raise StopError
        work(*job)
        done.append(job[0].name)

    monkeypatch.setattr(building, work.__name__, stopping)
    with pytest.raises(StopError):
        build(folder, LISTED, unit_bytes=12000)
    assert {path.name for path in (folder / "corpus").iterdir()} == {"unfinished"}
    again = []
    monkeypatch.setattr(building, work.__name__, lambda *job: (again.append(_is_new(*job)), work(*job)))
    corpus = build(folder, LISTED, unit_bytes=12000)
    assert again.count(False) == after and content(corpus.folder) == content(whole.folder)


def _is_new(unit, *job):
    return not (job[-1] / unit.name).exists()


def _build_slowly(folder):
    build(folder, LISTED, unit_bytes=9000)


@pytest.mark.slow
def test_a_killed_process_leaves_a_build_that_goes_on(folder):
    whole = build(folder, LISTED, out="whole", unit_bytes=9000)
    process = multiprocessing.get_context("spawn").Process(target=_build_slowly, args=(folder,))
    process.start()
    parts = folder / "corpus" / "unfinished" / "parts"
    while process.is_alive() and not (parts.is_dir() and any(parts.iterdir())):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    corpus = build(folder, LISTED, unit_bytes=9000)
    assert content(corpus.folder) == content(whole.folder)


def _build_on_a_full_disk(folder, told):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
    try:
        build(folder, LISTED)
    except OSError as error:
        told.put(error.errno)


@pytest.mark.slow
def test_a_full_disk_loses_nothing(folder):
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=_build_on_a_full_disk, args=(folder, told))
    process.start()
    assert told.get(timeout=60) is not None
    process.join()
    assert not list((folder / "corpus" / "unfinished" / "parts").glob("[0-9]*")), "no half part"
    assert content(build(folder, LISTED).folder) == content(build(folder, LISTED, out="whole").folder)


def _kill_self(*_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_one_sentence():
    with pytest.raises(PolygraftError, match="worker was killed"):
        run_jobs(_kill_self, [(1,), (2,)], 2, "killing")


def test_a_finished_corpus_is_opened_and_other_settings_are_refused(folder):
    corpus = build(folder, LISTED)
    before = content(corpus.folder)
    assert build(folder, LISTED).digest == corpus.digest and content(corpus.folder) == before
    with pytest.raises(UsageError, match=r"\(tails\).*--overwrite"):
        build(folder, LISTED, tails=0.0)
    write_jsonl(folder / "ru.jsonl", prose("ru", 3))
    with pytest.raises(UsageError, match=r"other files \(dom/ru.jsonl\)"):
        build(folder, LISTED)
    listed = read_sources(folder / "sources.toml")
    assert build_corpus(listed, corpus.folder, BuildOptions(), overwrite=True).records["ru"].read.documents == 3


def test_damage_to_an_unfinished_build_is_told(folder, monkeypatch):
    monkeypatch.setattr(building, "write_unit", lambda *job: (_ for _ in ()).throw(StopError()))
    with pytest.raises(StopError):
        build(folder, LISTED)
    monkeypatch.undo()
    part = folder / "corpus" / "unfinished" / "parts" / "000000" / "texts.zst"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(PolygraftError, match=r"texts\.zst"):
        build(folder, LISTED)


def test_an_unfinished_build_of_other_settings_is_refused_until_overwritten(folder, monkeypatch):
    monkeypatch.setattr(building, "write_unit", lambda *job: (_ for _ in ()).throw(StopError()))
    with pytest.raises(StopError):
        build(folder, LISTED)
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"\(heldout\)"):
        build(folder, LISTED, heldout=0.2)
    listed = read_sources(folder / "sources.toml")
    overwritten = build_corpus(listed, folder / "corpus", BuildOptions(heldout=0.2), overwrite=True)
    assert content(overwritten.folder) == content(build(folder, LISTED, out="new", heldout=0.2).folder)


@pytest.mark.parametrize("kind", ["file", "other", "beside"])
def test_an_out_that_is_no_corpus_is_refused_and_kept(folder, kind):
    out = folder / "corpus"
    if kind == "file":
        out.write_text("mine")
    else:
        (out / ("unfinished" if kind == "beside" else ".")).mkdir(parents=True)
        (out / "thesis.txt").write_text("mine")
    with pytest.raises(PolygraftError, match=r"is a file|thesis\.txt"):
        build(folder, LISTED)
    assert "mine" in ((out if kind == "file" else out / "thesis.txt").read_text())


# Damage to a corpus


def test_an_edited_manifest_is_told(folder):
    path = build(folder, LISTED).folder / "manifest.json"
    path.write_text(path.read_text().replace("CC0-1.0", "MIT"))
    with pytest.raises(PolygraftError, match=r"manifest\.json was changed"):
        Corpus.open(path.parent)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "kind": "corpus"}', '{"format": 9, "kind": "corpus"}'])
def test_a_manifest_that_is_none_is_told(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(PolygraftError):
        Corpus.open(tmp_path)


def test_a_folder_without_manifest_and_an_unknown_language_are_told(folder):
    with pytest.raises(PolygraftError, match=r"no manifest\.json"):
        Corpus.open(folder)
    corpus = build(folder, LISTED)
    with pytest.raises(PolygraftError, match="holds no 'fr': it has en, ru"):
        next(corpus.documents("fr"))


def test_a_shard_that_is_missing_cut_off_or_changed_is_told(folder):
    corpus = build(folder, LISTED)
    shard = corpus.folder / "en" / "train-00000.jsonl.zst"
    data = shard.read_bytes()
    shard.write_bytes(data[:-10])
    for read in (lambda: Corpus.open(corpus.folder), lambda: next(corpus.documents("en"))):
        with pytest.raises(PolygraftError, match=r"train-00000\.jsonl\.zst has [\d,]+ bytes"):
            read()
    shard.write_bytes(data[:50] + b"x" + data[51:])
    with pytest.raises(PolygraftError, match=r"train-00000.jsonl.zst was changed"):
        next(Corpus.open(corpus.folder).documents("en"))
    shard.unlink()
    with pytest.raises(PolygraftError, match=r"train-00000.jsonl.zst is missing"):
        Corpus.open(corpus.folder)
