"""The tokenizer of the caption metrics: Penn Treebank tokens, lower-cased, most punctuation dropped, without Java.

Same output as `PTBTokenizer` of coco-caption, which runs Stanford CoreNLP 3.4.1 with `-preserveLines -lowerCase`. As
there, all captions of a call are one text, so a caption's last word may depend on how the next caption begins ("vitamin
C." ends in `c.` unless a sentence follows). Two habits of the original are kept because scores depend on them: brackets
survive as `-lrb-` and `-rrb-`, and `!!` survives though `!` does not.

One thing differs on purpose: a carriage return, form feed, vertical tab or Unicode line separator is a space here. In
the original it adds a line and shifts every caption behind it.
"""

import re
from collections.abc import Sequence
from functools import cache

from multimodal.metrics.ptb.lexer import Scanner
from multimodal.metrics.ptb.rules import NAMES, RULES

# coco-caption lists brackets in capitals too, which never occur once the text is lower-cased.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_LINE_BREAK = re.compile("[\n\r\v\f\u2028\u2029]")
_BEYOND_FIRST_PLANE = re.compile("[\U00010000-\U0010ffff]")


@cache
def _scanner() -> Scanner:
    return Scanner(RULES, NAMES)


def _as_pairs(text: str) -> str:
    """Characters beyond U+FFFF as the two halves that a Java string holds: the rules are about those."""

    def halves(found: re.Match[str]) -> str:
        offset = ord(found[0]) - 0x10000
        return chr(0xD800 + (offset >> 10)) + chr(0xDC00 + (offset & 0x3FF))

    return _BEYOND_FIRST_PLANE.sub(halves, text)


def _from_pairs(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _split_lines(text: str) -> str:
    """All Penn Treebank tokens of `text`, punctuation included and case kept, one space between them, line by line."""
    lines: list[list[str]] = [[]]
    scanner = _scanner()
    units = _as_pairs(text)
    for rule, start, end in scanner.scan(units):
        token = scanner.rules[rule].form(units[start:end])
        if token == "\n":
            lines.append([])
        elif token:
            lines[-1].append(token)
    return _from_pairs("\n".join(map(" ".join, lines)))


def tokenize(captions: Sequence[str]) -> list[str]:
    """Each caption as its tokens joined by single spaces; "" where nothing is left."""
    text = "\n".join(_LINE_BREAK.sub(" ", caption) for caption in captions)
    lines = _split_lines(text).lower().split("\n") if captions else []
    return [" ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION) for line in lines]
