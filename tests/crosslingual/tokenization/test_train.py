"""Options of tokenizers, and tokenizers like another."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from backbone.errors import PolygraftError, UsageError
from crosslingual import TokenizerOptions, train_tokenizer
from crosslingual.tokenization.train import train_byte_bpe
from tests.crosslingual.tiny_texts import TEXTS, reloaded
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, wordpiece

SMALL = TokenizerOptions(vocab_size=400)


def vocabulary(first=(), last=()):
    """Return a byte-level vocabulary without merges, between special tokens."""
    tokens = [*first, *sorted(pre_tokenizers.ByteLevel.alphabet()), *last]
    return {token: number for number, token in enumerate(tokens)}


def gpt2(**settings):
    return GPT2Tokenizer(vocab=vocabulary(last=["<|endoftext|>"]), merges=[], **settings)


def roberta():
    return RobertaTokenizer(vocab=vocabulary(["<s>", "<pad>", "</s>", "<unk>"], ["<mask>"]), merges=[])


def roles(tokenizer):
    """Return the id of each special token's role."""
    names = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    return {name: getattr(tokenizer, f"{name}_token_id") for name in names}


def test_the_end_of_text_is_the_last_of_the_tokens_asked_for():
    tokenizer = train_tokenizer(TEXTS, SMALL, context=32)
    assert len(tokenizer) == 400 and tokenizer.model_max_length == 32
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == tokenizer.pad_token_id == 399


def test_texts_are_read_once_and_the_same_ones_give_the_same_tokenizer():
    once = train_tokenizer(iter(TEXTS), SMALL, context=32)
    again = train_tokenizer(TEXTS, SMALL, context=32)
    assert once.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()


def test_byte_bpe_reads_a_blank_before_a_text():
    tokenizer = train_byte_bpe(ENGLISH, 400, context=32)
    assert tokenizer("the cat")["input_ids"] == tokenizer(" the cat")["input_ids"]
    assert tokenizer.decode(tokenizer("the cat")["input_ids"]) == " the cat"


@pytest.mark.parametrize("options", [{}, {"marks": True}, {"strategy": "combined"}])
def test_like_gpt2_ends_with_the_end_of_text(options):
    tokenizer = train_tokenizer(GERMAN, TokenizerOptions(vocab_size=400, **options), like=gpt2(), context=64)
    assert len(tokenizer) == 400
    assert roles(tokenizer) == {**roles(gpt2()), "bos": 399, "eos": 399, "unk": 399}
    text = "Der König und die Königin"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_like_a_gpt2_that_reads_a_blank_before_a_text():
    tokenizer = train_tokenizer(GERMAN, SMALL, like=byte_bpe_with_blank(), context=64)
    assert tokenizer("der hund")["input_ids"] == tokenizer(" der hund")["input_ids"]


def byte_bpe_with_blank():
    return train_byte_bpe(ENGLISH, 300, context=8)


def test_like_roberta_has_its_ids_and_its_frame(tmp_path):
    trained = train_tokenizer(GERMAN, SMALL, like=roberta(), context=64)
    tokenizer = reloaded(trained, tmp_path)
    assert roles(tokenizer) == {**roles(roberta()), "mask": 399}
    assert roles(tokenizer)["pad"] == 1
    pair = tokenizer("der hund", "die katze")
    inner = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("der hund", "die katze")]
    assert pair["input_ids"] == [0, *inner[0], 2, 2, *inner[1], 2]
    assert "token_type_ids" not in pair
    assert tokenizer("der <mask> hund")["input_ids"].count(399) == 1


def test_special_tokens_without_a_role_stay_special():
    source = gpt2(extra_special_tokens=["<user>"])
    tokenizer = train_tokenizer(GERMAN, SMALL, like=source, context=64)
    assert tokenizer.extra_special_tokens == ["<user>"]
    assert tokenizer("<user>")["input_ids"] == [399] and roles(tokenizer)["eos"] == 398


def test_a_strategy_takes_the_place_of_the_source_s_own():
    case = TokenizerOptions(vocab_size=400, strategy="case")
    source = train_tokenizer(ENGLISH, case, context=8)
    text = "The KING \x0e"
    for options in (SMALL, case, TokenizerOptions(vocab_size=400, marks=True)):
        tokenizer = train_tokenizer(ENGLISH, options, like=source, context=8)
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_with_as_many_tokens_as_the_source_every_special_id_is_the_same():
    source = train_tokenizer(ENGLISH, SMALL, like=roberta(), context=64)
    tokenizer = train_tokenizer(GERMAN, SMALL, like=source, context=64)
    assert roles(tokenizer) == roles(source)


def test_like_wordpiece():
    source = wordpiece(ENGLISH, 200)
    tokenizer = train_tokenizer(GERMAN + ENGLISH, TokenizerOptions(vocab_size=300), like=source, context=64)
    assert roles(tokenizer) == roles(source)
    assert tokenizer.tokenize("der hunde") == ["der", "hund", "##e"]


@pytest.mark.parametrize(("bytewise", "size"), [(True, 480), (False, 257)])
def test_like_a_unigram_of_sentencepiece(bytewise, size):
    source = xlm_roberta(bytewise=bytewise)
    tokenizer = train_tokenizer(TEXTS * 3, TokenizerOptions(vocab_size=size), like=source, context=64)
    assert len(tokenizer) == size
    assert roles(tokenizer) == {**roles(source), "mask": size - 1}
    assert tokenizer.tokenize("und Ω")[1:] == ["und", "▁", *(["<0xCE>", "<0xA9>"] if bytewise else ["Ω"])]
    assert tokenizer("der hund")["input_ids"][:1] == [0]
    # what the source normalizes, the new one was trained on as the source normalizes it
    assert tokenizer.tokenize("ﬂuss") == tokenizer.tokenize("fluss")


def xlm_roberta(*, bytewise):
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256 if bytewise else 0)]
    pieces = [(piece, -1.0) for piece in [*specials, *byte_tokens, "▁", *"abcdefghijklmnopqrstuvwxyz"]]
    inner = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=bytewise))
    inner.normalizer = normalizers.NFKC()
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    inner.decoder = decoders.Metaspace(prepend_scheme="always")
    inner.add_special_tokens([*specials, "<mask>"])
    inner.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
        mask_token="<mask>", clean_up_tokenization_spaces=False,
    )  # fmt: skip


def test_like_a_bpe_of_sentencepiece():
    source = train_tokenizer(ENGLISH, TokenizerOptions(vocab_size=400, algorithm="sentencepiece-bpe"), context=8)
    tokenizer = train_tokenizer(GERMAN, TokenizerOptions(vocab_size=420), like=source, context=8)
    assert roles(tokenizer) == {**roles(source), "bos": 419, "eos": 419, "pad": 419}
    text = "Der König  Ω\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert "▁der" in tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("texts", "options", "sentence"),
    [
        ([], {}, "no text"),
        (["", ""], {}, "no text"),
        (["ab"], {"vocab_size": 500}, r"gives \d+ tokens where 500 are asked"),
        (["ab"], {"algorithm": "unigram", "vocab_size": 500}, r"gives \d+ tokens where 499 are asked"),
        (["ab"], {"algorithm": "sentencepiece-bpe", "vocab_size": 500}, r"gives \d+ tokens where 499"),
        ([*TEXTS, "漢字かな"], {"algorithm": "unigram", "vocab_size": 270}, "characters of the text alone need"),
        (["", "so \ud83d it"], {}, r"text 2 has half a surrogate pair \(U\+D83D\) at character 4"),
        (["\udc00"], {"algorithm": "unigram"}, "half a surrogate"),
        (["\udc00"], {"strategy": "combined"}, "half a surrogate"),
    ],
)
def test_text_that_gives_no_tokenizer_is_one_sentence(texts, options, sentence):
    with pytest.raises(PolygraftError, match=sentence):
        train_tokenizer(texts, TokenizerOptions(**{"vocab_size": 300} | options), context=8)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"vocab_size": 256}, "vocab_size is 256, but bbpe needs 257"),
        ({"vocab_size": -1}, "vocab_size is -1"),
        ({"algorithm": "unigram", "strategy": "case"}, "go with bbpe alone"),
        ({"algorithm": "unigram", "marks": True}, "go with bbpe alone"),
        ({"strategy": "char", "marks": True}, "choose one of them"),
        ({"strategy": "case", "prefix_blank": True}, "prefix_blank"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        TokenizerOptions(**{"vocab_size": 300} | options)


def wordlevel():
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?")))


@pytest.mark.parametrize(
    ("like", "options", "sentence"),
    [
        (lambda: wordpiece(ENGLISH, 200), {"marks": True}, "strategies and marks go with byte-level BPE alone"),
        (wordlevel, {}, "not trained anew here"),
        (roberta, {"vocab_size": 258}, "needs 261 at least"),
        (object, {}, "no fast tokenizer"),
        (gpt2, {"algorithm": "unigram"}, "are those of the source's tokenizer"),
        (gpt2, {"prefix_blank": True}, "are those of the source's tokenizer"),
    ],
)
def test_a_source_that_cannot_be_followed_is_one_sentence(like, options, sentence):
    with pytest.raises(PolygraftError, match=sentence):
        train_tokenizer(GERMAN, TokenizerOptions(**{"vocab_size": 300} | options), like=like(), context=8)
