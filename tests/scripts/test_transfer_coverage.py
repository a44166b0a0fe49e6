"""Coverage by script in the report of a transfer."""

import pytest

from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from scripts._transfer.output import by_script, script_of
from tests.crosslingual.tiny_transfer import GERMAN, byte_bpe


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("haus", "latin"), ("Straße", "latin"), ("собака", "cyrillic"), ("漢字", "han"), ("か", "hiragana"),
        ("हिन्दी", "devanagari"), ("aж漢漢", "han"), ("1984", "digits"), ("²", "digits"), ("!?", "signs"), ("", "signs"),
        ("👍", "signs"), ("\ufffda", "bytes"), ("a1", "latin"), ("\u0301", "signs"),
    ],
)  # fmt: skip
def test_a_text_has_the_script_of_most_of_its_letters(text, script):
    assert script_of(text) == script


@pytest.mark.parametrize("drawn", ["random", "multivariate", "mean"])
def test_rows_are_counted_by_how_they_came_about(drawn):
    tokenizer = byte_bpe(GERMAN, 300)
    vocabulary = Vocabulary.of(tokenizer)
    texts = enumerate(vocabulary.texts)
    latin = [number for number, text in texts if script_of(text) == "latin" and number != tokenizer.eos_token_id]
    size = (300, 10)
    mixing = Mixing.of(latin[:5], [0] * 5, [1.0] * 5, size, "identical")
    mixing = mixing.filled(Mixing.of(latin[5:12], [1] * 7, [1.0] * 7, size, "wechsel"))
    rows = {row["script"]: row for row in by_script(mixing.filled(Mixing.drawn(drawn, size)), vocabulary)}
    rest = len(latin) - 12
    assert rows["latin"] == {"script": "latin", "tokens": len(latin), "copied": 5, "made": 7, "drawn": rest}
    assert sum(row["tokens"] for row in rows.values()) == 300 and rows["special"]["tokens"] == 1
    assert next(iter(rows)) == max(rows.values(), key=lambda row: row["tokens"])["script"]
