"""BPE and Unigram trained by sentencepiece, as fast tokenizers that lose nothing.

Kudo and Richardson (2018), "SentencePiece"; Kudo (2018), "Subword Regularization", for Unigram. Text is not normalized,
spaces are kept, and what has no token is spelled in bytes. Only U+2581 (▁), sentencepiece's own sign of a space, is
read as a space.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from backbone.errors import PolygraftError
from crosslingual.options import BYTES, UNKNOWN, Algorithm
from crosslingual.tokenization.vocabulary import SPACE

_SPELLING = "<0x123456789ABCDEFunk>"  # as tokens, so that a text can spell the name of a byte or of the unknown
# sentencepiece passes over sentences with these: the tab parts its own records, the block stands for rare letters
_RESERVED = re.compile("[\n\t\u2585\0]")
_LONGEST = 1000  # characters; it passes over sentences of more than 4192 bytes
Pieces = Sequence[tuple[str, float]]


def train_model(
    texts: Iterable[str], algorithm: Algorithm, pieces: int, *, bytewise: bool = True, prefix_blank: bool = False
) -> bytes:
    """Return a model file of sentencepiece.

    Args:
        texts: Any unit; read once.
        algorithm: sentencepiece-bpe or unigram.
        pieces: Tokens, but for special ones and bytes.
        bytewise: Whether what has no token is spelled in bytes; else it is unknown.
        prefix_blank: Whether each text is read as if a space stood before it.

    Raises:
        PolygraftError: There is too little text for so many pieces, or too few pieces for its letters.
    """
    import sentencepiece

    size = pieces + 1 + (BYTES if bytewise else 0)  # sentencepiece counts the unknown token
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(texts),
            model_writer=model,
            model_type="bpe" if algorithm == "sentencepiece-bpe" else "unigram",
            vocab_size=size,
            byte_fallback=bytewise,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=prefix_blank,
            required_chars=_SPELLING if bytewise else "",
            bos_id=-1,
            eos_id=-1,
            num_threads=4,  # sums of Unigram depend on it
            minloglevel=2,
        )
    except RuntimeError as error:
        raise PolygraftError(_sentence(str(error), size)) from None
    return model.getvalue()


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    """Yield lines short enough that none is passed over."""
    for text in texts:
        for line in _RESERVED.split(text):
            for start in range(0, len(line), _LONGEST):
                yield line[start : start + _LONGEST]


def _sentence(error: str, size: int) -> str:
    """Return what is to be done about an error of sentencepiece, which tells its kind in the text alone."""
    asked = f"{size} are asked, special ones not counted"
    if found := re.search(r"Vocabulary size too high .*<= (\d+)", error):
        return f"the text gives {found[1]} tokens where {asked}: give more text or a smaller vocab_size"
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
        return f"the characters of the text alone need {found[1]} tokens where {asked}: give a larger vocab_size"
    return f"sentencepiece could not train on the text: {error}"


def as_fast(model: bytes, algorithm: Algorithm) -> Tokenizer:
    """Return a fast tokenizer that cuts text as a model file of sentencepiece does, but for ties of Unigram.

    The model was trained with bytes and without a space before the text.
    """
    tokenizer = Tokenizer(fast_model(pieces_of_model(model), algorithm, [UNKNOWN], UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def pieces_of_model(model: bytes) -> Pieces:
    """Return the tokens of a model file with their scores, without bytes and the unknown token."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    numbers = (number for number in range(1, len(processor)) if not processor.is_byte(number))
    return [(processor.id_to_piece(number), processor.get_score(number)) for number in numbers]


def fast_model(
    pieces: Pieces, algorithm: Algorithm, specials: Sequence[str], unknown: str, *, bytewise: bool = True
) -> models.BPE | models.Unigram:
    """Return a model of the tokenizers library whose ids are special tokens, bytes, and pieces, in this order."""
    odd = [*specials, *(f"<0x{byte:02X}>" for byte in range(BYTES if bytewise else 0))]
    if algorithm == "sentencepiece-bpe":
        vocabulary = {piece: number for number, piece in enumerate([*odd, *(piece for piece, _ in pieces)])}
        return models.BPE(
            vocab=vocabulary, merges=_merges(pieces), unk_token=unknown, byte_fallback=bytewise, fuse_unk=not bytewise
        )
    # the library would read the letters <0x41> as that token, were it not the least likely way
    least = 10 * min(score for _, score in pieces)
    scored = [*((piece, least) for piece in odd), *pieces]
    return models.Unigram(scored, unk_id=odd.index(unknown), byte_fallback=bytewise)


def _merges(pieces: Pieces) -> list[tuple[str, str]]:
    """Return all pairs of pieces that make a piece, in the order of what they make: so sentencepiece merges."""
    scores = dict(pieces)
    return [
        (piece[:cut], piece[cut:])
        for piece in sorted(scores, key=lambda piece: -scores[piece])
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
