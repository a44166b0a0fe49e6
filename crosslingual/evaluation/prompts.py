"""The words of mGPT's prompts in each language: as published, and corrected.

Published are those of mGPT's evaluation (Shliazhko et al., 2022; the authors' ``mgpt_classification_configs.py``). Some
are slips of machine translation: German ``rechts`` and French ``à droite`` are directions, Turkish ``Numara`` and
Arabic ``رقم`` the number of a house. The corrected ones are ours, in the punctuation and spacing of the language;
connectives of cause and effect follow lm-evaluation-harness's XCOPA where the published ones are stilted.
"""

from typing import Literal, NamedTuple

Verdict = Literal["yes", "also", "no"]


class TagQuestion(NamedTuple):
    """``first sentence, right? Yes, second sentence`` in one language."""

    question: str  # with its question mark
    yes: str
    also: str  # between yes and no: the second sentence neither follows nor is excluded
    no: str
    comma: str = ","  # before the question
    after: str = ","  # behind the answer
    space: str = " "  # between sentences and words


XNLI_PUBLISHED = {
    "en": TagQuestion("right?", "Yes", "Also", "No"),
    "ru": TagQuestion("правда?", "Да", "Также", "Нет"),
    "ar": TagQuestion("حق?", "نعم", "ايضا", "رقم"),
    "bg": TagQuestion("нали така?", "Да", "Също", "Не"),
    "de": TagQuestion("rechts?", "Ja", "Ebenfalls", "Nein"),
    "el": TagQuestion("σωστά?", "Ναί", "Επίσης", "Οχι"),
    "es": TagQuestion("¿derecho?", "Sí", "también", "No"),
    "fr": TagQuestion("à droite?", "Oui", "Aussi", "Non"),
    "hi": TagQuestion("अधिकार?", "हां", "भी", "नहीं"),
    "sw": TagQuestion("haki?", "Ndiyo", "Pia", "Hapana"),
    "th": TagQuestion("ขวา?", "ใช่", "อีกด้วย", "ไม่"),
    "tr": TagQuestion("sağ?", "Evet", "Ayrıca", "Numara"),
    "ur": TagQuestion("ٹھیک ہے?", "جی ہاں", "بھی", "نہیں"),
    "vi": TagQuestion("bên phải?", "Đúng", "Cũng thế", "Không"),
    "zh": TagQuestion("对?", "是的", "还", "不"),
}

PAWSX_PUBLISHED = {
    "en": TagQuestion("right?", "Yes", "", "No"),
    "de": TagQuestion("rechts?", "Ja", "", "Nein"),
    "es": TagQuestion("¿derecho?", "Sí", "", "No"),
    "fr": TagQuestion("à droite?", "Oui", "", "Non"),
    "ja": TagQuestion("", "はい", "", "いいえ", after=""),
    "ko": TagQuestion("", "네", "", "아니다", after=""),
    "zh": TagQuestion("对?", "是的", "", "不"),
}

CORRECTED = {
    "en": TagQuestion("right?", "Yes", "Also", "No"),
    "ru": TagQuestion("правда?", "Да", "Также", "Нет"),
    "ar": TagQuestion("أليس كذلك؟", "نعم", "أيضا", "لا", comma="،", after="،"),
    "bg": TagQuestion("нали?", "Да", "Също", "Не"),
    "de": TagQuestion("richtig?", "Ja", "Außerdem", "Nein"),
    "el": TagQuestion("σωστά;", "Ναι", "Επίσης", "Όχι"),
    "es": TagQuestion("¿verdad?", "Sí", "También", "No"),
    "fr": TagQuestion("n'est-ce pas ?", "Oui", "De plus", "Non"),
    "hi": TagQuestion("है ना?", "हाँ", "साथ ही", "नहीं"),
    "ja": TagQuestion("そうですよね？", "はい", "また", "いいえ", comma="、", after="、", space=""),
    "ko": TagQuestion("그렇죠?", "네", "또한", "아니요"),
    "sw": TagQuestion("sivyo?", "Ndiyo", "Pia", "Hapana"),
    "th": TagQuestion("ใช่ไหม?", "ใช่", "นอกจากนี้", "ไม่ใช่", comma="", after=""),
    "tr": TagQuestion("değil mi?", "Evet", "Ayrıca", "Hayır"),
    "ur": TagQuestion("ہے نا؟", "جی ہاں", "نیز", "نہیں", comma="،", after="،"),
    "vi": TagQuestion("đúng không?", "Đúng", "Ngoài ra", "Không"),
    "zh": TagQuestion("对吗？", "是的", "另外", "不", comma="，", after="，", space=""),
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
