"""`python -m benchmarks.language` and the multilingual starter, on two languages of made-up prose."""

import json

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.multilingual import comparisons
from crosslingual.corpus.corpus import Corpus
from starter_build.datasets.multilingual_texts import read_rows
from starter_build.datasets.world import world_material
from starter_build.starter import Build, language
from tests.starter_build.tiny_world import DOCUMENTS, made_up_world

SMALL = ("--vocab-size", 300, "--tokens", 8000, "--minutes", 0.02, "--seeds", 0, 1, "--jobs", 1)


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    made_up_world(monkeypatch)


@pytest.fixture
def measure(polygraft, tmp_path):
    def call(*flags):
        return polygraft("benchmark", "language", *SMALL, "--data", tmp_path, "--work", tmp_path / "work", *flags)

    return call


def test_mixtures_are_a_table(measure, monkeypatch):
    monkeypatch.setattr("benchmarks.language._SHOWN", {"mixtures": ("ru",)})
    monkeypatch.delitem(comparisons.MIXTURES, "temperature 3")
    called = measure("--parts", "mixtures")
    table = [line for line in called.out if line.startswith("|")]
    assert called.code == 0 and len(table) == 4
    assert all("±" in line for line in table[2:])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--parts",), "parts is empty"),
        (("--seeds",), "seeds is empty"),
        (("--jobs", 0), "jobs is 0"),
        (("--stream-workers", 0), "stream_workers is 0"),
    ],
)
def test_wrong_usage_is_one_sentence(measure, flags, said):
    called = measure(*flags)
    assert called.code == 2 and said in called.err[-1]


def test_documents_for_tests_are_in_no_corpus(tmp_path):
    made = world_material(tmp_path, tmp_path / "world")
    corpora = [made, made.thinned(tmp_path / "thin", 5000)]
    read = [
        {text.text for code in ("en", "ru") for text in Corpus.open(one.corpus).documents(code, split)}
        for one in corpora
        for split in ("train", "heldout")
    ]
    tests = {row["text"] for path in made.tests() for row in read_rows(path)}
    assert corpora[1].tests() == made.tests() and tests
    assert not any(tests & texts for texts in read)
    assert len(read[2]) < len(read[0]) <= 2 * DOCUMENTS - len(tests)


def test_the_multilingual_starter_is_measured_as_it_ships_and_opens_in_transformers(tmp_path, monkeypatch):
    monkeypatch.setattr(language, "VOCABULARY", 300)
    monkeypatch.setattr(language, "_TRAINING", ("--size", "1,16,2", "--context", 32, "--batch-size", 4))
    build = Build(data=tmp_path, work=tmp_path / "work", out=tmp_path / "out")
    folder = language.build_multilingual(build, minutes=0.02)
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    assert set(record["held_out"]) == {"en", "ru", "all"} and record["steps"] > 0
    whole = record["held_out"]["all"]
    assert whole["documents"] == sum(record["held_out"][code]["documents"] for code in ("en", "ru"))
    assert f"{whole['bits_per_byte']:.3f}" in (folder / "README.md").read_text(encoding="utf-8")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(folder)) == 300
    assert (folder / "model.safetensors").stat().st_size < 2.2 * record["parameters"]  # half precision
