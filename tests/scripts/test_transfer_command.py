"""`polygraft transfer`: a model in another language that plain transformers opens, and a report of how it was made."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import AutoModelForCausalLM, AutoTokenizer

from backbone.gpt2 import Backbone
from tests.crosslingual.tiny_transfer import GERMAN, byte_bpe
from tests.starter_build.tiny_languages import write_languages, write_model


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return write_languages(tmp_path_factory.mktemp("languages"))


@pytest.fixture
def transfer(polygraft, known, tmp_path):
    """Return the command with the tiny model and, unless others are given, the German tokenizer and --out."""

    def call(*arguments, **changes):
        flags = {"model": known / "model", "tokenizer": known / "german", "out": tmp_path / "out"} | changes
        given = [word for name, value in flags.items() if value for word in (f"--{name}", value)]
        return polygraft("transfer", *given, *arguments)

    return call


@pytest.fixture(scope="module")
def vectors(known):
    files = {"source-vectors": "en.bin", "target-vectors": "de.bin", "dictionary": "pairs.tsv"}
    return [word for name, file in files.items() for word in (f"--{name}", known / file)]


def record_of(folder):
    return json.loads((folder / "transfer.json").read_text(encoding="utf-8"))


def facts_of(called):
    assert (called.code, len(called.out)) == (0, 1), called.err
    return json.loads(called.out[0])


# The model


def test_plain_transformers_opens_it_and_generates_and_only_the_embedding_differs(transfer, known, vectors, tmp_path):
    called = transfer(*vectors)
    assert (called.code, called.err) == (0, [])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.get_vocab() == byte_bpe(GERMAN, 400).get_vocab()
    assert model.config.eos_token_id == tokenizer.eos_token_id and tokenizer.model_max_length == 64
    ids = tokenizer("die katze sitzt", return_tensors="pt")
    assert model.generate(**ids, max_new_tokens=5, do_sample=False).shape[1] > ids["input_ids"].shape[1]
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", known / "model"))
    assert {name for name in ours if not torch.equal(ours[name], theirs[name])} == {"transformer.wte.weight"}
    assert all(tensor.dtype == torch.float16 for tensor in ours.values())


def test_the_record_tells_what_it_was_made_from_and_that_the_body_is_the_same(transfer, known, vectors, tmp_path):
    transfer(*vectors, "--init", "wechsel", "--neighbors", 3, "--seed", 7)
    record, source = record_of(tmp_path / "out"), Backbone.from_pretrained(str(known / "model"), device="cpu")
    renewed = Backbone.from_pretrained(str(tmp_path / "out"), device="cpu")
    assert record["source"]["sha256"] == source.digest != renewed.digest == record["target"]["sha256"]
    assert record["body_sha256"] == source.body_digest == renewed.body_digest and renewed.kin == (source.digest,)
    assert [record["settings"][name] for name in ("init", "neighbors", "seed")] == ["wechsel", 3, 7]
    assert re.fullmatch("[0-9a-f]{64}", record["settings"]["dictionary_sha256"])
    assert sum(record["report"]["origins"].values()) == 400 and record["report"]["origins"]["wechsel"] > 200
    assert {"python", "torch", "polygraft"} <= set(record["made_with"])
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert source.digest in card and "| wechsel |" in card and 'library_name: "transformers"' in card


def test_a_model_transferred_twice_is_kin_to_both(transfer, known, tmp_path):
    transfer("--init", "fvt", out=tmp_path / "german")
    assert transfer("--init", "fvt", model=tmp_path / "german", tokenizer=known / "model").code == 0
    models = [Backbone.from_pretrained(str(folder), device="cpu") for folder in (tmp_path / "german", known / "model")]
    assert Backbone.from_pretrained(str(tmp_path / "out"), device="cpu").kin == tuple(one.digest for one in models)


def test_another_body_has_another_digest(known, tmp_path):
    one, other = (Backbone.from_pretrained(str(folder), device="cpu") for folder in (
        known / "model", write_model(tmp_path / "other", seed=1)
    ))  # fmt: skip
    assert one.body_digest != other.body_digest


def test_the_same_command_gives_the_same_weights(transfer, vectors, tmp_path):
    for out in ("a", "b"):
        assert transfer(*vectors, out=tmp_path / out).code == 0
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_info_knows_it(transfer, vectors, polygraft, tmp_path):
    transfer(*vectors)
    told = dict(line.split(maxsplit=1) for line in polygraft("info", tmp_path / "out").out)
    assert told["kind"] == "language model (gpt2)" and told["transferred.tokens"] == "420 -> 400"
    assert told["transferred.body"] == f"SHA-256 {record_of(tmp_path / 'out')['body_sha256'][:12]}"
    (tmp_path / "out" / "transfer.json").write_text("{}")
    damaged = polygraft("info", tmp_path / "out")
    assert damaged.code == 1 and "transfer.json is damaged" in damaged.err[0]


# Where the tokenizer and its vectors come from


def test_the_tokenizer_may_be_the_starter_or_a_bare_file(transfer, known, tmp_path, starter):
    assert facts_of(transfer("--json", tokenizer="starter", out=tmp_path / "a"))["target_tokens"] == 300
    assert transfer(tokenizer=known / "german" / "tokenizer.json", out=tmp_path / "b").code == 0
    assert AutoTokenizer.from_pretrained(tmp_path / "b").eos_token == "<|endoftext|>"


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_model_file_of_sentencepiece_is_read_as_sentencepiece_reads_it(transfer, tmp_path, kind):
    prefix = str(tmp_path / kind)
    SentencePieceTrainer.train(
        sentence_iterator=iter(GERMAN * 5), model_prefix=prefix, model_type=kind, vocab_size=330, byte_fallback=True,
        minloglevel=2,
    )  # fmt: skip
    assert transfer(tokenizer=f"{prefix}.model").code == 0
    ours, theirs = AutoTokenizer.from_pretrained(tmp_path / "out"), SentencePieceProcessor(model_file=f"{prefix}.model")
    for text in (*GERMAN, "  zwei  spaces ", "漢字 👍", ""):
        assert ours(text, add_special_tokens=False)["input_ids"] == theirs.encode(text)
    assert ours.eos_token_id == theirs.eos_id() and len(ours) == 330


def test_a_tokenizer_is_trained_on_text_with_vectors_of_its_tokens(transfer, known, tmp_path):
    called = transfer("--text", known / "de.txt", "--vocab-size", 340, "--json", tokenizer=None)
    assert called.err == ["vectors of the new tokens are trained on the text, a little otherwise in each run"]
    facts = facts_of(called)
    assert facts["target_tokens"] == 340 == len(AutoTokenizer.from_pretrained(tmp_path / "out"))
    assert facts["origins"]["focus"] > 10
    assert record_of(tmp_path / "out")["target"]["tokenizer"] == [str(known / "de.txt")]


def test_word_vectors_are_trained_on_the_text_where_only_the_source_has_some(transfer, known):
    more = ["--source-vectors", known / "en.bin", "--dictionary", known / "pairs.tsv", "--json"]
    called = transfer("--text", known / "de.txt", "--vocab-size", 340, *more, tokenizer=None)
    assert "word vectors of the new language are trained on the text" in called.err[0]
    facts = facts_of(called)
    assert facts["origins"]["wechsel"] > 10 and facts["matches"] > 20


def test_words_written_alike_or_one_space_stand_in_for_a_dictionary(transfer, vectors, tmp_path):
    alike = facts_of(transfer(*vectors[:4], "--align", "identical", "--json", out=tmp_path / "a"))
    assert 0 < alike["pairs"] < 24
    one_space = facts_of(transfer(*vectors[:4], "--align", "none", "--json", out=tmp_path / "b"))
    assert (one_space["pairs"], one_space["alignment"]) == (0, None)


def test_a_donor_brings_its_tokenizer_and_its_rows(transfer, vectors, tmp_path):
    transfer(*vectors, out=tmp_path / "donor")
    facts = facts_of(transfer("--json", "--donor", tmp_path / "donor", tokenizer=None))
    assert facts["target_tokens"] == 400 and facts["origins"]["omp"] > 50


def test_a_donor_that_lacks_tokens_serves_for_the_others(transfer, known):
    called = transfer("--donor", known / "model")
    assert called.code == 0
    assert re.fullmatch(r"\d+ of 400 new tokens are not the donor's and are made without it", called.err[0])


def test_parallel_text_and_a_dictionary_alone_are_counted(transfer, known, tmp_path):
    facts = facts_of(transfer("--parallel", known / "en.txt", known / "de.txt", "--json", out=tmp_path / "a"))
    assert facts["sentences"] == 50 and facts["origins"]["transtoken"] > 10
    facts = facts_of(transfer("--dictionary", known / "pairs.tsv", "--json", out=tmp_path / "b"))
    assert facts["pairs"] == 24 and facts["origins"]["dict"] > 10


# One mixing for a family


def test_a_saved_mixing_serves_another_size_of_the_family(transfer, vectors, known, tmp_path):
    transfer(*vectors, "--save-mixing", tmp_path / "mixing", out=tmp_path / "small")
    reused = ("--mixing", tmp_path / "mixing", "--report", tmp_path / "report.html")
    again = facts_of(transfer(*reused, "--json", out=tmp_path / "again"))
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "small/model.safetensors").read_bytes()
    assert again["matches"] > 50 and len(again["samples"]) == 20
    large = write_model(tmp_path / "model", n_embd=48, n_layer=1)
    assert transfer("--mixing", tmp_path / "mixing", model=large, out=tmp_path / "large").code == 0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "large").config.n_embd == 48
    other = transfer("--mixing", tmp_path / "mixing", tokenizer=known / "model", out=tmp_path / "other")
    assert other.code == 1 and "not made for the vocabulary of the new tokenizer" in other.err[-1]


# The report


def test_the_report_is_aligned_tables(transfer, vectors):
    lines = transfer(*vectors, "--init", "wechsel").out
    told = dict(line.split(maxsplit=1) for line in lines[: lines.index("")])
    assert re.match(r"24 pairs, \d+ matches", told["dictionary"])
    assert re.match(r"precision at 1 is \d+\.\d% on 2 held-out words among \d+", told["alignment"])
    assert re.search(r"\d s, at most [\d,]+ MB", told["time"])
    tables = "\n".join(lines).split("\n\n")
    assert [table.split("  ")[0].strip() for table in tables[1:4]] == ["rows made by", "without vector", "script"]
    assert all(len({len(line) for line in table.splitlines()}) == 1 for table in tables[1:4])
    samples = tables[4].splitlines()
    assert len(samples) == 20 and all(re.fullmatch(r".+  wechsel  .+ \d\.\d\d.*", sample) for sample in samples)
    assert any("▁" in sample for sample in samples) and not any("Ġ" in sample for sample in samples)


def test_json_counts_every_row_by_origin_and_by_script(transfer, vectors):
    facts = facts_of(transfer(*vectors, "--json"))
    assert sum(facts["origins"].values()) == sum(row["tokens"] for row in facts["scripts"]) == 400
    assert all(row["tokens"] == row["copied"] + row["made"] + row["drawn"] for row in facts["scripts"])
    scripts = {row["script"]: row for row in facts["scripts"]}
    assert scripts["latin"]["made"] == facts["origins"]["wechsel"] and scripts["special"]["tokens"] == 1
    assert scripts["bytes"]["copied"] == scripts["bytes"]["tokens"] == 128
    assert facts["seconds"] > 0 and facts["peak_memory"] > 10**7


def test_the_page_holds_plots_and_tables_and_loads_nothing(transfer, vectors, tmp_path):
    assert transfer(*vectors, "--report", tmp_path / "report.html").code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1 and "<script" not in page and "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)|@import|url\((?!#)""", page)
    for told in ("<td>latin</td>", "Euclidean norm", "heaviest source", "held-out words", "wechsel"):
        assert told in page


def test_the_page_escapes_what_it_shows(transfer, tmp_path):
    hostile = byte_bpe(["<script>alert(1)</script> &amp; $x$"] * 9, 290)
    hostile.save_pretrained(tmp_path / "<b>tokenizer")
    flags = ("--report", tmp_path / "report.html", "--init", "fvt")
    assert transfer(*flags, tokenizer=tmp_path / "<b>tokenizer", out=tmp_path / "<i>out").code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<i>out" not in page and "&lt;i&gt;out" in page and "&lt;/" in page


def test_a_page_without_anything_to_plot_has_none_of_it_and_may_lie_in_the_folder(transfer, tmp_path):
    assert transfer("--init", "mean", "--report", tmp_path / "out" / "report.html").code == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1 and "heaviest source" not in page
