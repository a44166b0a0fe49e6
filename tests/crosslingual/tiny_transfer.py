"""Two tiny languages: text, word pairs, tokenizers of several kinds, embedding rows."""

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

ENGLISH = [
    "the cat sits on the mat and the dog sits on the red roof of the house",
    "a child holds a red balloon and the balloon flies over the blue sea",
    "the cat and the dog look at the sea and the child sings a song in 1984",
    "a small blue bird sings on the roof of the house by the water",
    "The bird drinks water and the child eats bread and butter with the king",
    "the king and the queen live in a big house and the night is long",
    "the sun and the moon and the stars shine over the river at night",
    "two dogs run along the river and the birds fly over the trees",
    "My brother reads a good book and my sister writes a long letter",
    "the old man gives the young woman a flower and a warm piece of bread",
]
GERMAN = [
    "die katze sitzt auf der matte und der hund sitzt auf dem roten dach vom haus",
    "ein kind hält einen roten ballon und der ballon fliegt über das blaue meer",
    "die katze und der hund sehen das meer und das kind singt ein lied in 1984",
    "ein kleiner blauer vogel singt auf dem dach vom haus am wasser",
    "Der vogel trinkt wasser und das kind isst brot und butter mit dem könig",
    "der könig und die königin leben in einem großen haus und die nacht ist lang",
    "die sonne und der mond und die sterne scheinen über dem fluss in der nacht",
    "zwei hunde laufen am fluss und die vögel fliegen über die bäume",
    "Mein bruder liest ein gutes buch und meine schwester schreibt einen langen brief",
    "der alte mann gibt der jungen frau eine blume und ein warmes stück brot",
]
PAIRS = [
    ("the", "der"), ("cat", "katze"), ("dog", "hund"), ("house", "haus"), ("roof", "dach"), ("child", "kind"),
    ("sea", "meer"), ("bird", "vogel"), ("water", "wasser"), ("bread", "brot"), ("king", "könig"), ("night", "nacht"),
    ("sun", "sonne"), ("moon", "mond"), ("river", "fluss"), ("brother", "bruder"), ("book", "buch"), ("and", "und"),
    ("woman", "frau"), ("man", "mann"), ("My", "Mein"), ("The", "Der"), ("flower", "blume"), ("long", "lang"),
]  # fmt: skip
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_bpe(text: list[str], size: int, specials: tuple[str, ...] = ("<|endoftext|>",)) -> PreTrainedTokenizerFast:
    """Train a tokenizer like GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=list(specials), show_progress=False
    )
    tokenizer.train_from_iterator(text * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=specials[0], eos_token=specials[0], clean_up_tokenization_spaces=False
    )


def roberta_bpe(text: list[str], size: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer like RoBERTa's, special tokens first."""
    tokenizer = byte_bpe(text, size, tuple(SPECIALS))
    tokenizer.add_special_tokens(
        {
            "bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>",
            "unk_token": "<unk>", "mask_token": "<mask>",
        }
    )  # fmt: skip
    return tokenizer


def unigram(text: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer like sentencepiece's: every word behind a space, every letter, and bytes for the rest."""
    words = sorted({word for line in text for word in line.split()})
    letters = sorted({letter for word in words for letter in word})
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    scored = [(piece, 0.0) for piece in specials] + [("▁", -9.0)]
    scored += [(f"▁{word}", -5.0) for word in words] + [(letter, -9.0) for letter in letters]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=0, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def wordpiece(text: list[str], size: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer like BERT's."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        text * 3, trainers.WordPieceTrainer(vocab_size=size, special_tokens=specials, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", clean_up_tokenization_spaces=False,
    )  # fmt: skip


def random_rows(count: int, width: int = 24) -> np.ndarray:
    """Return embedding rows, (count, width) float32."""
    return np.random.default_rng(7).normal(0.1, 0.5, (count, width)).astype(np.float32)
