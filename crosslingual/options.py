"""The options of this package: what the command line shows, so that torch and scipy are not imported."""

from dataclasses import dataclass, field
from typing import Literal

from backbone.errors import UsageError
from backbone.io.settings import check_range

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
        check_range(self, "refine", 0)
        check_range(self, "refine_words", 1)


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
        check_range(self, "neighbors atoms", 1)
        if not self.temperature > 0:
            raise UsageError(f"temperature is {self.temperature}, but must be above 0")
        if self.least_count is not None:
            check_range(self, "least_count", 0)


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
        check_range(self, "epochs negatives min_count buckets window", 1)
        if self.longest and not 1 <= self.shortest <= self.longest:
            raise UsageError(f"n-grams of {self.shortest} to {self.longest} characters are none: the shortest is first")


Algorithm = Literal["bbpe", "sentencepiece-bpe", "unigram"]
Strategy = Literal["default", "case", "arithmetic", "combined", "char"]
BYTES = 256
UNKNOWN = "<unk>"  # id 0 of sentencepiece; with bytes for the rest, no text needs it


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """What kind of tokenizer is trained, and how large."""

    vocab_size: int
    """Tokens in all, special ones included; an upper bound for the strategy char."""
    algorithm: Algorithm = "bbpe"
    """bbpe: byte-level BPE as in GPT-2; sentencepiece-bpe and unigram: sentencepiece's, with byte fallback."""
    strategy: Strategy = "default"
    """Of mGPT. case: a capital is a marker and its small letter; arithmetic: each digit and sign is a token; combined:
    both of these; char: each character is a token."""
    marks: bool = False
    """Keep vowel signs and other combining marks with their letters, at which GPT-2's pattern cuts words."""
    prefix_blank: bool = False
    """Read each text as if a space stood before it: its first word is the same token as within a sentence, but a
    decoded text begins with the space."""

    def __post_init__(self) -> None:
        least = BYTES + (1 if self.algorithm == "bbpe" else 2)
        if self.vocab_size < least:
            raise UsageError(
                f"vocab_size is {self.vocab_size}, but {self.algorithm} needs {least} at least: a token for each byte "
                "and the special ones"
            )
        if self.algorithm != "bbpe" and not (self.plain and not self.prefix_blank):
            raise UsageError(
                f"algorithm {self.algorithm} has words of its own: strategy, marks and prefix_blank go with bbpe alone"
            )
        if self.prefix_blank and not self.plain:
            raise UsageError("prefix_blank goes with strategy default and without marks alone")
        if self.strategy == "char" and self.marks:
            raise UsageError("marks keeps characters together and strategy char cuts at each: choose one of them")

    @property
    def plain(self) -> bool:
        """Whether text is cut as GPT-2 cuts it."""
        return self.strategy == "default" and not self.marks

    @property
    def marks_case(self) -> bool:
        """Whether capitals are written as a marker and a small letter."""
        return self.strategy in ("case", "combined")

    @property
    def splits_numbers(self) -> bool:
        """Whether each digit and sign is a token."""
        return self.strategy in ("arithmetic", "combined")


Part = Literal["embeddings", "body", "all", "lora"]
"""Which weights: word embeddings, output embeddings and output bias; all but these; all; low-rank changes to the
matrices of the layers beside the embeddings."""

SIZES = {
    "tiny": (2, 128, 4),
    "mini": (4, 256, 4),
    "small": (12, 768, 12),
    "medium": (24, 1024, 16),
    "large": (36, 1280, 20),
    "xl": (48, 1600, 25),
    "mgpt-1.3b": (24, 2048, 16),
    "mgpt-13b": (40, 5120, 40),
}
"""Layers, width and heads by name: the starter's is mini; small to xl are GPT-2's (Radford et al., 2019, table 2)."""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Which weights of a language model are trained."""

    train: Part = "all"
    """embeddings: the body stays bit-identical, so that captioners and narrators trained on it still fit; body; all; or
    lora: embeddings, and low-rank changes to the body that are merged into it at the end."""
    embeddings_first: float = 0.0
    """Share of the run in which the embeddings alone are trained, before the part asked for."""
    rank: int = 16
    """Of the changes, for lora."""

    def __post_init__(self) -> None:
        if not 0 <= self.embeddings_first < 1:
            raise UsageError(f"embeddings_first is {self.embeddings_first}, allowed is 0 up to, but not, 1")
        check_range(self, "rank", 1)


def shape(size: str) -> tuple[int, int, int]:
    """Return layers, width and heads of a size: a name of `SIZES`, or the three with commas between.

    Raises:
        UsageError: It is neither, or the heads do not divide the width.
    """
    if size in SIZES:
        return SIZES[size]
    parts = size.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise UsageError(f"size is {size!r}, allowed are {', '.join(SIZES)}, or layers,width,heads such as 4,256,4")
    layers, width, heads = map(int, parts)
    if not (layers and width and heads) or width % heads:
        raise UsageError(f"size {size}: layers, width and heads must be above 0, and the heads divide the width")
    return layers, width, heads


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Where positions look while a model is trained; afterwards it looks everywhere, like any GPT-2."""

    attention: Literal["dense", "alternating", "sliding"] = "dense"
    """dense: everywhere back; alternating: every other layer looks back within windows and at one block of each earlier
    window, as in mGPT's trainer; sliding: three layers in four look back a window's length only."""
    dense_tail: float = 0.1
    """Share of the run, at its end, in which attention is dense, so that the model learns to attend everywhere."""
    block: int = 16
    """Tokens in a block of alternating attention."""
    window: int = 128
    """Tokens in a window."""

    def __post_init__(self) -> None:
        check_range(self, "dense_tail", 0, 1)
        check_range(self, "block window", 1)
        if self.window % self.block:
            raise UsageError(f"block is {self.block} and window {self.window}: a window must be whole blocks")


@dataclass(frozen=True, kw_only=True)
class MixtureOptions:
    """By what rule languages share the stream."""

    mixture: Literal["proportional", "temperature", "unimax", "weights"] = "unimax"
    """By size; by size to the power 1 / temperature; evenly, with a bound on the passes; or by weights."""
    temperature: float = 2.0
    """For --mixture temperature: 1 is proportional, large values approach uniform."""
    max_passes: float = 4.0
    """For --mixture unimax: largest number of passes over a language's text."""
    count: Literal["tokens", "bytes", "content"] = "tokens"
    """What sizes and shares count. A language that its tokenizer cuts finely has many tokens, one of a script with long
    codes many bytes; content: bytes divided by how many say what one English byte says, where that was measured."""

    def __post_init__(self) -> None:
        for name in ("temperature", "max_passes"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be above 0")


Prompts = Literal["published", "corrected"]
Score = Literal["sum", "mean", "byte"]
TaskName = Literal["xnli", "paws-x", "xcopa", "xwino", "mlama", "choice", "probe", "pos", "ner"]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """How items become texts, and which candidate counts as chosen."""

    prompts: Prompts = "corrected"
    """published: word for word as mGPT's evaluation has them, and like there no token stands before a text; corrected:
    without errors of translation and spacing, and each text starts from the end-of-text token."""
    score: Score = "sum"
    """Choose the candidate with the highest log-probability: of all its tokens (as mGPT), mean of a token, or per
    UTF-8 byte."""
    shots: int = 0
    """Solved examples before each item, sampled anew for each."""
    seed: int = 0
    """Seed of the drawing of examples and of the intervals."""

    def __post_init__(self) -> None:
        check_range(self, "shots", 0)

    @property
    def published(self) -> bool:
        """Whether everything is as in mGPT's evaluation."""
        return self.prompts == "published"


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What is dropped, and what is held out. Thresholds of quality stand in the list of sources."""

    exact: Literal["keep-first", "drop-all", "off"] = "keep-first"
    """Exact duplicates, in any language: keep the first, none, or all."""
    near: Literal["drop", "keep", "off"] = "drop"
    """Near duplicates of a language: keep the first; keep all, on one side of the split; or off."""
    near_similarity: float = 0.7
    """Jaccard similarity of 5-word shingles from which two texts are near duplicates."""
    tails: float = 0.01
    """Share of texts that compress best, and of those that compress worst, that is dropped for each length."""
    no_rules: bool = False
    """Apply no quality filters and no script filter."""
    heldout: float = 0.01
    """Share of texts that is held out from training."""
    split_seed: int = 0
    """Seed of the held-out split."""
    max_document_bytes: int = 10_000_000
    """Longest document that is read."""
    unit_bytes: int = 64_000_000
    """Bytes of text per shard, which is cleaned as a unit."""

    def __post_init__(self) -> None:
        check_range(self, "near_similarity", 0.3, 1)
        check_range(self, "tails", 0, 0.4)
        check_range(self, "heldout", 0, 0.5)
        check_range(self, "max_document_bytes unit_bytes", 1)
        check_range(self, "split_seed", 0, 2**63 - 1)
