"""What stands beside the weights of a trained language model: its card and the record of its training."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbone.checkpoint.folder import RECORD, made_with
from backbone.checkpoint.model_card import ModelCard, write_card
from backbone.io.atomic_files import write_json
from scripts._transfer.options import TRANSFER


def write_training(folder: Path, start: str, record: Mapping[str, Any]) -> None:
    """Write ``README.md`` and ``training.json``; the record of the transfer that the model began with is kept.

    Args:
        folder: of the model.
        start: the model that was trained on; empty: none.
        record: ``options``, ``figures`` and ``body_sha256``.
    """
    if start and (Path(start) / TRANSFER).is_file():
        shutil.copyfile(Path(start) / TRANSFER, folder / TRANSFER)
    write_json(folder / RECORD, made_with(record))
    figures = record["figures"]
    kept = "bit-identical to that of the model it began from" if figures["body"] == "as before" else "trained, too"
    summary = f"Trained on from `{start}`." if start else "Trained from nothing."
    write_card(
        folder,
        ModelCard(
            title=Path(str(record["options"]["out"])).name,
            summary=f"{summary} Its body (all but the embeddings) is {kept}: SHA-256 `{record['body_sha256']}`. "
            "Parts that were trained on a body with this digest fit it.",
            data="The files named in the command below.",
            use="Opens in transformers as it is.",
            metrics="\n".join(f"- {name}: {value}" for name, value in figures.items()),
            licence="other",
        ),
    )
