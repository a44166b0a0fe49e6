"""The tokenizer of the caption metrics: Penn Treebank tokens, lower-cased, most punctuation dropped, without Java.

Same output as `PTBTokenizer` of coco-caption, which runs Stanford CoreNLP 3.4.1 with `-preserveLines -lowerCase`. As
there, all captions of a call are one text, so a caption's last word may depend on how the next caption begins ("vitamin
C." ends in `c.` unless a sentence follows). Two habits of the original are kept because scores depend on them: brackets
survive as `-lrb-` and `-rrb-`, and `!!` survives though `!` does not.

One thing differs on purpose: a carriage return, form feed, vertical tab or Unicode line separator is a space here. In
the original it shifts every caption behind it.

The rules describe what the Stanford tokenizer does: which strings are one token, how far each looks ahead, and what is
rewritten (quotes, dashes, brackets and money as the Treebank has them). It knows characters below U+10000 only, and
Unicode up to 6.2.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import methodcaller
from typing import NamedTuple

import regex

# coco-caption lists brackets in capitals too, which never occur once the text is lower-cased.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_LINE_BREAK = re.compile("[\n\r\v\f\u2028\u2029]")
_BEYOND_FIRST_PLANE = re.compile("[\U00010000-\U0010ffff]")

# The scanner: the longest match of all rules wins, and among equals the first rule
#
# The notation is that of regular expressions, without anchors and captures. Letters outside a class match both cases; a
# class matches exactly what it lists. `{NAME}` stands for another pattern and `{name}`, inside a class, for a set of
# characters. Python's `re` stops at the first alternative that fits; POSIX matching of `regex` finds the longest one.

# Both cases of these letters include a character outside ASCII: dotted and dotless i, long s, the Kelvin sign.
_OTHER_CASES = {"i": "\u0130\u0131", "s": "\u017f", "k": "\u212a"}
_REFERENCE = re.compile(r"\{([A-Z]\w*|[a-z]\w*)\}")
_PIECE = re.compile(r"\[(?:\\.|[^\]\\])*\]|\\(?:u[0-9A-Fa-f]{4}|.)|\{\d+(?:,\d+)?\}|.", re.DOTALL)


class Rule(NamedTuple):
    """What becomes of the text, what it matches, and what must follow (counted in the length, then given back)."""

    form: Callable[[str], str] | str
    pattern: str
    ahead: str = ""


def _expand(pattern: str, names: Mapping[str, str]) -> str:
    def inserted(found: re.Match[str]) -> str:
        body = _expand(names[found[1]], names)
        return f"({body})" if found[1][0].isupper() else body

    return _REFERENCE.sub(inserted, pattern)


def _translate(piece: str) -> str:
    """Return a piece of the notation (a class, an escape, a number of times, a character) in that of `regex`."""
    if len(piece) > 1 or piece in ")|*+?":
        return piece
    if piece == "(":
        return "(?:"
    both = {piece.lower(), piece.upper(), *_OTHER_CASES.get(piece.lower(), "")}
    return "[" + "".join(map(re.escape, sorted(both))) + "]"


class Scanner:
    """Splits texts by `rules`; `names` holds the patterns (upper case) and sets (lower case) that they refer to."""

    def __init__(self, rules: Sequence[Rule], names: Mapping[str, str]) -> None:
        self.rules = rules
        self._patterns: list[regex.Pattern[str]] = []
        self._halves: dict[int, tuple[regex.Pattern[str], regex.Pattern[str]]] = {}
        self._possible: dict[str, list[int]] = {}
        for index, rule in enumerate(rules):
            parts = (_PIECE.findall(_expand(part, names)) for part in (rule.pattern, rule.ahead))
            head, ahead = ("".join(map(_translate, pieces)) for pieces in parts)
            self._patterns.append(regex.compile(f"(?:{head})(?:{ahead})", regex.POSIX))
            if ahead:
                self._halves[index] = regex.compile(head), regex.compile(ahead)

    def scan(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield rule, start and end of the matches from left to right; what no rule matches is passed over."""
        start = 0
        while start < len(text):
            index, end = -1, start
            for number in self._beginning_with(text[start]):
                found = self._patterns[number].match(text, start)
                if found and found.end() > end:
                    index, end = number, found.end()
            if index < 0:
                start += 1
                continue
            if index in self._halves:
                # the rule's own text ends as late as what follows still matches up to the end
                head, ahead = self._halves[index]
                cuts = range(end - 1, start, -1)
                end = next(at for at in cuts if head.fullmatch(text, start, at) and ahead.fullmatch(text, at, end))
            yield index, start, end
            start = end

    def _beginning_with(self, character: str) -> list[int]:
        if character not in self._possible:
            fits = [number for number, one in enumerate(self._patterns) if one.match(character, partial=True)]
            self._possible[character] = fits
        return self._possible[character]


# What becomes of the text that a rule has matched

_ROUND = {"(": "-LRB-", ")": "-RRB-"}
_OTHER_BRACKETS = {"{": "-LCB-", "}": "-RCB-", "[": "-LSB-", "]": "-RSB-"}
_CURLY = str.maketrans(
    dict.fromkeys("\u0091\u2018\u201b\u2039", "`")
    | dict.fromkeys("\u0092\u2019\u203a", "'")
    | dict.fromkeys("\u0093\u201c\u00ab", "``")
    | dict.fromkeys("\u0094\u201d\u00bb", "''")
)

plain = str
brackets = methodcaller("translate", str.maketrans(_ROUND | _OTHER_BRACKETS))
round_brackets = methodcaller("translate", str.maketrans(_ROUND))  # in faces the others are not named
firm_spaces = methodcaller("replace", " ", "\u00a0")  # spaces inside a token must not break it
telephone = methodcaller("translate", str.maketrans(_ROUND | {" ": "\u00a0"}))
# five fractions are spelt out; the others stay
fraction = methodcaller("translate", str.maketrans({"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}))
# what the Treebank of 1989 had for money: the dollar, `#` for the pound, cents
currency = methodcaller("translate", str.maketrans({"¢": "cents", "£": "#", **dict.fromkeys("\u0080¤\u20a0€", "$")}))


def _no_soft_hyphens(text: str) -> str:
    return text.replace("\u00ad", "") or "-"


def _short_dash(text: str) -> str:
    return "--" if len(text) in (3, 4) else text  # five and more are a ruler


def _ampersand(text: str) -> str:
    return re.sub("&amp;", "&", text, flags=re.IGNORECASE)


def _closing_quote(text: str) -> str:
    return re.sub('"|&quot;', "''", text.replace("&apos;", "'")).translate(_CURLY)


def _opening_quote(text: str) -> str:
    return re.sub('"|&quot;', "``", re.sub("&apos;|'", "`", text)).translate(_CURLY)


def _initials(text: str) -> str:
    # a single letter before a new sentence is no abbreviation; `U.S.` is one, and ends the sentence too
    return text[0] if len(text) == 2 else text


# Letters of the first plane that came after Unicode 6.2, as ranges that hold no older letter.
_LATER_LETTERS = (
    r"\u037F\u0528-\u052F\u0560\u0588\u05EF\u0860-\u089F\u08A1\u08AD-\u08C9\u0978\u0980\u09FC\u0AF9\u0C34\u0C5A-\u0C5D"
    r"\u0C80\u0CDC\u0CDD\u0D04\u0D54-\u0D5F\u0E86\u0E89\u0E8C\u0E8E-\u0E93\u0E98\u0EA0\u0EA8\u0EA9\u0EAC\u13F5-\u13FD"
    r"\u16F1-\u16F8\u170D\u171F\u1878\u191D\u191E\u19B0-\u19C0\u19C8\u19C9\u1B4C\u1C80-\u1CBF\u1CF2\u1CF3\u1CFA\u2C2F"
    r"\u2C5F\u312E\u312F\u31BB-\u31BF\u4DB6-\u4DBF\u9FCD-\u9FFF\uA698-\uA69D\uA78F\uA794-\uA79F\uA7AB-\uA7F7\uA8FD\uA8FE"
    r"\uA9E0-\uA9FE\uAA7E\uAA7F\uAB30-\uABBF"
)

_LATER_DIGITS = r"\u0DE6-\u0DEF\uA9F0-\uA9F9"


def _ranges(category: str, later: str) -> str:
    """The characters of a general category, without those that came later, as the inside of a character class."""
    too_late = re.compile(f"[{later}]")
    spans: list[list[int]] = []
    for code in range(0x10000):
        if not unicodedata.category(chr(code)).startswith(category) or too_late.match(chr(code)):
            continue
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(rf"\u{first:04X}-\u{last:04X}" for first, last in spans)


def _words(text: str) -> str:
    return "|".join(text.split())


_SPACE = r" \t\u00A0\u2000-\u200A\u3000"

# The word pieces that Unicode 6.2 does not call letters: soft hyphen, modifiers, combining marks of many scripts.
_MARK = (
    r"\u00AD\u02C2-\u0379\u0384\u0385\u03F6\u0483-\u0487\u055A-\u055F\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7"
    r"\u0615-\u061A\u064B-\u065E\u0670\u06D6-\u06ED\u06FD\u06FE\u070F-\u07B0\u07EB-\u07F3\u0900-\u0903\u093C-\u094E"
    r"\u0951-\u0955\u0962\u0963\u0981-\u0983\u09BC-\u09C4\u09C7\u09C8\u09CB-\u09CD\u09D7\u09E2\u09E3\u0A01-\u0A03\u0A3C"
    r"\u0A3E-\u0A4F\u0A81-\u0A83\u0ABC-\u0ACF\u0B82\u0BBE-\u0BC2\u0BC6-\u0BC8\u0BCA-\u0BCD\u0C01-\u0C03\u0C3E-\u0C56"
    r"\u0D3E-\u0D44\u0D46-\u0D48\u0E31-\u0E3A\u0E47-\u0E4E\u0EB1-\u0EBC\u0EC8-\u0ECD"
)

# Stand-alone signs; letters and digits inside these ranges never get here, because a word is as long and comes first.
_SIGN = (
    r"%&+~^|\\\u00A6-\u037E\u0387\u0589\u05BE-\u05C6\u05F3\u05F4\u0600-\u0603\u0606-\u060C\u0614-\u061B\u061E\u061F"
    r"\u066A\u066D-\u070D\u07F6-\u07F8\u0964\u0965\u0E4F\u1FBD\u2016-\u2023\u2030-\u203B\u203E-\u2042\u2044\u207A-\u208E"
    r"\u2100-\u214F\u2190-\u2BFF\u3002\u3012\u30FB\uFF01-\uFF65"
)

_TAG = r"[A-Za-z][A-Za-z0-9_:.\-]*"

_IN_URL = r"[^ \t\n\f\r\"<>|.!?(){},\-]"

# Lower-case names are sets of characters, upper-case names are patterns.
NAMES = {
    "letter": _ranges("L", _LATER_LETTERS) + r"\u1885\u1886",
    "digit": _ranges("Nd", _LATER_DIGITS),
    "mark": _MARK,
    "space": _SPACE,
    "break": _SPACE + r"\n\u0085",
    "sign": _SIGN,
    "stop": r",;:\u3001",
    "APOSTROPHE": r"['\u0092\u2019]|&apos;",
    "QUOTE_IN_WORD": r"{APOSTROPHE}|[`\u0091\u2018\u201B]",
    "HYPHEN": r"[_\u058A\u2010\u2011\-]",
    "DASH": r"&(md|mdash|ndash);|[\u0096\u0097\u2013-\u2015]",
    "LETTER": r"[{letter}{mark}]|&[aeiouAEIOU](acute|grave|uml);",
    "WORD": r"{LETTER}({LETTER}|[{digit}])*([.!?]{LETTER}({LETTER}|[{digit}])*)*",
    "NUMBER": r"[+\-]?([{digit}]+|[{digit}]*([.:,\u00AD\u066B\u066C][{digit}]+)+)",
    "CONTRACTED": r"{APOSTROPHE}([msdMSD]|re|ve|ll)",
    "NOT": r"n{QUOTE_IN_WORD}t",
    # A part of a hyphenated word; d'Avignon counts as one.
    "PART": r"([dDoOlL]{QUOTE_IN_WORD}[{letter}{digit}])?[{letter}{digit}]+",
    "COMPOUND": r"{PART}({HYPHEN}{PART})*",
    "INITIALS": r"[A-Za-z](\.[A-Za-z])+|(Canada|Sino|Korean|EU|Japan|non)-U\.S|U\.S\.-(U\.K|U\.S\.S\.R)",
    "HYPHENATED": r"[A-Za-z0-9][A-Za-z0-9.,\u00AD]*(-([A-Za-z0-9\u00AD]+|{INITIALS}\.))+",
    "FIRM": r"[A-Z]+(([+&]|&amp;)[A-Z]+)+",
    "TAG": rf"<([!?][A-Za-z\-][^>\r\n]*|{_TAG}( +{_TAG}( *= *('[^']*'|\"[^\"]*\"))?)* *\/?|\/{_TAG}) *>",
    # Followed as a rule by a small letter.
    "ENDING": _words(
        r"jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri ala ariz [A]z [A]rk calif"
        r" colo conn ct dak [D]el fla ga [I]ll ind kans? ky [L]a [M]ass md mich minn [M]iss mo mont neb nev okla [O]re"
        r" [P]a penn tenn [T]ex va vt [W]ash wisc? wyo inc cos? corp pp?t[ye]s? ltd plc rt bancorp bhd assn univ intl"
        r" sys tel est ext sq jr sr bros (ed|ph)\.d blvd rd esq etc al seq bldg"
    ),
    # Followed as a rule by a capital.
    "LEADING": _words(
        r"mr mrs ms [M]iss drs? profs? sens? reps? attys? lt col gen messrs govs? adm rev maj sgt cpl pvt capt ste? ave"
        r" pres lieut hon brig co?mdr pfc spc supts? det mt ft adj adv asst assoc ens insp mlle mme msgr sfc vs alex wm"
        r" jos cie a\.k\.a cf treas ph invt elec natl m[ft]g dept [A-Za-z] {INITIALS}"
    ),
    # Abbreviated only before a number.
    "COUNTED": "(ca|figs?|prop|nos?|art|bldg|pp|op)",
    # Capitals that open a sentence, so that a period before them ends one.
    "OPENER": _words(
        r"[A]bout [A]ccording [A]dditionally [A]fter [A]n [A] [A]s [A]t [B]ut [E]arlier [H]e [H]er [H]ere [H]owever"
        r" [I]f [I]n [I]t [L]ast [M]any [M]ore [M]r\. [M]s\. [N]ow [O]nce [O]ne [O]ther [O]ur [S]he [S]ince [S]o [S]ome"
        r" [S]uch [T]hat [T]he [T]heir [T]hen [T]here [T]hese [T]hey [T]his [W]e [W]hen [W]hile [W]hat [Y]et"
        r" [Y]ou {TAG}"
    ),
    "EXTENSION": _words(
        "bat bmp c class cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl png ppt ps py"
        " sql tar txt wav x xml zip"
    ),
}

# In this order: of two rules that match equally far, what they look ahead at included, the first one wins.
RULES = (
    Rule(plain, r"c\+\+|[cCfF]#"),
    # One word that counts as two: can not, 't was, gon na.
    Rule(plain, "can", "not"),
    Rule(plain, "'t", "was|is"),
    Rule(plain, "gon|wan", "na"),
    Rule(plain, "got", "ta"),
    Rule(plain, "lem|gim", "me"),
    Rule(firm_spaces, "{TAG}"),
    Rule("--", "{DASH}"),
    Rule(_ampersand, "&amp;"),
    Rule(plain, "&(HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);"),
    Rule(_no_soft_hyphens, "{WORD}", "{CONTRACTED}"),
    Rule(_no_soft_hyphens, r"[A-Za-z\u00AD]*[A-MO-Za-mo-z]\u00AD*", "{NOT}"),
    Rule(_no_soft_hyphens, "{WORD}"),
    # Words that keep an apostrophe: 'n', l', ol', 'em, B'Gosh, '90s, 'til, Shi'ite, and a few by name.
    Rule(
        plain,
        r"{APOSTROPHE}(n{APOSTROPHE}?|em|[2-9]0s|till?|cause)|([lLdDjJ]|dunkin|somethin|ol){APOSTROPHE}"
        r"|[A-HJ-XZn]{QUOTE_IN_WORD}[{letter}]{2}[{letter}]*|o{QUOTE_IN_WORD}o"
        r"|[{letter}]+[aeiouyAEIOUY]{QUOTE_IN_WORD}[aeiouA-Z][{letter}]*"
        r"|cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l",
    ),
    Rule(plain, "y{APOSTROPHE}", "[{letter}]"),
    # Addresses, with and without the scheme, of mail, of people; hashtags. In the second, `,-_` is a range: it takes in
    # capitals and digits, so that foo.net is an address and FOO.net is not.
    Rule(plain, rf"https?:\/\/[^ \t\n\f\r\"<>|(){{}}]+{_IN_URL}"),
    Rule(
        plain,
        r"(www\.([^ \t\n\f\r\"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}|([^ \t\n\f\r\"`'<>|.!?(){},-_$]+\.)+(com|net|org|edu))"
        rf"(\/[^ \t\n\f\r\"<>|()]+{_IN_URL})?",
    ),
    Rule(
        plain,
        r"(&lt;|<)?[a-zA-Z0-9][^ \t\n\f\r\"<>|(){}\u00A0]*@([^ \t\n\f\r\"<>|(){}.\u00A0]+\.)*"
        r"[^ \t\n\f\r\"<>|(){}.\u00A0]+(&gt;|>)?",
    ),
    Rule(plain, "@[a-zA-Z_][a-zA-Z_0-9]*|#{LETTER}+"),
    Rule(_closing_quote, "{CONTRACTED}|{NOT}", "[^A-Za-z]"),
    Rule(plain, r"[{digit}]{1,2}[\-\/][{digit}]{1,2}[\-\/][{digit}]{2,4}"),
    Rule(_no_soft_hyphens, "{NUMBER}"),
    Rule(plain, r"[\u207A\u207B\u208A\u208B]?([\u2070\u00B9\u00B2\u00B3\u2074-\u2079]+|[\u2080-\u2089]+)"),
    Rule(firm_spaces, r"([{digit}]{1,4}[ \u00A0\-])?[{digit}]{1,4}(\\?\/|\u2044)[{digit}]{1,4}"),
    Rule(fraction, r"[\u00BC\u00BD\u00BE\u2153-\u215E]"),
    Rule(
        _ampersand,
        r"-(r|l)(r|c|s)b-|c\.d\.s|pro-|anti-|s(&|&amp;)(p-500|ls)|cap{APOSTROPHE}n|c{APOSTROPHE}est",
    ),
    # Up to two slashes with words around them: and/or.
    Rule(plain, r"[A-Za-z0-9]+(-[A-Za-z]+){0,2}(\\?\/[A-Za-z0-9]+(-[A-Za-z]+){0,2}){1,2}"),
    Rule(plain, r"[A-Z]*\$|#"),
    Rule(currency, r"[\u00A2-\u00A5\u0080\u20A0\u20A4\u20AC\u060B\u0E3F\uFFE0\uFFE1\uFFE5\uFFE6]"),
    Rule(_initials, r"([A-Za-z]|{INITIALS})\.", "[{break}]+{OPENER}[{break}]"),
    Rule(plain, r"{COUNTED}\.", "[{break}]?[{digit}]"),
    Rule(plain, r"(pt[eyEY]|co)\.", "[{space}](ltd|lim)"),
    Rule(plain, r"{ENDING}\.", r"[\s\S]{2}|[{break}]{TAG}"),
    Rule(plain, r"{ENDING}\.|{LEADING}\."),
    Rule(plain, "{LEADING}", "[{space}]"),
    Rule(plain, "[A-Za-z]|{INITIALS}", "[{break}]"),
    Rule(plain, "{APOSTROPHE}[0-9][0-9]", "[{break}]"),
    Rule(plain, r"([{digit}]|{LETTER})+(\.([{digit}]|{LETTER})+)*\.{EXTENSION}", "[{break}.?!,]"),
    Rule(_no_soft_hyphens, r"{WORD}\.", "[{stop}]"),
    Rule(
        telephone,
        r"(\([0-9]{2,3}\)[ \u00A0]?|(\+\+?)?([0-9]{2,4}[ \u00A0\-])?[0-9]{2,4}[ \u00A0\-])"
        r"[0-9]{3,4}[ \u00A0\-]?[0-9]{3,5}"
        r"|((\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}",
    ),
    Rule(_opening_quote, r"\"|&quot;", "[A-Za-z0-9$]"),
    Rule(_closing_quote, r"\"|&quot;"),
    Rule("", r"\u007F"),
    Rule("<", "<|&lt;"),
    Rule(">", ">|&gt;"),
    # Western faces, then Japanese ones; the odd branch with `x=` is what the original's escapes amount to.
    Rule(round_brackets, r"[<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]]", "[^A-Za-z0-9]"),
    Rule(
        round_brackets,
        r"[\^x=~<>]\.\[\^x=[^<]*<>\]|[\-\^x=~<>']_[\-\^x=~<>']|\([\-\^x=~<>'][_.]?[\-\^x=~<>']\)"
        r"|\([\^x=~<>']-[\^x=~<>'`]\)",
    ),
    Rule(brackets, r"[\[\](){}]"),
    Rule(_short_dash, "-+"),
    Rule("...", r"\.{3,5}|(\.[ \u00A0]){2,4}\.|[\u0085\u2026]"),
    Rule(plain, r"@+|#+|_+|\*+|(\\\*){1,3}|[{stop}]|[?!]+|=|\/"),
    Rule(plain, r"[.\u00A1\u00BF\u037E\u0589\u061F\u06D4\u0700-\u0702\u3002]"),
    Rule(_no_soft_hyphens, r"{HYPHENATED}\.", "[{stop}]"),
    Rule(_no_soft_hyphens, "{HYPHENATED}"),
    Rule(plain, r"{COMPOUND}\.", "[{stop}]"),
    Rule(plain, "{COMPOUND}"),
    Rule(_ampersand, r"{FIRM}\.", "[{stop}]"),
    Rule(_ampersand, "{FIRM}"),
    Rule(_opening_quote, "'", r"[A-Za-z][^ \t\n\r\u00A0]"),
    Rule(_closing_quote, "{CONTRACTED}|{NOT}"),
    Rule(_closing_quote, r"{APOSTROPHE}|''|[`\u2018-\u201F\u0091-\u0094\u2039\u203A\u00AB\u00BB]{1,2}"),
    Rule(plain, "<<|>>"),
    Rule(plain, "[{sign}]"),
    Rule("", r"[\u0000{space}\u200B\u200E\u200F\uFEFF]|[{space}]+|&nbsp;"),
    Rule("\n", r"\n"),
)


@cache
def _scanner() -> Scanner:
    return Scanner(RULES, NAMES)


def _as_pairs(text: str) -> str:
    """Characters beyond U+FFFF as the two halves that a Java string holds: the rules are about those."""

    def halves(found: re.Match[str]) -> str:
        offset = ord(found[0]) - 0x10000
        return chr(0xD800 + (offset >> 10)) + chr(0xDC00 + (offset & 0x3FF))

    return _BEYOND_FIRST_PLANE.sub(halves, text)


def _split_lines(text: str) -> str:
    """All Penn Treebank tokens of `text`, punctuation included and case kept, one space between them, line by line."""
    lines: list[list[str]] = [[]]
    scanner = _scanner()
    units = _as_pairs(text)
    for rule, start, end in scanner.scan(units):
        form = scanner.rules[rule].form
        token = form if isinstance(form, str) else form(units[start:end])
        if token == "\n":
            lines.append([])
        elif token:
            lines[-1].append(token)
    return "\n".join(map(" ".join, lines)).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def tokenize(captions: Sequence[str]) -> list[str]:
    """Each caption as its tokens joined by single spaces; "" where nothing is left."""
    text = "\n".join(_LINE_BREAK.sub(" ", caption) for caption in captions)
    lines = _split_lines(text).lower().split("\n") if captions else []
    return [" ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATION) for line in lines]
