"""Texts of posts in one form: natural for learning, and as the papers on personal captions write them for scoring."""

import re
import unicodedata
from collections.abc import Callable
from typing import Literal
from urllib.parse import unquote_plus

Form = Literal["written", "instagram", "yfcc"]

PAPER_WORDS = 15  # words at which the papers cut captions, in training and in references

_EMOJI = "\u2600-\u27bf\U0001f300-\U0001f64f\U0001f680-\U0001f6ff"  # the ranges that the papers take for emoji

_EMOJI_ONE = re.compile(f"[{_EMOJI}]")
_DANGLING = re.compile(r"(?<![a-zA-Z0-9])-(?![a-zA-Z0-9])")


def natural(text: str) -> str:
    """Return a text with composed characters (NFC) and single spaces; case, punctuation and emoji stay."""
    return " ".join(unicodedata.normalize("NFC", text).split())


_SPACED_MARK = re.compile(r"\s+([.,!?;:]+)(?=\s|$)|\s+('(?:s|re|ve|ll|d|m)|n't)\b")
_SPACED_QUOTES = re.compile(r'"\s*([^"]*?)\s*"')


def untokenized(text: str) -> str:
    """Return a text without the spaces that Penn Treebank tokenizers put before marks: ``runs .`` becomes ``runs.``."""
    joined = _SPACED_MARK.sub(lambda mark: mark[1] or mark[2], natural(text))
    return _SPACED_QUOTES.sub(r'"\1"', joined)


# Instagram

_HANDLE = re.compile(r"@[a-z0-9._]+")
_FOREIGN = re.compile(rf"[^\x00-\x7f{_EMOJI}]")
_STOPS = re.compile(r'[!?,."]')
_BREAK = re.compile(rf"[^a-z0-9#@'\-{_EMOJI}]+")


def paper_instagram(text: str) -> str:
    r"""Return a caption as the InstaPIC benchmark scores it.

    Words hold lower-case letters, digits and ``# @ ' -``. Handles all read ``@username``; an emoji becomes the escape
    of its code point, a word like ``\U0001f600``, so that another pass would not leave it as it is.
    """
    # 1. tags and handles stand alone, lines are joined, case goes
    text = text.replace("#", " #").replace("@", " @").replace("\n", " ").lower()
    # 2. nobody is called by name
    text = _HANDLE.sub("@username", text)
    # 3. of what is not ASCII, emoji stay
    text = _FOREIGN.sub(" ", text)
    # 4. one kind of hyphen, no stops, no hyphen that joins nothing
    text = _STOPS.sub(" ", text.replace("_", "-"))
    text = _DANGLING.sub("", text)
    # 5. the rest separates words
    text = _BREAK.sub(" ", text)
    return " ".join(_EMOJI_ONE.sub(_escape, text).split())


def _escape(emoji: re.Match[str]) -> str:
    code = ord(emoji[0])
    return f" \\U{code:08x} " if code > 0xFFFF else f" \\u{code:04x} "


# YFCC

# Written so that no text takes longer than its length: a search starts once per run of characters, and goes no further
# than the next place at which one could start.
_LINK = re.compile(r"<a\s[^<>]*>(?:[^<]|<(?!a\s|/a>))*+</a>")
_ADDRESS = re.compile(r"(?:\bhttps?://|\bwww\d{0,3}\.|(?<![a-z0-9.\-])[a-z0-9.\-]+\.[a-z]{2,4}/)[^\s()<>\"']+", re.I)
_BOLD_AND_BRACKETS = re.compile(r"</?b>|[\[\]+()~=]")
_DROPPED = re.compile(r"[.*,!?\"@#'|:;]")
_DIGITS = re.compile(r"[0-9]+")
_LONE_ZERO = re.compile(r"(?<![a-zA-Z])0(?![a-zA-Z])")

# Letters and signs that Unicode does not take apart into ASCII
_LATIN = str.maketrans(
    {
        "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h",
        "‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-",
    }
)  # fmt: skip


def paper_yfcc(text: str) -> str:
    """Return a title or description as the YFCC benchmark of personal captions scores it.

    Words are ASCII and lower-case. Accents go and Latin letters are spelt out; other scripts are dropped, where the
    benchmark's own script spells them in Latin letters.
    """
    # 1. titles are written as in addresses
    text = unquote_plus(text)
    # 2. no links, no mark-up, no case
    text = _ADDRESS.sub("", _LINK.sub("", text))
    text = _BOLD_AND_BRACKETS.sub(" ", text).lower()
    # 3. no punctuation, no emoji, nothing but ASCII, no slashes
    text = _EMOJI_ONE.sub(" ", _DROPPED.sub("", text))
    text = _to_ascii(text).replace("\\", "").replace("/", "")
    # 4. a number is a 0, and only inside a word
    text = _LONE_ZERO.sub("", _DIGITS.sub("0", text))
    # 5. one kind of hyphen, and none that joins nothing
    return " ".join(_DANGLING.sub("", text.replace("_", "-")).split())


def _to_ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text.translate(_LATIN)).encode("ascii", "ignore").decode("ascii")


def _cut(text: str) -> str:
    return " ".join(text.split()[:PAPER_WORDS])


# what texts are scored as: as they were written, or as the benchmarks do, cut at `PAPER_WORDS`
FORMS: dict[Form, Callable[[str], str]] = {
    "written": natural,
    "instagram": lambda text: _cut(paper_instagram(text)),
    "yfcc": lambda text: _cut(paper_yfcc(text)),
}
