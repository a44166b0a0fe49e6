"""Which of several captions is given: of those drawn for a picture and of past ones the one that is best borne out.

Minimum Bayes risk (Kumar and Byrne, 2004) with CIDEr-D as the gain. Past captions of similar pictures vote and may be
chosen too, as in consensus retrieval (Devlin et al., 2015, "Exploring Nearest Neighbor Approaches for Image
Captioning", section 3.2): where a user has posted the like before, that is evidence of its own. How much each kind of
evidence counts is learned, by `benchmarks.captioning.choice`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from multimodal.profile.profile import Context
from multimodal.reranking.evidence import NAMES, compared_form, evidence, utility_of
from multimodal.reranking.mbr import consensus

VOTERS = 20
"""Past captions that vote, those of the most similar pictures: so many of the user's own and so many lent ones."""

KNOWN = 300
"""Past captions at most by which rare words are told from common ones."""

VOTES: Mapping[str, float] = {"drawn": 1.0, "votes": 2.0}
"""Agreement alone: past captions have two votes in three."""

LEARNED: Mapping[str, float] = {
    "drawn": 8.0, "made": 6.0, "votes": 4.56, "own": -6.45, "own flat": 2.48, "lent": 5.84, "lent flat": 5.36,
    "is lent": -0.9, "likeness": 21.79, "lent likeness": 26.22, "trust": -0.43, "shared": 8.77, "lent shared": 4.92,
    "style": -85.56, "length": 12.84, "own, past": 5.53, "own flat, past": 20.79, "lent, past": 1.53,
    "lent flat, past": -3.05, "is lent, past": -3.38,
}  # fmt: skip
"""Learned from training posts of the benchmark's voices, those of captions drawn chosen on its validation posts:
`python -m benchmarks.personal --sets voices --parts choice`."""

_DIGITS = 9  # scores that agree so far are equal: what is left is rounding


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How captions are agreed on."""

    weights: Mapping[str, float] = field(default_factory=lambda: LEARNED)
    """Of the columns of `multimodal.reranking.evidence`; those that are not there count for nothing."""

    def choose(self, drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> int:
        """Return the number of the caption that is chosen: of ``drawn``, or after them of ``shown.voters``.

        Where no past caption is shown, or none whose picture is known, it is the one drawn that the others agree with
        most: texts alone say how the user writes, and nothing of the picture.

        Args:
            drawn: captions made for the picture.
            shown: the past captions that vote, as many as it holds, and how the user writes.
            known: captions by which rare words are told from common ones, such as all of the user's past.
        """
        if not any(one.likeness for one in shown.voters):
            return consensus([compared_form(text) for text in drawn], utility_of(tuple(known)))
        weights = np.array([self.weights.get(name, 0.0) for name in NAMES])
        return int((evidence(drawn, shown, known) @ weights).round(_DIGITS).argmax())

    def pick(self, drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> str:
        """Return the caption that `choose` chooses."""
        return (*drawn, *(one.text for one in shown.voters))[self.choose(drawn, shown, known)]
