"""Prefix and postfix scored as one sentence.

VLog takes the best prefix, then the postfix that fits best after it (Section 3.2), so a wrong prefix cannot be mended.
Here the sentences that the best prefixes and postfixes make are embedded anew, and the best one wins.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from backbone.errors import UsageError
from video.vocabulary.exact_search import ScenePrior
from video.vocabulary.text_encoder import TextEncoder
from video.vocabulary.vocabulary import Level, NarrationVocabulary, Retrieved


@dataclass(frozen=True, kw_only=True)
class Joins:
    """How many parts are joined for each query."""

    prefixes: int = 8
    postfixes: int = 8

    def __post_init__(self) -> None:
        if self.prefixes < 1 or self.postfixes < 1:
            raise UsageError(f"joins are {self.prefixes} x {self.postfixes}, allowed is 1 or more of each")


def retrieve_joined(
    vocabulary: NarrationVocabulary,
    encoder: TextEncoder,
    queries: Tensor,
    k: int = 1,
    *,
    joins: Joins | None = None,
    scene_queries: Tensor | None = None,
    prior: ScenePrior | None = None,
) -> list[list[Retrieved]]:
    """Return the best of all narrations and of the joins of each query's best prefixes and postfixes, best first.

    A prefix with no postfix is a narration too, so a postfix stays only where it brings the sentence closer. Of equal
    scores a narration that somebody wrote comes before a join.

    Args:
        vocabulary: with vectors.
        encoder: the one that made them.
        queries: (Q, d).
        k: results a query.
        joins: how many parts are joined.
        scene_queries: as in `NarrationVocabulary.search`; a join has what its prefix has of the scene.
        prior: as there.

    Raises:
        PolygraftError: as there, or the encoder is another one.
    """
    vocabulary.check_encoder(encoder.part)
    joins = joins or Joins()
    written = vocabulary.retrieve(queries, k, scene_queries=scene_queries, prior=prior)
    first = vocabulary.search(queries, joins.prefixes, level="prefixes", scene_queries=scene_queries, prior=prior)
    second = vocabulary.search(queries, joins.postfixes, level="postfixes")
    # 1. what each query joins; a sentence that several ask for is embedded once
    heads = [_texts(vocabulary, "prefixes", rows) for rows in first.rows.tolist()]
    tails = [_texts(vocabulary, "postfixes", rows) for rows in second.rows.tolist()]
    sentences = dict.fromkeys(f"{h} {t}" for hs, ts in zip(heads, tails, strict=True) for h in hs for t in ts)
    rows = {text: row for row, text in enumerate(sentences)}
    vectors = encoder.half(list(rows)).double()
    directions = F.normalize(queries.cpu().float(), dim=1).double()
    # 2. the joins of each query compete with what was written
    results = []
    for index, direction in enumerate(directions):
        best = {narration.text: narration for narration in written[index]}
        for place, head in enumerate(heads[index]):
            for tail in tails[index]:
                text = f"{head} {tail}"
                score = float((vectors[rows[text]] @ direction + first.added[index, place].double()).float())
                if text not in best or (best[text].row is None and score > best[text].score):
                    best[text] = Retrieved(text=text, score=score, prefix=head, postfix=tail)
        # stable, and what was written comes first
        results.append(sorted(best.values(), key=lambda narration: -narration.score)[:k])
    return results


def _texts(vocabulary: NarrationVocabulary, level: Level, rows: list[int]) -> list[str]:
    return [vocabulary.entry(level, row).text for row in rows if row >= 0]
