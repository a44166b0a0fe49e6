"""polygraft tokenizer train and compare."""

import gzip
import json

import pytest
from transformers import AutoTokenizer

from scripts._app.text_files import language_texts
from tests.crosslingual.tiny_corpus import build, prose, source, texts, write_jsonl
from tests.crosslingual.tiny_texts import MARKED
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN


@pytest.fixture
def files(tmp_path):
    for name, lines in {"en": ENGLISH, "de": GERMAN, "hi": [MARKED["hi"]] * 10}.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [tmp_path / f"{name}.txt" for name in ("en", "de", "hi")]


def train(polygraft, files, out, *more):
    return polygraft("tokenizer", "train", *files, "--out", out, "--vocab-size", 380, *more)


def test_train_writes_a_folder_of_transformers_and_prints_a_line_a_language(polygraft, files, tmp_path):
    called = train(polygraft, files, tmp_path / "t", "--marks", "--context", 64)
    assert (called.code, called.err) == (0, [])
    head, *rows = [line.split("\t") for line in called.out]
    assert head == ["language", "texts", "bytes", "read", "bytes_per_token", "fertility", "per", "unknown"]
    assert [row[:4:3] for row in rows] == [["de", "1.0"], ["en", "1.0"], ["hi", "1.0"]]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert len(tokenizer) == 380 and tokenizer.model_max_length == 64
    assert tokenizer.decode(tokenizer(MARKED["hi"])["input_ids"]) == MARKED["hi"]
    record = json.loads((tmp_path / "t" / "training.json").read_text(encoding="utf-8"))
    assert record["marks"] is True and [row["language"] for row in record["languages"]] == ["de", "en", "hi"]


def test_json_balance_and_limit(polygraft, files, tmp_path):
    arguments = ("--balance", 1e9, "--max-bytes", 1500, "--json")
    called = polygraft("tokenizer", "train", *files, "--out", tmp_path / "t", "--vocab-size", 300, *arguments)
    rows = [json.loads(line) for line in called.out]
    assert called.code == 0
    assert [row["bytes"] * row["read"] for row in rows] == pytest.approx([500] * 3, rel=0.01)


def test_train_like_the_starter(polygraft, files, tmp_path):
    assert train(polygraft, files[:2], tmp_path / "t", "--like", "starter").code == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert tokenizer.eos_token_id == 379


def test_rows_of_json_name_their_language_and_files_may_be_packed(tmp_path):
    rows = [{"text": "jambo\ndunia", "language": "sw"}, {"text": "hello"}]
    path = tmp_path / "en.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (tmp_path / "de.txt").write_bytes(b"\xef\xbb\xbfhallo  \r\n\r\n  welt")
    found = list(language_texts([path, tmp_path / "de.txt"]))
    assert found == [("sw", "jambo\ndunia"), ("en", "hello"), ("de", "hallo  "), ("de", "  welt")]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("en.txt", b"", "there is no text in the sources"),
        ("en.txt", b"good\n\xff\xfe\n", "line 2 is not UTF-8"),
        ("en.txt", b"good\n\x00", "line 2 holds NUL"),
        ("en.txt", b"x" * 10_000_001, "longer than 10,000,000 bytes"),
        ("en.txt.gz", gzip.compress(b"hello " * 99, mtime=0)[:-9], "cut off or damaged"),
        ("en.jsonl", b'{"text": 3}', "a text that is a int"),
        ("en.jsonl", b'{"words": "a"}', "no text"),
        ("en.jsonl", b"[]", "is a list, not an object"),
        ("en.jsonl", b"{", "is not JSON"),
        ("en.jsonl", b'{"text": "\\ud800"}', "half a surrogate pair"),
        ("en.txt", b"a b c", "tokens where 380 are asked"),
    ],
)
def test_bad_text_is_one_sentence_and_leaves_no_folder(polygraft, tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)
    called = train(polygraft, [tmp_path / name], tmp_path / "t")
    assert called.code == 1 and len(called.err) == 1 and sentence in called.err[0]
    assert not (tmp_path / "t").exists()


def test_a_missing_file_a_folder_that_is_no_corpus_and_a_folder_in_use(polygraft, files, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no such file" in train(polygraft, [tmp_path / "no.txt"], tmp_path / "t").err[0]
    called = train(polygraft, [tmp_path / "empty"], tmp_path / "t")
    assert called.code == 1 and len(called.err) == 1
    assert "exists already" in train(polygraft, files, tmp_path).err[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--balance", "0.5"], "balance is 0.5"),
        (["--max-bytes", "-1"], "max_bytes is -1"),
        (["--strategy", "char", "--marks"], "choose one of them"),
        (["--algorithm", "unigram", "--strategy", "case"], "go with bbpe alone"),
    ],
)
def test_wrong_usage_of_train(polygraft, files, tmp_path, arguments, sentence):
    called = train(polygraft, files, tmp_path / "t", *arguments)
    assert called.code == 2 and sentence in " ".join(called.err)


def test_compare_prints_a_line_for_each_tokenizer_and_language(polygraft, files, tmp_path):
    train(polygraft, files, tmp_path / "plain")
    train(polygraft, files, tmp_path / "marks", "--marks")
    names = [tmp_path / "plain", tmp_path / "marks"]
    called = polygraft("tokenizer", "compare", *names, "--text", *files, "--json")
    assert (called.code, called.err) == (0, [])
    rows = [json.loads(line) for line in called.out]
    assert [row["language"] for row in rows] == ["en", "de", "hi"] * 2
    english, german, hindi = rows[:3]
    assert english["parity"] == 1.0 and german["parity"] != 1.0 and german["vocabulary"] == 380
    assert rows[5]["split_at_mark"] < hindi["split_at_mark"] <= 1
    assert rows[5]["fertility"] < hindi["fertility"]


def test_compare_knows_no_parity_where_lines_do_not_match(polygraft, files, tmp_path):
    files[1].write_text("hallo welt", encoding="utf-8")
    head, english, german = [
        line.split("\t") for line in polygraft("tokenizer", "compare", "starter", "--text", *files[:2]).out
    ]
    assert (english[head.index("parity")], german[head.index("parity")]) == ("1.0", "-")


def test_a_corpus_is_trained_on_and_its_held_out_part_is_measured(polygraft, tmp_path):
    for language in ("en", "de"):
        write_jsonl(tmp_path / f"{language}.jsonl", prose(language, 40))
    listed = source("one", "en", "en.jsonl") + source("two", "de", "de.jsonl")
    corpus = build(tmp_path, listed, heldout=0.2)
    called = train(polygraft, [corpus.folder], tmp_path / "t", "--json")
    sizes = {row["language"]: row["texts"] for row in map(json.loads, called.out)}
    assert sizes == {language: len(texts(corpus, language)) for language in ("en", "de")}
    compared = polygraft("tokenizer", "compare", tmp_path / "t", "--text", corpus.folder, "--json")
    assert [json.loads(line)["parity"] for line in compared.out] == [None, None]
    assert [text for language, text in language_texts([corpus.folder], "heldout") if language == "en"] == texts(
        corpus, "en", "heldout"
    )


def test_wrong_usage_of_compare(polygraft, files, tmp_path):
    assert polygraft("tokenizer", "compare", "--text", *files).code == 2
    called = polygraft("tokenizer", "compare", tmp_path, "--text", *files)
    assert called.code == 1 and "holds no tokenizer" in called.err[0]
