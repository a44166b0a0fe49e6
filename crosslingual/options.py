"""The options of this package: what the command line shows, so that torch and scipy are not imported."""

from dataclasses import dataclass, field
from typing import Literal

from backbone.errors import UsageError

Init = Literal[
    "auto", "wechsel", "focus", "ofa", "transtoken", "dict", "clp", "omp", "fvt", "mean", "multivariate", "random"
]
Drawn = Literal["random", "multivariate", "mean"]
"""Rows made of what all source rows have in common: normal with the mean and deviation of each column (WECHSEL),
normal with mean and covariance, the mean itself."""
Route = Literal["ngrams", "words"]


@dataclass(frozen=True, kw_only=True)
class AlignmentOptions:
    """How two spaces are aligned. The defaults are WECHSEL's: the vectors as they are."""

    centre: bool = False
    """Subtract each language's mean vector first."""
    normalise: bool = False
    """Normalise each vector to length 1 before centring."""
    drop_worst: float = 0.0
    """Share of the pairs, those the first fit places worst, that the second fit does without."""
    refine: int = 0
    """Times that mutual nearest neighbours among the most frequent words become the pairs of a new fit."""
    refine_words: int = 20_000
    """Number of most frequent words of each language that `refine` uses."""

    def __post_init__(self) -> None:
        if not 0 <= self.drop_worst < 1:
            raise UsageError(f"drop_worst is {self.drop_worst}, but a share from 0 to below 1 is needed")
        if self.refine < 0 or self.refine_words < 1:
            raise UsageError(f"refine {self.refine} and refine_words {self.refine_words} must not be negative")


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """How the new rows are made. The defaults of everything but ``init`` are those of the WECHSEL package."""

    init: Init = "auto"
    """auto: row by row what can be had: signs and bytes copied, transtoken with parallel text, shared words copied,
    wechsel with both vectors (else dict with a dictionary alone), omp with a donor, focus with vectors of the target
    alone, fvt, and multivariate. Others: this method alone, and ``fallback`` for what it leaves."""
    fallback: Drawn = "random"
    """Rows that no method covers: random, multivariate or mean."""
    neighbors: int = 10
    """Source tokens in a row of wechsel."""
    temperature: float = 0.1
    """Of wechsel's softmax; smaller leans more on the most similar token."""
    route: Route = "ngrams"
    """How wechsel's tokens get vectors: ngrams, or words, which vectors without n-grams need."""
    max_words: int | None = None
    """For the route words, how many of the most frequent words; None: all."""
    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    """How the two spaces are made one."""
    clean_dictionary: bool = False
    """Drop the dictionary's phrases and duplicates, and count each pair once, not once for each spelling."""
    boundary: bool = False
    """Make a token that begins a word of such tokens alone, and any other of the others, in wechsel."""
    norms: bool = False
    """Stretch each mixed row to the mean length of the rows it is made of, which a mean is shorter than."""
    least_count: float | None = None
    """Smallest translation count of two words, in transtoken and dict; None: transtoken once for 10,000
    sentences, from 0.5 to 10, dict 0.5."""
    atoms: int = 64
    """Shared tokens in a row of omp."""
    seed: int = 1234
    """Seed of random rows."""

    def __post_init__(self) -> None:
        if self.neighbors < 1 or self.atoms < 1 or not self.temperature > 0:
            raise UsageError(
                f"neighbors {self.neighbors}, atoms {self.atoms} and temperature {self.temperature} must be above 0"
            )
        if self.least_count is not None and not self.least_count >= 0:
            raise UsageError(f"least_count is {self.least_count}, but must not be negative")


@dataclass(frozen=True, kw_only=True)
class VectorTraining:
    """How word vectors are trained. The defaults are those of the WECHSEL package for small languages."""

    width: int = 100
    """Dimension of the vectors; a multiple of 10."""
    epochs: int = 20
    """Passes over the text."""
    model: Literal["cbow", "skipgram"] = "cbow"
    """cbow predicts a word from its neighbours, skipgram the neighbours from a word."""
    negatives: int = 10
    """Negative samples per word."""
    min_count: int = 5
    """Rarer words have no vector of their own."""
    shortest: int = 5
    """Characters of the shortest n-gram."""
    longest: int = 5
    """Characters of the longest n-gram; 0: no n-grams."""
    buckets: int = 2_000_000
    """Rows that n-grams share; fewer make a smaller file."""
    window: int = 5
    """Context words on each side."""

    def __post_init__(self) -> None:
        if self.width < 10 or self.width % 10:
            raise UsageError(f"width {self.width} is no multiple of 10: fastText would leave rows unfilled")
        if self.model not in ("cbow", "skipgram"):
            raise UsageError(f"model {self.model!r} is unknown: cbow and skipgram are known")
        for name in ("epochs", "negatives", "min_count", "buckets", "window"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, allowed is at least 1")
        if self.longest and not 1 <= self.shortest <= self.longest:
            raise UsageError(f"n-grams of {self.shortest} to {self.longest} characters are none: the shortest is first")
