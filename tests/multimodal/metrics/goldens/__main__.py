"""Make the golden files again from the texts in them."""

import json

from tests.multimodal.metrics.coco_caption import original_figures, original_tokens
from tests.multimodal.metrics.goldens import CAPTIONS, SCORES, read_captions, read_scores

rows = read_captions()
for row, tokens in zip(rows, original_tokens([row["text"] for row in rows]), strict=True):
    row["tokens"] = tokens
CAPTIONS.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

sets = read_scores()
for each in sets.values():
    each["figures"] = original_figures(each["hypotheses"], each["references"])
SCORES.write_text(json.dumps(sets, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
