"""The transfer itself: the model read, the rows made or taken from an earlier transfer, the new model put together."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from backbone.hf.fingerprint import vocabulary_digest
from backbone.hf.vocabulary_checkpoint import read_stored
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from crosslingual.vocabulary_transfer.report import peak_memory
from crosslingual.vocabulary_transfer.transfer import Evidence, make_mixing, with_mixed_vocabulary
from scripts._app.cli import stage
from scripts._transfer.inputs import completed, new_tokenizer
from scripts._transfer.options import Options
from scripts._transfer.output import Transferred


def make(options: Options, evidence: Evidence, scratch: Path) -> Transferred:
    """Return the model in its new language.

    Args:
        options: of the command.
        evidence: what the files say of the two languages.
        scratch: folder for files that are needed no longer than this.

    Raises:
        PolygraftError: a model or tokenizer cannot be loaded or trained, or the method lacks what it needs.
    """
    began = time.perf_counter()
    stage("reading the model")
    # in the dtype of its files, so that the body stays what it is to the last bit
    stored = read_stored(options.model)
    source = Backbone(stored.model, stored.tokenizer, name=options.model, kin=stored.kin)
    tokenizer = new_tokenizer(options, source.tokenizer, source.context)
    if options.mixing is None:
        evidence = completed(evidence, options, tokenizer, scratch)
        mixing = _made(source.tokenizer, tokenizer, evidence, options)
    else:
        mixing = _reused(options.mixing, source.tokenizer, tokenizer)
    stage("putting the model together")
    seed = int(mixing.settings.get("seed", options.method.seed))
    model = with_mixed_vocabulary(source.model, tokenizer, mixing, source=source.tokenizer, seed=seed)
    settings = {**mixing.settings}
    return Transferred(
        source=source,
        result=Backbone(model, tokenizer, name=options.tokenizer or options.donor or "the new tokenizer"),
        mixing=mixing,
        report={**settings.pop("report"), **_cost(began)},
        settings=settings,
        evidence=evidence,
    )


def _cost(began: float) -> dict[str, Any]:
    return {"seconds": round(time.perf_counter() - began, 3), "peak_memory": peak_memory()}


def _made(source: Any, target: Any, evidence: Evidence, options: Options) -> Mixing:
    """Return the mixing with the report on it and its vocabularies, for those who use it again."""
    stage("making the rows")
    mixing, report = make_mixing(source, target, evidence, options.method)
    return replace(mixing, settings={**mixing.settings, **_vocabularies(source, target), "report": report.to_dict()})


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
