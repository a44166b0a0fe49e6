"""polygraft train language french.txt --from models/french --out runs/french

Train a language model on text, from another model or from scratch.

TEXT are UTF-8 files: each file is a document, and so is each row of a .jsonl file with a "text". With --from, the model
in a folder or on a hub is trained on, such as one that transfer has made; --train selects which of its weights.
embeddings leaves the body bit-identical, so that captioners and narrators trained on it still fit.
--embeddings-first 0.1 --train all trains the embeddings alone for the first tenth, then everything. Without --from, a
GPT-2 of --size is trained from scratch with the tokenizer of --tokenizer.

With --corpus, a folder that corpus build has made, --mixture sets the shares of its languages, documents in one row do
not attend to one another, and the loss of each language is logged. --dry-run prints the data, the steps and the memory
that a run would need, also for machines that are not at hand:

    polygraft train language --corpus corpus --tokenizer tokenizer --size mgpt-13b --out runs/13b
        --context 512 --batch-size 2048 --micro-batch 4 --steps 600000 --activation-checkpointing
        --devices 512 --dry-run

Whole documents are held out: those of --validation, or a share of the others. They select the weights that are kept
(fewest bits per byte). A corpus has a held-out part of each language, whose mean counts. Without --steps, --tokens,
--epochs or --minutes the training makes one pass. An interrupted run is resumed when the same command is given again;
under torchrun it uses all processes.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.checkpoint import RECORD, ModelCard, made_with, write_card
from backbone.io.files import write_json
from scripts._app.cli import remark, run_file, tell
from scripts._app.run_folder import TRANSFER, begin, finish, is_finished
from scripts._language.data import Options as Options
from scripts._language.data import measure_with, new_model, open_data

if TYPE_CHECKING:
    from backbone.gpt2 import Backbone
    from backbone.training.loop import FitResult


SHOWN = (
    "out", "corpus", "from", "tokenizer", "size", "context", "tokens", "mixture", "train", "steps", "epochs",
    "minutes", "batch_size", "micro_batch", "optimizer", "lr", "seed", "overwrite", "device", "json",
)  # fmt: skip
"""Options of the help page; --config and the command line take all."""


def main(options: Options) -> int:
    """Train, or go on training; the folder holds the model then."""
    if options.dry_run:
        from scripts._language.plan import plan_training

        return plan_training(options, open_data(options))
    if is_finished(options.out, whole_model=True) and not options.overwrite:
        remark(f"{options.out} is finished: measure it with evaluate language, or train again with --overwrite")
        return 0
    from backbone.device import pick_device
    from backbone.training.distributed import join_world
    from crosslingual.language_model.train import train_language_model

    world = join_world(pick_device(options.device))
    data = open_data(options)
    backbone = _untrained(options)
    # the digests of a model follow its weights, which the training changes in place
    origin = (backbone.body_digest, (backbone.digest, *backbone.kin)) if options.start else None
    measure = measure_with(data.held_out(), backbone, min(options.context, backbone.context))
    if world.first and begin(options.out, _settings(options, data.settings()), overwrite=options.overwrite):
        remark(f"going on with the run in {options.out}")
    world.barrier()
    rows, config = data.rows(backbone, world)
    result = train_language_model(
        backbone.model, backbone.tokenizer, rows, config, options.tuning,
        attention=options.attention, folder=options.out, evaluate=measure,
    )  # fmt: skip
    if world.first:
        _keep(options, backbone, result, origin)
    world.barrier()
    return 0


def _settings(options: Options, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes it the same run."""
    names = {name: getattr(options, name) for name in ("start", "tokenizer", "size", "context")}
    attention = asdict(options.attention) if options.attention.attention != "dense" else {}
    return {**names, **data, **asdict(options.tuning), **attention, **options.training.bounded(passes=1.0).identity()}


def _untrained(options: Options) -> "Backbone":
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone

    if options.start:
        return Backbone.from_pretrained(options.start, device=options.device, dtype="float32")
    tokenizer, build = new_model(options)
    seed_everything(options.training.seed)
    return Backbone.from_parts(build(), tokenizer, name=options.out.name, device=options.device)


def _keep(
    options: Options, backbone: "Backbone", result: "FitResult", origin: tuple[str, tuple[str, ...]] | None
) -> None:
    """Put the model in the run's place and print the figures."""
    from backbone.gpt2 import Backbone
    from backbone.hf.loading import save_model
    from backbone.hf.stored_models import write_kin

    trained = Backbone(backbone.model, backbone.tokenizer, name=options.out.name)  # its digests are other ones now
    same_body = origin is not None and trained.body_digest == origin[0]
    figures: dict[str, Any] = {"steps": result.steps, "seconds": round(result.seconds, 1)}
    figures |= {name: value for name, value in result.metrics.items() if name != "score"}
    figures["body"] = "as before" if same_body else "trained"
    record = {"options": asdict(options), "figures": figures, "body_sha256": trained.body_digest}

    def save(folder: Path) -> None:
        save_model(trained.model, trained.tokenizer, folder)
        _write_record(folder, options.start, record)
        if origin is not None and same_body:
            write_kin(folder, *origin)

    finish(options.out, save)
    tell({"out": str(options.out), **figures}, as_json=options.json, digits=4)


def _write_record(folder: Path, start: str, record: Mapping[str, Any]) -> None:
    """Write ``README.md`` and ``training.json``; the record of the transfer that the model began with is kept."""
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


if __name__ == "__main__":
    run_file(__file__)
