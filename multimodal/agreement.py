"""Consensus decoding: of several captions drawn for a picture the one that the others, and the user's past, bear out.

Minimum Bayes risk (Kumar and Byrne, 2004) with CIDEr-D as the gain. Past captions of similar pictures vote and may be
chosen too, as in consensus retrieval (Devlin et al., 2015, "Exploring Nearest Neighbor Approaches for Image
Captioning", section 3.2): where a user has posted the like before, that is evidence of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp

from multimodal import ptb
from multimodal.consensus import consensus
from multimodal.ngrams import CiderD
from multimodal.profile import Context
from multimodal.style import emoji_words

VOTERS = 20
"""Past captions that vote, those of the most similar pictures."""

KNOWN = 300
"""Past captions at most by which rare words are told from common ones."""

_LEAST_KNOWN = 100
_TIES = "_:-|#"
"""What ties words into one token or stands between them: a blank in its place lets each word count."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How captions are agreed on; the defaults did best on validation posts."""

    past_weight: float = 4.0
    """Votes of the past caption of the most similar picture; each caption drawn has one."""
    sharpness: float = 5.0
    """How fast votes fall with the picture's likeness: by ``exp(sharpness * (cosine - best cosine))``."""

    def choose(self, drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> int:
        """Return the number of the caption that is agreed on: of ``drawn``, or after them of ``shown.posts``.

        Args:
            drawn: captions made for the picture.
            shown: the past captions that vote, as many as it holds.
            known: captions by which rare words are told from common ones, such as all of the user's past.
        """
        past = [text for text, _ in shown.posts]
        candidates = [*drawn, *past]
        best = max((cosine for _, cosine in shown.posts), default=0.0)
        votes = [self.past_weight * exp(self.sharpness * (cosine - best)) for _, cosine in shown.posts]
        forms = [_form(text) for text in candidates]
        return consensus(forms, _utility(tuple(known)), weights=[1.0] * len(drawn) + votes)

    def pick(self, drawn: Sequence[str], shown: Context, known: Sequence[str] = ()) -> str:
        """Return the caption that `choose` chooses."""
        return (*drawn, *(text for text, _ in shown.posts))[self.choose(drawn, shown, known)]


@lru_cache(maxsize=128)
def _utility(known: tuple[str, ...]) -> CiderD:
    """Return CIDEr-D with the weights of the words of ``known``, which are the same for all pictures of a user."""
    # few captions say little of what is common: empty ones beside them leave all words nearly equal
    blanks = [[""]] * max(0, _LEAST_KNOWN - len(known))
    return CiderD([[_form(text)] for text in known] + blanks)


@lru_cache(maxsize=1 << 16)
def _form(text: str) -> str:
    """Return a text as it is compared: word by word, without case."""
    spaced = emoji_words(text).translate(str.maketrans(_TIES, " " * len(_TIES)))
    return ptb.tokenize([spaced])[0]
