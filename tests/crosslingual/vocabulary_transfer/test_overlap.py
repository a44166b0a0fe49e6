from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vocabulary_transfer.mixing_matrix import ORIGINS
from crosslingual.vocabulary_transfer.overlap import copies, overlap, specials
from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN, byte_bpe, roberta_bpe, unigram, wordpiece


def forms(tokenizer):
    vocabulary = Vocabulary.of(tokenizer)
    return dict(zip(vocabulary.pieces, vocabulary.forms, strict=True))


def test_canonical_forms_of_each_kind_of_tokenizer():
    byte_level = forms(byte_bpe(GERMAN, 400))
    assert byte_level["Ġund"] == "▁und" and byte_level["und"] == "und" and byte_level["Ã¼"] == "ü"
    sentencepiece = forms(unigram(GERMAN + ENGLISH))
    assert sentencepiece["▁und"] == "▁und" and sentencepiece["<0xC3>"] == "<0xC3>"
    pieces = forms(wordpiece(GERMAN + ENGLISH, 300))
    assert pieces["und"] == "▁und" and pieces["##e"] == "e"


def named(found, source, target):
    return {target.pieces[here]: source.pieces[there] for here, there in found.items()}


def test_overlap_of_tokenizers_of_different_kinds():
    source, target = both(byte_bpe(ENGLISH, 420), unigram(GERMAN + ENGLISH))
    exact = named(overlap(source, target), source, target)
    assert exact["▁the"] == "Ġthe" and "<0xC3>" not in exact
    fuzzy = named(overlap(source, target, fuzzy=True), source, target)
    assert set(exact) < set(fuzzy)


def both(source, target):
    return Vocabulary.of(source), Vocabulary.of(target)


def origins(mixing, target):
    pieces = Vocabulary.of(target).pieces
    return {piece: ORIGINS[origin] for piece, origin in zip(pieces, mixing.origins.tolist(), strict=True)}


def test_copies_are_the_same_text_or_the_same_byte():
    source, target = byte_bpe(ENGLISH, 420), unigram(GERMAN + ENGLISH)
    mixing = copies(*both(source, target))
    ours, theirs = target.get_vocab(), source.get_vocab()
    assert mixing.neighbours(ours["▁the"]) == [(theirs["Ġthe"], 1.0)]
    # a byte is the letter that byte-level BPE writes it with
    assert mixing.neighbours(ours["<0xC3>"]) == [(theirs["Ã"], 1.0)]
    assert mixing.neighbours(ours["<0x20>"]) == [(theirs["Ġ"], 1.0)]
    assert origins(mixing, target)["<0xC3>"] == "byte" and origins(mixing, target)["▁the"] == "identical"


def test_parts_of_characters_are_copied_as_the_bytes_they_are():
    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    mixing, ours, theirs = copies(*both(source, target)), target.get_vocab(), source.get_vocab()
    for piece in ("Ã", "¼", "å", "Ġ", "Ċ"):
        assert mixing.neighbours(ours[piece]) == [(theirs[piece], 1.0)], piece
    assert sum(origin == "byte" for origin in origins(mixing, target).values()) > 100


def test_special_tokens_go_by_name_and_else_by_role():
    source, target = byte_bpe(ENGLISH, 420), roberta_bpe(GERMAN, 400)
    eos = source.eos_token_id
    mixing = specials(*both(source, target))
    assert mixing.neighbours(target.bos_token_id) == mixing.neighbours(target.eos_token_id) == [(eos, 1.0)]
    same = specials(*both(roberta_bpe(ENGLISH, 420), target))
    assert {piece for piece, origin in origins(same, target).items() if origin == "special"} == {
        "<s>", "<pad>", "</s>", "<unk>", "<mask>",
    }  # fmt: skip


def test_added_special_tokens_are_copied_too():
    source, target = byte_bpe(ENGLISH, 420), byte_bpe(GERMAN, 400)
    for tokenizer in (source, target):
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    mixing = specials(*both(source, target))
    number = target.convert_tokens_to_ids("<|user|>")
    assert mixing.neighbours(number) == [(source.convert_tokens_to_ids("<|user|>"), 1.0)]
