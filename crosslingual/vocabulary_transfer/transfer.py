"""transfer(): a language model goes over to another tokenizer, each new embedding row made of old ones.

One mixing for all: special tokens first, then what the method knows, then what can always be said; the report names
the origin of every row.

A model with a new vocabulary: input rows, output rows and output bias mixed from the old ones, the body shared.

Shapes: V old rows, T new rows, d width.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbone.gpt2 import Backbone
from backbone.hf.vocabulary import check_output, is_tied, replace_vocabulary
from crosslingual.options import TransferOptions as TransferOptions
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.dictionary import Dictionary
from crosslingual.vectors.word_vectors import WordVectors
from crosslingual.vocabulary_transfer.inputs import Evidence as Evidence
from crosslingual.vocabulary_transfer.method_selection import Methods
from crosslingual.vocabulary_transfer.mixing_matrix import Drawn, Mixing, join
from crosslingual.vocabulary_transfer.overlap import specials
from crosslingual.vocabulary_transfer.report import TransferReport as TransferReport
from crosslingual.vocabulary_transfer.report import report_on


def with_mixed_vocabulary(model: Any, tokenizer: Any, mixing: Mixing, *, source: Any, seed: int = 1234) -> Any:
    """Return a model for another tokenizer. The given one is left as it is, and its body is shared, not copied.

    Args:
        model: any model of transformers with input embeddings and an output layer of as many rows: causal (GPT-2,
            LLaMA), masked (RoBERTa, BERT) or encoder-decoder (T5), tied or not.
        tokenizer: the new one.
        mixing: from the old tokenizer's ids to the new one's.
        source: the old tokenizer.
        seed: of drawn rows.

    Raises:
        PolygraftError: the model has fewer rows than its tokenizer ids, no output layer, or positions that the new
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
        backbone: the model; left as it is.
        tokenizer: the new one, fast or sentencepiece's.
        source_vectors: word vectors of the language the model knows.
        target_vectors: word vectors of the new language.
        pairs: words of the two languages that mean the same; None: the vectors are in one space already.
        options: how.
        evidence: what else is known: parallel text, a donor, vectors of tokens.

    Raises:
        PolygraftError: the method lacks what it needs, no pair has vectors on both sides, or a file is damaged.
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
    """Return the mixing that a method gives, every row filled, and the report.

    Args:
        source: the tokenizer of the model.
        target: the new one.
        evidence: Vectors, dictionaries or texts of the two languages.
        options: method and settings.

    Raises:
        PolygraftError: the method lacks what it needs, or a tokenizer has no token.
    """
    options = options or TransferOptions()
    began = time.perf_counter()
    theirs, ours = Vocabulary.of(source), Vocabulary.of(target)
    methods = Methods(source=theirs, target=ours, evidence=evidence, options=options)
    parts = [specials(theirs, ours), *methods.chosen(), Mixing.drawn(_drawn(options), (len(ours), len(theirs)))]
    mixing = replace(join(parts), settings=_settings(evidence, options), stretched=options.norms)
    seconds = time.perf_counter() - began
    return mixing, report_on(mixing, (theirs, ours), methods.findings, evidence, seconds)


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
