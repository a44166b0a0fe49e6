"""transfer(): a language model goes over to another tokenizer, each new embedding row made of old ones.

One mixing for all: special tokens first, then what the method knows, then what can always be said; the report names
the origin of every row.
"""

import resource
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from crosslingual.alignment import Alignment, AlignmentOptions, AlignmentScore, align, held_out_precision
from crosslingual.dictionary import Dictionary, Matches
from crosslingual.methods import focus, fvt, wechsel
from crosslingual.mixing import Drawn, Mixing, Origin, join
from crosslingual.ngrams import Array
from crosslingual.overlap import copies, specials
from crosslingual.subwords import Reason, Route, TokenVectors, pieces_of, token_vectors
from crosslingual.surgery import with_mixed_vocabulary
from crosslingual.vectors import WordVectors

Init = Literal["auto", "wechsel", "focus", "fvt", "mean", "multivariate", "random"]

_SAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class TransferOptions:
    """How the new rows are made. The defaults of everything but ``init`` are those of the WECHSEL package."""

    init: Init = "auto"
    """auto: shared tokens copied, then wechsel where both vectors are there, then focus where only the target's are,
    then fvt, then multivariate. Others: this method alone, and ``fallback`` for what it leaves."""
    fallback: Drawn = "random"
    """What is left to chance: random, multivariate or mean."""
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
    seed: int = 1234
    """Of the rows that are drawn."""

    def __post_init__(self) -> None:
        if self.neighbors < 1 or not self.temperature > 0:
            raise PolygraftError(f"neighbors {self.neighbors} and temperature {self.temperature} must be above 0")


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """A token and what its embedding was made of."""

    token: str
    origin: Origin
    sources: tuple[tuple[str, float], ...]
    """Tokens of the source and their weights, the heaviest first; ten at most."""


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """What a transfer did."""

    source_tokens: int
    target_tokens: int
    origins: dict[Origin, int]
    """Rows of each origin."""
    without_vector: dict[Reason, int]
    """Target tokens for which the word vectors say nothing, by reason."""
    pairs: int
    """Pairs of the dictionary."""
    matches: int
    """Pairs of word vectors the alignment was fitted to, spellings and repeats counted."""
    alignment: AlignmentScore | None
    """How well held-out words are translated; None without a dictionary."""
    samples: tuple[SampleRow, ...]
    seconds: float
    peak_memory: int
    """Bytes the process held at most, what it did before included."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of the two languages, beyond the tokenizers."""

    source_vectors: WordVectors | None = None
    target_vectors: WordVectors | None = None
    dictionary: Dictionary | None = None
    """None: the two vector spaces are one already."""
    token_vectors: Array | None = None
    """(T, a) vectors of the target's tokens, for focus."""


def transfer(
    backbone: Backbone,
    tokenizer: Any,
    source_vectors: WordVectors | None = None,
    target_vectors: WordVectors | None = None,
    pairs: Dictionary | Sequence[tuple[str, str]] | None = None,
    options: TransferOptions | None = None,
) -> tuple[Backbone, TransferReport]:
    """Return a backbone for another tokenizer on the same body, and how its embeddings were made.

    Args:
        backbone: the model; left as it is.
        tokenizer: the new one, fast or sentencepiece's.
        source_vectors: word vectors of the language the model knows.
        target_vectors: word vectors of the new language.
        pairs: words of the two languages that mean the same; None: the vectors are in one space already.
        options: how.

    Raises:
        PolygraftError: the method lacks what it needs, no pair has vectors on both sides, or a file is damaged.
    """
    given = (
        pairs if isinstance(pairs, Dictionary) or pairs is None else Dictionary(pairs=tuple(pairs), name="the pairs")
    )
    evidence = Evidence(source_vectors=source_vectors, target_vectors=target_vectors, dictionary=given)
    options = options or TransferOptions()
    mixing, report = make_mixing(backbone.tokenizer, tokenizer, evidence, options)
    model = with_mixed_vocabulary(backbone.model, tokenizer, mixing, source=backbone.tokenizer, seed=options.seed)
    return Backbone(model, tokenizer, name=backbone.name), report


def make_mixing(
    source: Any, target: Any, evidence: Evidence, options: TransferOptions | None = None
) -> tuple[Mixing, TransferReport]:
    """Return the mixing that a method gives, every row filled, and the report.

    Args:
        source: the tokenizer of the model.
        target: the new one.
        evidence: vectors and dictionary.
        options: method and settings.
    """
    options = options or TransferOptions()
    began = time.perf_counter()
    used = _Used()
    size = (len(pieces_of(target)), len(pieces_of(source)))
    parts = [specials(source, target), *_parts(source, target, evidence, options, used)]
    mixing = join([*parts, Mixing.drawn(_drawn(options), size)])
    mixing = Mixing(matrix=mixing.matrix, origins=mixing.origins, settings=_settings(evidence, options))
    return mixing, _report(source, target, mixing, used, evidence, time.perf_counter() - began)


def _drawn(options: TransferOptions) -> Drawn:
    if options.init in ("mean", "multivariate", "random"):
        return options.init
    return "multivariate" if options.init == "auto" else options.fallback


@dataclass(kw_only=True)
class _Used:
    """What the methods found out on their way, for the report."""

    matches: int = 0
    alignment: AlignmentScore | None = None
    reasons: tuple[Reason, ...] = ()


def _parts(source: Any, target: Any, evidence: Evidence, options: TransferOptions, used: _Used) -> list[Mixing]:
    """Return the rows of the methods asked for, the one that counts most first."""
    has_both = evidence.source_vectors is not None and evidence.target_vectors is not None
    if options.init == "wechsel" or (options.init == "auto" and has_both):
        main = [_wechsel(source, target, evidence, options, used)]
    elif options.init == "focus" or (options.init == "auto" and _has_target(evidence)):
        main = [focus(source, target, _auxiliary(target, evidence, options, used))]
    else:
        main = []
    if options.init == "fvt":
        return [fvt(source, target)]
    return [copies(source, target), *main, fvt(source, target)] if options.init == "auto" else main


def _has_target(evidence: Evidence) -> bool:
    return evidence.token_vectors is not None or evidence.target_vectors is not None


def _auxiliary(target: Any, evidence: Evidence, options: TransferOptions, used: _Used) -> Array:
    if evidence.token_vectors is not None:
        return evidence.token_vectors
    if evidence.target_vectors is None:
        raise PolygraftError("focus needs vectors of the target's tokens or words: give vectors or text")
    vectors = _token_vectors(target, evidence.target_vectors, options)
    used.reasons = vectors.reasons
    return vectors.vectors


def _token_vectors(tokenizer: Any, vectors: WordVectors, options: TransferOptions) -> TokenVectors:
    route = options.route if options.init != "auto" or vectors.has_ngrams else "words"
    return token_vectors(tokenizer, vectors, route, max_words=options.max_words)


def _wechsel(source: Any, target: Any, evidence: Evidence, options: TransferOptions, used: _Used) -> Mixing:
    if evidence.source_vectors is None or evidence.target_vectors is None:
        raise PolygraftError("wechsel needs word vectors of both languages: give both, or choose fvt or multivariate")
    theirs = _token_vectors(source, evidence.source_vectors, options)
    ours = _token_vectors(target, evidence.target_vectors, options)
    used.reasons = ours.reasons
    if evidence.dictionary is not None:
        alignment = _align(evidence.source_vectors, evidence.target_vectors, evidence.dictionary, options, used)
        theirs = TokenVectors(vectors=alignment.source(theirs.vectors), starts=theirs.starts, reasons=theirs.reasons)
        ours = TokenVectors(vectors=alignment.target(ours.vectors), starts=ours.starts, reasons=ours.reasons)
    elif theirs.vectors.shape[1] != ours.vectors.shape[1]:
        widths = f"{theirs.vectors.shape[1]} and {ours.vectors.shape[1]}"
        raise PolygraftError(f"vectors of widths {widths} are not in one space: give a dictionary to align them")
    return wechsel(theirs, ours, neighbors=options.neighbors, temperature=options.temperature)


def _align(
    source: WordVectors, target: WordVectors, dictionary: Dictionary, options: TransferOptions, used: _Used
) -> Alignment:
    """Fit the alignment to the vectors of the words it looks at alone: those matched and, to refine, the frequent."""
    matches = dictionary.matched(source, target)
    frequent = options.alignment.refine_words if options.alignment.refine else 0
    x_words, x_rows = _compact(matches.source, min(frequent, len(source.words)))
    y_words, y_rows = _compact(matches.target, min(frequent, len(target.words)))
    x = source.vectors([source.words[number] for number in x_words])
    y = target.vectors([target.words[number] for number in y_words])
    inner = Matches(source=x_rows, target=y_rows)
    used.matches = len(matches)
    used.alignment = held_out_precision(x, y, inner, options.alignment)
    return align(x, y, inner, options.alignment)


def _compact(rows: Array, frequent: int) -> tuple[Array, Array]:
    """Return the words needed in order of frequency, and the places of ``rows`` among them."""
    words = np.union1d(rows, np.arange(frequent))
    return words, np.searchsorted(words, rows)


def _settings(evidence: Evidence, options: TransferOptions) -> Mapping[str, Any]:
    vectors = {
        f"{side}_vectors": given.name
        for side, given in (("source", evidence.source_vectors), ("target", evidence.target_vectors))
        if given is not None
    }
    dictionary = evidence.dictionary
    named = {} if dictionary is None else {"dictionary": dictionary.name, "dictionary_sha256": dictionary.digest}
    return {**asdict(options), **vectors, **named}


def _report(
    source: Any, target: Any, mixing: Mixing, used: _Used, evidence: Evidence, seconds: float
) -> TransferReport:
    return TransferReport(
        source_tokens=mixing.matrix.shape[1],
        target_tokens=mixing.matrix.shape[0],
        origins=mixing.counts(),
        without_vector=dict(Counter(reason for reason in used.reasons if reason)),
        pairs=0 if evidence.dictionary is None else len(evidence.dictionary.pairs),
        matches=used.matches,
        alignment=used.alignment,
        samples=_samples(mixing, pieces_of(source), pieces_of(target)),
        seconds=seconds,
        peak_memory=_peak_memory(),
    )


def _samples(mixing: Mixing, source: Sequence[str | None], target: Sequence[str | None]) -> tuple[SampleRow, ...]:
    """Return rows at equal distances among those that a method made; of others there is nothing to see."""
    made = np.flatnonzero(np.diff(mixing.matrix.indptr) > 1)
    rows = made[np.linspace(0, len(made) - 1, min(_SAMPLES, len(made))).astype(int)] if len(made) else made
    return tuple(_sample(mixing, int(row), source, target) for row in rows)


def _sample(mixing: Mixing, row: int, source: Sequence[str | None], target: Sequence[str | None]) -> SampleRow:
    sources = tuple((source[number] or "", weight) for number, weight in mixing.neighbours(row)[:10])
    return SampleRow(token=target[row] or "", origin=mixing.origin(row), sources=sources)


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
