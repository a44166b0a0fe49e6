"""The words of mGPT's prompts in each language: as published, and corrected.

Published are those of mGPT's evaluation (Shliazhko et al., 2022; the authors' ``mgpt_classification_configs.py``). Some
are slips of machine translation: German ``rechts`` and French ``à droite`` are directions, Turkish ``Numara`` and
Arabic ``رقم`` the number of a house. The corrected ones are ours, in the punctuation and spacing of the language;
connectives of cause and effect follow lm-evaluation-harness's XCOPA where the published ones are stilted.
"""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["yes", "also", "no"]


@dataclass(frozen=True, kw_only=True)
class TagQuestion:
    """``first sentence, right? Yes, second sentence`` in one language."""

    question: str  # with its question mark
    yes: str
    no: str
    also: str = ""  # between yes and no: the second sentence neither follows nor is excluded
    comma: str = ","  # before the question
    after: str = ","  # behind the answer
    space: str = " "  # between sentences and words


def _asked(question: str, yes: str, also: str, no: str) -> TagQuestion:
    return TagQuestion(question=question, yes=yes, also=also, no=no)


XNLI_PUBLISHED = {
    "en": _asked("right?", "Yes", "Also", "No"),
    "ru": _asked("правда?", "Да", "Также", "Нет"),
    "ar": _asked("حق?", "نعم", "ايضا", "رقم"),
    "bg": _asked("нали така?", "Да", "Също", "Не"),
    "de": _asked("rechts?", "Ja", "Ebenfalls", "Nein"),
    "el": _asked("σωστά?", "Ναί", "Επίσης", "Οχι"),
    "es": _asked("¿derecho?", "Sí", "también", "No"),
    "fr": _asked("à droite?", "Oui", "Aussi", "Non"),
    "hi": _asked("अधिकार?", "हां", "भी", "नहीं"),
    "sw": _asked("haki?", "Ndiyo", "Pia", "Hapana"),
    "th": _asked("ขวา?", "ใช่", "อีกด้วย", "ไม่"),
    "tr": _asked("sağ?", "Evet", "Ayrıca", "Numara"),
    "ur": _asked("ٹھیک ہے?", "جی ہاں", "بھی", "نہیں"),
    "vi": _asked("bên phải?", "Đúng", "Cũng thế", "Không"),
    "zh": _asked("对?", "是的", "还", "不"),
}

PAWSX_PUBLISHED = {
    "en": TagQuestion(question="right?", yes="Yes", no="No"),
    "de": TagQuestion(question="rechts?", yes="Ja", no="Nein"),
    "es": TagQuestion(question="¿derecho?", yes="Sí", no="No"),
    "fr": TagQuestion(question="à droite?", yes="Oui", no="Non"),
    "ja": TagQuestion(question="", yes="はい", no="いいえ", after=""),
    "ko": TagQuestion(question="", yes="네", no="아니다", after=""),
    "zh": TagQuestion(question="对?", yes="是的", no="不"),
}

CORRECTED = {
    "en": _asked("right?", "Yes", "Also", "No"),
    "ru": _asked("правда?", "Да", "Также", "Нет"),
    "ar": TagQuestion(question="أليس كذلك؟", yes="نعم", also="أيضا", no="لا", comma="،", after="،"),
    "bg": _asked("нали?", "Да", "Също", "Не"),
    "de": _asked("richtig?", "Ja", "Außerdem", "Nein"),
    "el": _asked("σωστά;", "Ναι", "Επίσης", "Όχι"),
    "es": _asked("¿verdad?", "Sí", "También", "No"),
    "fr": _asked("n'est-ce pas ?", "Oui", "De plus", "Non"),
    "hi": _asked("है ना?", "हाँ", "साथ ही", "नहीं"),
    "ja": TagQuestion(
        question="そうですよね？", yes="はい", also="また", no="いいえ", comma="、", after="、", space=""
    ),
    "ko": _asked("그렇죠?", "네", "또한", "아니요"),
    "sw": _asked("sivyo?", "Ndiyo", "Pia", "Hapana"),
    "th": TagQuestion(question="ใช่ไหม?", yes="ใช่", also="นอกจากนี้", no="ไม่ใช่", comma="", after=""),
    "tr": _asked("değil mi?", "Evet", "Ayrıca", "Hayır"),
    "ur": TagQuestion(question="ہے نا؟", yes="جی ہاں", also="نیز", no="نہیں", comma="،", after="،"),
    "vi": _asked("đúng không?", "Đúng", "Ngoài ra", "Không"),
    "zh": TagQuestion(question="对吗？", yes="是的", also="另外", no="不", comma="，", after="，", space=""),
}

CAUSE_EFFECT_PUBLISHED = {
    "et": ("sest", "nõnda"),
    "ht": ("paske", "konsa"),
    "it": ("perché", "così"),
    "id": ("karena", "jadi"),
    "qu": ("because", "so"),
    "sw": ("kwa sababu", "hivyo"),
    "zh": ("因為", "這樣"),
    "ta": ("ஏனெனில்", "அதனால்"),
    "th": ("เพราะ", "ดังนั้น"),
    "tr": ("çünkü", "böyle"),
    "vi": ("bởi vì", "như thế"),
}
CAUSE_EFFECT_CORRECTED = CAUSE_EFFECT_PUBLISHED | {
    "en": ("because", "so"),
    "et": ("sest", "seetõttu"),
    "ht": ("paske", "donk"),
    "it": ("perché", "quindi"),
    "id": ("karena", "maka"),
    "qu": ("imataq", "chaymi"),
    "sw": ("kwa sababu", "kwa hiyo"),
    "zh": ("因为", "所以"),
    "tr": ("çünkü", "bu yüzden"),
    "vi": ("bởi vì", "vì vậy"),
}
