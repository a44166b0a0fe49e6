"""How languages are written, as far as cleaning must know it."""

from dataclasses import dataclass

_SCRIPTS = {
    "LATIN": "af az ca cs cy da de en eo es et eu fi fr ga gl ha hr ht hu id ig is it jv la lb lt lv mg ms mt nb nl nn "
    "no pl pt qu ro rw sk sl so sq sv sw tk tl tr uz vi xh yo zu",
    "CYRILLIC": "ba be bg bxr ce cv kk ky mk mn myv os ru sah sr tg tt tyv udm uk xal",
    "ARABIC": "ar ckb fa ps sd ug ur",
    "HEBREW": "he yi",
    "GREEK": "el",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
    "DEVANAGARI": "hi mr ne sa",
    "BENGALI": "as bn",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "bo dz",
    "ETHIOPIC": "am ti",
    "HANGUL": "ko",
    "CJK": "zh yue ja ko",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
}
# Written in two alphabets by people of one time: Serbian or Uzbek text is welcome in either.
_SECOND = {"sr": ("LATIN",), "uz": ("CYRILLIC",), "az": ("CYRILLIC",), "kk": ("LATIN",), "tt": ("LATIN",)}
_UNSPACED = {"zh": 2, "yue": 2, "ja": 2, "th": 4, "lo": 4, "km": 4, "my": 4, "bo": 4, "dz": 4}
_UNPUNCTUATED = {"th", "lo", "km"}


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How a language is written."""

    scripts: tuple[str, ...] = ()
    """Scripts of its letters, named as Unicode's names of letters begin; none where we do not know."""
    word_characters: int = 0
    """Characters that count as a word where no blanks stand between words; 0: words are what blanks part."""
    punctuated: bool = True
    """Whether sentences end in a mark."""


def writing_of(language: str) -> Writing:
    """Return how a language is written, by the first part of its code."""
    code = language.replace("_", "-").split("-")[0].lower()
    scripts = tuple(script for script, codes in _SCRIPTS.items() if code in codes.split())
    return Writing(
        scripts=scripts + _SECOND.get(code, ()),
        word_characters=_UNSPACED.get(code, 0),
        punctuated=code not in _UNPUNCTUATED,
    )
