"""Running text cut into words, as word vectors are trained on it."""

from collections.abc import Iterable, Iterator

from tokenizers import normalizers, pre_tokenizers

# of all that BERT's normaliser does, blanks around Chinese characters alone
_SEPARATE = normalizers.BertNormalizer(
    clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
)
_CUT = pre_tokenizers.Whitespace()  # letters with their combining marks and digits; or other signs


def split_words(texts: Iterable[str], *, characters: bool = True) -> Iterator[str]:
    """Yield texts with a blank between words, punctuation, and Chinese characters, which are words each.

    Languages that are written without blanks in other scripts (Thai, Japanese in kana) are left in long runs: cut such
    text into words before.

    Args:
        texts: lines, or longer ones, of which line breaks are lost.
        characters: False: leave runs of Chinese characters whole, as text has them that was cut into words before.
    """
    for text in texts:
        pieces = _CUT.pre_tokenize_str(_SEPARATE.normalize_str(text) if characters else text)
        yield " ".join(piece for piece, _ in pieces)
