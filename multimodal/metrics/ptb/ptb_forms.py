"""What becomes of the text that a rule has matched: quotes, dashes, brackets and money as the Treebank has them."""

import re

_BRACKETS = str.maketrans(
    {"(": "-LRB-", ")": "-RRB-", "{": "-LCB-", "}": "-RCB-", "[": "-LSB-", "]": "-RSB-"},
)
_FRACTIONS = str.maketrans({"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"})
_CURRENCIES = str.maketrans({"¢": "cents", "£": "#", **dict.fromkeys("\u0080¤\u20a0€", "$")})
_CURLY = str.maketrans(
    dict.fromkeys("\u0091\u2018\u201b\u2039", "`")
    | dict.fromkeys("\u0092\u2019\u203a", "'")
    | dict.fromkeys("\u0093\u201c\u00ab", "``")
    | dict.fromkeys("\u0094\u201d\u00bb", "''")
)


def plain(text: str) -> str:
    """The text as it stands."""
    return text


def nothing(text: str) -> str:
    """No token."""
    return ""


def line_break(text: str) -> str:
    """The end of a line, and of a caption."""
    return "\n"


def no_soft_hyphens(text: str) -> str:
    """Soft hyphens go; one that stands alone becomes a hyphen."""
    return text.replace("\u00ad", "") or "-"


def short_dash(text: str) -> str:
    """Three or four hyphens are a dash, as a real dash is; five and more are a ruler."""
    return "--" if len(text) in (3, 4) else text


def dash(text: str) -> str:
    """A dash of whatever width."""
    return "--"


def ellipsis(text: str) -> str:
    """Dots, spaced or not."""
    return "..."


def ampersand(text: str) -> str:
    """The entity is written out."""
    return re.sub("&amp;", "&", text, flags=re.IGNORECASE)


def less_than(text: str) -> str:
    """The sign or its entity."""
    return "<"


def greater_than(text: str) -> str:
    """The sign or its entity."""
    return ">"


def brackets(text: str) -> str:
    """The Treebank's names for round, curly and square brackets."""
    return text.translate(_BRACKETS)


def round_brackets(text: str) -> str:
    """In faces and telephone numbers only the round ones are named."""
    return text.replace("(", "-LRB-").replace(")", "-RRB-")


def firm_blanks(text: str) -> str:
    """Blanks inside a token must not break it."""
    return text.replace(" ", "\u00a0")


def telephone(text: str) -> str:
    """A number with blanks and brackets in it."""
    return round_brackets(firm_blanks(text))


def fraction(text: str) -> str:
    """Five fractions are spelt out; the others stay."""
    return text.translate(_FRACTIONS)


def currency(text: str) -> str:
    """What the Treebank of 1989 had for money: the dollar, `#` for the pound, cents."""
    return text.translate(_CURRENCIES)


def closing_quote(text: str) -> str:
    """Straight quotes close; curly ones say themselves what they do."""
    return re.sub('"|&quot;', "''", text.replace("&apos;", "'")).translate(_CURLY)


def opening_quote(text: str) -> str:
    """Straight quotes open; curly ones say themselves what they do."""
    return re.sub('"|&quot;', "``", re.sub("&apos;|'", "`", text)).translate(_CURLY)


def initials(text: str) -> str:
    """A single letter before a new sentence is no abbreviation; `U.S.` is one, and ends the sentence too."""
    return text[0] if len(text) == 2 else text
