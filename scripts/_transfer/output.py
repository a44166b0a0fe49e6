"""The output folder of a transfer: transformers' files, transfer.json, digests and a card, written all or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbone.checkpoint.folder import made_with
from backbone.checkpoint.model_card import ModelCard, write_card
from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from backbone.hf.fingerprint import write_kin
from backbone.hf.loading import save_model
from backbone.io.files import atomic_folder, is_free, write_json, write_text
from crosslingual.vocabulary_transfer.mixing_matrix import Mixing
from crosslingual.vocabulary_transfer.transfer import Evidence
from scripts._app.cli import stage
from scripts._transfer.options import TRANSFER, Options


def check_places(options: Options) -> None:
    """Refuse places that are taken, and a report that could not be drawn.

    Raises:
        PolygraftError: --out, --save-mixing or --report is taken or in no folder, or matplotlib is not installed.
    """
    _check_out(options.out, overwrite=options.overwrite)
    if options.save_mixing is not None and not is_free(options.save_mixing):
        raise PolygraftError(f"{options.save_mixing} exists already and is not replaced: choose another --save-mixing")
    if options.report is not None:
        _check_report(options.report, options.out, overwrite=options.overwrite)
        from scripts._app.plots import pyplot

        pyplot()


def _check_out(out: Path, *, overwrite: bool) -> None:
    if is_free(out):
        return
    if not (out / TRANSFER).is_file():
        raise PolygraftError(f"{out} holds something else than a transferred model: choose another --out or remove it")
    if not overwrite:
        raise PolygraftError(f"{out} holds a transferred model already: --overwrite replaces it")


def _check_report(path: Path, out: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise PolygraftError(f"{path} is a folder, but --report is a file")
    if path.exists() and not overwrite:
        raise PolygraftError(f"{path} exists already: --overwrite replaces it")
    if path.parent != out and not path.parent.is_dir():
        raise PolygraftError(f"there is no folder {path.parent}: make it or choose another --report")


_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """A model in its new language, and what there is to tell of it."""

    source: Backbone  # the model it was made from
    result: Backbone
    mixing: Mixing
    report: Mapping[str, Any]  # A `crosslingual.vocabulary_transfer.transfer.TransferReport` as JSON
    settings: Mapping[str, Any]  # how the rows were made
    evidence: Evidence


def keep(transferred: Transferred, options: Options, page: str | None) -> None:
    """Write the model's folder, and then the page and the mixing where they are asked for.

    Raises:
        PolygraftError: one cannot be written; of the model's folder there is then nothing, or the older one as it was.
    """
    stage("writing")
    try:
        with atomic_folder(options.out, replace=options.overwrite) as partial:
            save_model(transferred.result.model, transferred.result.tokenizer, partial)
            record = _record(transferred, options)
            write_json(partial / TRANSFER, record)
            write_kin(partial, transferred.result.body_digest, (transferred.source.digest, *transferred.source.kin))
            count = sum(tensor.numel() for tensor in transferred.result.model.parameters())
            weights = f"{count:,} parameters, those of the vocabulary new, all others as they were."
            write_card(partial, _card(record, title=options.out.name), weights=weights)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PolygraftError(f"the model {options.out} could not be saved: {reason}") from error
    if options.save_mixing is not None:
        transferred.mixing.save_pretrained(options.save_mixing)
    if options.report is not None and page is not None:
        write_text(options.report, page)


def _record(transferred: Transferred, options: Options) -> dict[str, Any]:
    source, settings = transferred.source, dict(transferred.settings)
    digests = {side: settings.pop(f"{side}_vocabulary_sha256") for side in ("source", "target")}
    return made_with(
        {
            "format": _FORMAT,
            "source": {"model": source.name, "sha256": source.digest, "vocabulary_sha256": digests["source"]},
            "target": {
                "tokenizer": options.tokenizer or options.donor or [str(path) for path in options.text],
                "sha256": transferred.result.digest,
                "vocabulary_sha256": digests["target"],
            },
            "body_sha256": transferred.result.body_digest,
            "settings": settings,
            "report": transferred.report,
        }
    )


def _card(record: Mapping[str, Any], *, title: str) -> ModelCard:
    report, settings, source = record["report"], record["settings"], record["source"]
    rows = "\n".join(f"| {origin} | {count:,} |" for origin, count in report["origins"].items())
    score = report["alignment"]
    aligned = (
        f"\n\nHeld-out words of the dictionary translated rightly by the aligned vectors: {score['precision']:.1%} of "
        f"{score['words']} (by chance {score['chance']:.2%})."
        if score
        else ""
    )
    return ModelCard(
        title=title,
        summary=f"`{source['model']}` with another vocabulary: {report['target_tokens']:,} tokens in the place of "
        f"{report['source_tokens']:,}, embeddings made of the old ones (method {settings['init']}), and the same body.",
        data=f"The model it was made from has the SHA-256 `{source['sha256']}`; nothing was trained. Its licence and "
        "those of the word vectors, dictionary and text that are named in `transfer.json` hold for this model too.",
        use="Train it on in the new language: the embeddings are a start, no end. Parts that were trained on a model "
        f"with this body (SHA-256 `{record['body_sha256']}`) fit it.",
        limits="It has not seen the new language yet.",
        metrics=f"Rows by origin:\n\n| origin | rows |\n|---|---|\n{rows}{aligned}",
        licence="other",
    )
