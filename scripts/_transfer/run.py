"""The transfer itself: files read, tokenizer trained, rows made or taken from an earlier transfer, the new model."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backbone.checkpoint import language_model_place
from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from backbone.hf.loading import load_tokenizer
from backbone.hf.stored_models import read_stored, vocabulary_digest
from crosslingual.arrays import Array
from crosslingual.options import TokenizerOptions, VectorTraining
from crosslingual.tokenization.train import train_tokenizer
from crosslingual.tokenization.vocabulary import Vocabulary
from crosslingual.vectors.dictionary import Dictionary, identical
from crosslingual.vectors.word_vectors import WordVectors, split_words, train
from crosslingual.vocabulary_transfer.inputs import Parallel
from crosslingual.vocabulary_transfer.methods import own_vectors, token_texts
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from crosslingual.vocabulary_transfer.transfer import Evidence, make_mixing, peak_memory, with_mixed_vocabulary
from scripts._app.cli import remark, stage
from scripts._app.text_files import read_texts, size_of
from scripts._transfer.options import Options
from scripts._transfer.output import Transferred


def make(options: Options, evidence: Evidence, scratch: Path) -> Transferred:
    """Return the model in its new language; errors as of `crosslingual.vocabulary_transfer.transfer.transfer`."""
    began = time.perf_counter()
    stage("reading the model")
    # in the dtype of its files, so that the body stays what it is to the last bit
    whole, own_tokenizer, kin = read_stored(options.model)
    source = Backbone(whole, own_tokenizer, name=options.model, kin=kin)
    tokenizer = _new_tokenizer(options, source.tokenizer, source.context)
    if options.mixing is None:
        evidence = completed(evidence, options, tokenizer, scratch)
        stage("making the rows")
        mixing, report = make_mixing(source.tokenizer, tokenizer, evidence, options.method)
        # with the report on it and its vocabularies, for those who use it again
        own = {**_vocabularies(source.tokenizer, tokenizer), "report": report.to_dict()}
        mixing = replace(mixing, settings={**mixing.settings, **own})
    else:
        mixing = _reused(options.mixing, source.tokenizer, tokenizer)
    stage("putting the model together")
    seed = int(mixing.settings.get("seed", options.method.seed))
    model = with_mixed_vocabulary(source.model, tokenizer, mixing, source=source.tokenizer, seed=seed)
    settings = {**mixing.settings}
    cost = {"seconds": round(time.perf_counter() - began, 3), "peak_memory": peak_memory()}
    return Transferred(
        source=source,
        result=Backbone(model, tokenizer, name=options.tokenizer or options.donor or "the new tokenizer"),
        mixing=mixing,
        report=settings.pop("report") | cost,
        settings=settings,
    )


def _vocabularies(source: Any, target: Any) -> dict[str, str]:
    return {
        f"{side}_vocabulary_sha256": vocabulary_digest(tokenizer.get_vocab())
        for side, tokenizer in (("source", source), ("target", target))
    }


def _reused(folder: Path, source: Any, target: Any) -> Mixing:
    """Return a saved mixing, which must be from this vocabulary to that."""
    mixing = Mixing.from_pretrained(folder)
    for name, digest in _vocabularies(source, target).items():
        if mixing.settings.get(name) != digest:
            side = "model" if name.startswith("source") else "new tokenizer"
            raise PolygraftError(
                f"{folder} was not made for the vocabulary of the {side}: make it for these two with --save-mixing"
            )
    return mixing


_BUCKETS = 2_000_000  # fastText's own number of rows for n-grams


def read_evidence(options: Options) -> Evidence:
    """Open the vectors, the dictionary and the parallel text."""
    size_of(options.text)
    source = WordVectors.open(options.source_vectors) if options.source_vectors else None
    target = WordVectors.open(options.target_vectors) if options.target_vectors else None
    dictionary = Dictionary.open(options.dictionary, reverse=options.reverse) if options.dictionary else None
    evidence = Evidence(source_vectors=source, target_vectors=target, dictionary=dictionary)
    return replace(evidence, parallel=Parallel.read(*options.parallel)) if options.parallel else evidence


def _new_tokenizer(options: Options, source: Any, context: int) -> Any:
    """Return the new tokenizer: the one named, the donor's, or one trained on the text like the source's."""
    name = options.tokenizer or options.donor
    tokenizer = load_tokenizer(language_model_place(name)) if name else _trained(options, source, context)
    if tokenizer.eos_token_id is None:
        owner = name or f"the tokenizer of {options.model}"
        raise PolygraftError(f"{owner} has no end-of-text token: set eos_token in its tokenizer_config.json")
    tokenizer.model_max_length = context
    return tokenizer


def _trained(options: Options, source: Any, context: int) -> Any:
    kind = TokenizerOptions(vocab_size=options.vocab_size or len(source), marks=options.marks)
    return train_tokenizer(read_texts(options.text, label="tokenizer"), kind, like=source, context=context)


def completed(evidence: Evidence, options: Options, tokenizer: Any, scratch: Path) -> Evidence:
    """Return the evidence with what needs the new tokenizer or is trained on the text."""
    if options.donor:
        evidence = replace(evidence, donor=_donor_rows(options.donor, tokenizer))
    if options.trains_words:
        evidence = replace(evidence, target_vectors=_word_vectors(options, scratch))
    if options.trains_tokens:
        evidence = replace(evidence, token_vectors=_token_vectors(options, tokenizer, scratch))
    if options.align == "identical" and evidence.source_vectors and evidence.target_vectors:
        evidence = replace(evidence, dictionary=identical(evidence.source_vectors, evidence.target_vectors))
    return evidence


def _word_vectors(options: Options, scratch: Path) -> WordVectors:
    """Train vectors of the words of the text, as WECHSEL does for languages that have none."""
    remark("word vectors of the new language are trained on the text, a little otherwise in each run")
    # an n-gram begins at each byte at most
    buckets = min(_BUCKETS, size_of(options.text))
    texts = split_words(read_texts(options.text, label="word vectors"))
    vectors = train(texts, scratch / "words.bin", VectorTraining(buckets=buckets, min_count=_min_count(options, 5)))
    vectors.name = "word vectors trained on the text"
    return vectors


def _token_vectors(options: Options, tokenizer: Any, scratch: Path) -> Array:
    """Train vectors of the tokens of the text, (T, a), with the settings of FOCUS (Dobler and de Melo, 2023)."""
    remark("vectors of the new tokens are trained on the text, a little otherwise in each run")
    training = VectorTraining(
        epochs=3, min_count=_min_count(options, 10), shortest=3, longest=6, buckets=min(_BUCKETS, 40 * len(tokenizer))
    )
    texts = token_texts(tokenizer, read_texts(options.text, label="token vectors"))
    return own_vectors(tokenizer, train(texts, scratch / "tokens.bin", training))


def _min_count(options: Options, usual: int) -> int:
    """Return how often a word must occur: as usual from ten megabytes on, and less in a text that has less to lose."""
    return max(1, min(usual, usual * size_of(options.text) // 10_000_000))


def _donor_rows(name: str, tokenizer: Any) -> Array:
    """Return the donor's input embedding for each new token, (T, a) float32; zeros where the donor lacks it."""
    stage("reading the donor")
    donor, donor_tokenizer, _ = read_stored(name)
    rows = donor.get_input_embeddings().weight.detach().float().numpy()
    numbers = donor_tokenizer.get_vocab()
    pieces = Vocabulary.of(tokenizer).pieces
    found = np.zeros((len(pieces), rows.shape[1]), dtype=np.float32)
    here = [number for number, piece in enumerate(pieces) if piece in numbers]
    found[here] = rows[[numbers[pieces[number] or ""] for number in here]]
    if missing := sum(piece is not None for piece in pieces) - len(here):
        remark(f"{missing} of {len(pieces)} new tokens are not the donor's and are made without it")
    return found
