"""transfer(): a language model goes over to another tokenizer, each new embedding row made of old ones.

One mixing serves input rows, output rows and output bias. Shapes: V old rows, T new rows, d width.
"""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.gpt2 import Backbone
from backbone.hf.vocabulary import check_output, is_tied, replace_vocabulary
from crosslingual.options import TransferOptions as TransferOptions
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vectors.procrustes import AlignmentScore
from crosslingual.vectors.word_vectors import WordVectors
from crosslingual.vocabulary_transfer.inputs import Evidence as Evidence
from crosslingual.vocabulary_transfer.method_selection import Methods
from crosslingual.vocabulary_transfer.mixing_matrix import Drawn, Mixing, Origin, join
from crosslingual.vocabulary_transfer.overlap import specials
from crosslingual.vocabulary_transfer.subword_vectors import Reason

_SAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """A token and what its embedding was made of; tokens as `Vocabulary.shown` writes them."""

    token: str
    origin: Origin
    sources: tuple[tuple[str, float], ...]  # tokens of the source and their weights, the heaviest first; ten at most


@dataclass(frozen=True, kw_only=True)
class TransferReport:
    """What a transfer did."""

    source_tokens: int
    target_tokens: int
    origins: dict[Origin, int]  # rows of each origin
    without_vector: dict[Reason, int]  # target tokens for which the word vectors say nothing, by reason
    pairs: int  # pairs of the dictionary
    matches: int  # pairs of word vectors the alignment was fitted to, spellings and repeats counted
    alignment: AlignmentScore | None  # how well held-out words are translated; None without a dictionary
    samples: tuple[SampleRow, ...]
    seconds: float
    peak_memory: int  # bytes the process held at most, what it did before included
    sentences: int = 0  # pairs of sentences of the parallel text

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return asdict(self)


def with_mixed_vocabulary(model: Any, tokenizer: Any, mixing: Mixing, *, source: Any, seed: int = 1234) -> Any:
    """Return a model for another tokenizer. The given one is left as it is, and its body is shared, not copied.

    Args:
        model: Any model of transformers with input embeddings and an output layer of as many rows: causal (GPT-2,
            LLaMA), masked (RoBERTa, BERT) or encoder-decoder (T5), tied or not.
        tokenizer: The new one.
        mixing: From the old tokenizer's ids to the new one's.
        source: The old tokenizer.
        seed: Of drawn rows.

    Raises:
        PolygraftError: The model has fewer rows than its tokenizer ids, no output layer, or positions that the new
            padding id would move.
    """
    check_output(model)
    rows, output = model.get_input_embeddings().weight, model.get_output_embeddings()
    return replace_vocabulary(
        model,
        tokenizer,
        _mixed(rows, mixing, seed),
        None if is_tied(model) else _mixed(output.weight, mixing, seed),
        bias=None if output.bias is None else torch.from_numpy(mixing.apply_bias(_as_array(output.bias))),
        source=source,
    )


def _mixed(rows: Tensor, mixing: Mixing, seed: int) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(mixing.apply(_as_array(rows), seed=seed))).to(rows)


def _as_array(tensor: Tensor) -> "np.ndarray[Any, np.dtype[Any]]":
    array: np.ndarray[Any, np.dtype[Any]] = tensor.detach().float().cpu().numpy()  # numpy has no bfloat16
    return array


def transfer(
    backbone: Backbone,
    tokenizer: Any,
    source_vectors: WordVectors | None = None,
    target_vectors: WordVectors | None = None,
    pairs: Dictionary | Sequence[tuple[str, str]] | None = None,
    options: TransferOptions | None = None,
    *,
    evidence: Evidence | None = None,
) -> tuple[Backbone, TransferReport]:
    """Return a backbone for another tokenizer on the same body, and how its embeddings were made.

    Args:
        backbone: The model; left as it is.
        tokenizer: The new one, fast or sentencepiece's.
        source_vectors: Word vectors of the language the model knows.
        target_vectors: Word vectors of the new language.
        pairs: Words of the two languages that mean the same; None: the vectors are in one space already.
        options: Method and settings.
        evidence: What else is known: parallel text, a donor, vectors of tokens.

    Raises:
        PolygraftError: The method lacks what it needs, no pair has vectors on both sides, or a file is damaged.
    """
    if pairs is not None and not isinstance(pairs, Dictionary):
        pairs = Dictionary(pairs=tuple(pairs), name="the pairs")
    given = {"source_vectors": source_vectors, "target_vectors": target_vectors, "dictionary": pairs}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    evidence = replace(evidence or Evidence(), **changes)
    options = options or TransferOptions()
    mixing, report = make_mixing(backbone.tokenizer, tokenizer, evidence, options)
    model = with_mixed_vocabulary(backbone.model, tokenizer, mixing, source=backbone.tokenizer, seed=options.seed)
    return Backbone(model, tokenizer, name=backbone.name), report


def make_mixing(
    source: Any, target: Any, evidence: Evidence, options: TransferOptions | None = None
) -> tuple[Mixing, TransferReport]:
    """Return the mixing between two tokenizers' ids that a method gives, every row filled, and the report.

    Errors are those of `transfer`.
    """
    options = options or TransferOptions()
    began = time.perf_counter()
    theirs, ours = Vocabulary.of(source), Vocabulary.of(target)
    methods = Methods(source=theirs, target=ours, evidence=evidence, options=options)
    parts = [specials(theirs, ours), *methods.chosen(), Mixing.drawn(_drawn(options), (len(ours), len(theirs)))]
    mixing = replace(join(parts), settings=_settings(evidence, options), stretched=options.norms)
    report = TransferReport(
        source_tokens=mixing.matrix.shape[1],
        target_tokens=mixing.matrix.shape[0],
        origins=mixing.counts(),
        without_vector=dict(Counter(reason for reason in methods.reasons if reason)),
        pairs=0 if evidence.dictionary is None else len(evidence.dictionary.pairs),
        matches=methods.matches,
        alignment=methods.alignment,
        samples=tuple(_samples(mixing, theirs, ours)),
        seconds=time.perf_counter() - began,
        peak_memory=peak_memory(),
        sentences=0 if evidence.parallel is None else len(evidence.parallel),
    )
    return mixing, report


def _drawn(options: TransferOptions) -> Drawn:
    if options.init in ("mean", "multivariate", "random"):
        return options.init
    return "multivariate" if options.init == "auto" else options.fallback


def _settings(evidence: Evidence, options: TransferOptions) -> Mapping[str, Any]:
    sides = (("source", evidence.source_vectors), ("target", evidence.target_vectors))
    vectors = {f"{side}_vectors": given.name for side, given in sides if given is not None}
    texts = (("dictionary", evidence.dictionary), ("parallel", evidence.parallel))
    digests = {f"{kind}_sha256": given.digest for kind, given in texts if given is not None}
    names = {kind: given.name for kind, given in texts if given is not None}
    return {**asdict(options), **vectors, **names, **digests}


def _samples(mixing: Mixing, source: Vocabulary, target: Vocabulary) -> Iterator[SampleRow]:
    """Yield rows at equal distances among those that a method made; of others there is nothing to see."""
    made = np.flatnonzero(np.diff(mixing.matrix.indptr) > 1)
    if not len(made):
        return
    for row in made[np.linspace(0, len(made) - 1, min(_SAMPLES, len(made))).astype(int)].tolist():
        sources = tuple((source.shown(number), weight) for number, weight in mixing.neighbours(row)[:10])
        yield SampleRow(token=target.shown(row), origin=mixing.origin(row), sources=sources)


def peak_memory() -> int:
    """Return the bytes that this process has held at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
