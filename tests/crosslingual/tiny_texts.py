"""A little text in many scripts."""

import warnings
from pathlib import Path

from transformers import AutoTokenizer

from tests.crosslingual.tiny_transfer import ENGLISH, GERMAN

MARKED = {  # combining marks, after which GPT-2's pattern cuts
    "hi": "राजा और रानी एक बड़े घर में रहते हैं और रात बहुत लंबी होती है",
    "bn": "রাজা এবং রানী একটি বড় বাড়িতে থাকেন এবং রাত খুব দীর্ঘ হয়",
    "ta": "அரசனும் அரசியும் ஒரு பெரிய வீட்டில் வாழ்கிறார்கள்",
    "my": "ဘုရင်နှင့် ဘုရင်မသည် အိမ်ကြီးတစ်လုံးတွင် နေထိုင်ကြသည်",
    "th": "พระราชาและพระราชินีอาศัยอยู่ในบ้านหลังใหญ่",
}
TEXTS = [
    *ENGLISH,
    *GERMAN,
    *MARKED.values(),
    "12 + 34 = 46, 7 × 8 − 9 = ४७",
    "Ну, ГОРОД стоит у реки",
    "国王と女王は大きな家に住む",
]
HOSTILE = [
    "", " ", "\n", "  a  b  ", "\r\n\t\r", "\x00\x0e\x0ea\x0eA\x0e0", "KİǅΩẞÅ ǄDŽ", "e\u0301É E\u0301",
    "👩‍💻❤️🏳️‍🌈", "العربية עברית \u202e", "\ufeff\u200b\u2028\u2029", "\U0010ffff\ue000",
    "<|endoftext|> <unk> <0x41><0xE4>",
    "x=2×3−٤÷४", "क्ष्म्य\u200d", "a\u0300\u0316\u0334b", "漢字かな交じり文",
]  # fmt: skip


def reloaded(tokenizer, folder):
    """Return the tokenizer as plain transformers loads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer.save_pretrained(folder)
        return AutoTokenizer.from_pretrained(Path(folder))
