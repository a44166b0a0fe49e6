"""polygraft train language french.txt --from models/french --out runs/french

Train a language model on text, from another one or from nothing.

TEXT are UTF-8 files: each file is a document, and each row of a .jsonl file with a "text". With --from, the model in a
folder or on a hub is trained on, such as one that transfer has made; --train says which of its weights. embeddings
leaves the body bit-identical, so that captioners and narrators trained on it still fit. --embeddings-first 0.1
--train all trains the embeddings alone in the first tenth, then everything. Without --from, a GPT-2 of --size is
trained from nothing with the tokenizer of --tokenizer.

Whole documents are held out: those of --validation, or a share of the others. They choose the weights that are kept
(fewest bits per byte). Without --steps, --epochs or --minutes the training makes one pass. A run that was interrupted
goes on when the same command is given again; under torchrun it uses all processes.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from backbone.errors import PolygraftError, UsageError
from crosslingual.tuning import Tuning, shape
from scripts._cli import Device, Json, remark, run_file, stage
from scripts._documents import hold_out, read_documents
from scripts._runs import Training, begin, finish, is_finished_model, tell_figures

if TYPE_CHECKING:
    from backbone.distributed import World
    from backbone.gpt2 import Backbone
    from backbone.training import FitResult
    from crosslingual.language_model import PackedTokens


@dataclass(frozen=True, kw_only=True)
class LanguageTraining(Training):
    """How the model is trained."""

    PASSES: ClassVar[float] = 1.0
    """Bound where none is given."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to learn from, which model, and where to keep it."""

    texts: tyro.conf.Positional[tuple[Path, ...]]
    """Files of text; `-`: standard input."""
    out: Path
    """Folder: the run while it lasts, the model once it is done."""
    start: Annotated[str, tyro.conf.arg(name="from")] = ""
    """Model to train on: a folder, a name on a hub, or starter. Without it, one begins from nothing."""
    tokenizer: str = ""
    """Tokenizer of a model from nothing: a folder, a tokenizer.json, or a name on a hub."""
    size: str = "mini"
    """Of a model from nothing: a name, or layers,width,heads such as 4,256,4."""
    context: int = 256
    """Tokens in a row of training; of a model from nothing, its positions."""
    validation: tuple[Path, ...] = ()
    """Files of text to hold out; without them --val-share of the documents."""
    val_share: float = 0.01
    """Share of the documents that is held out; 0: none, and nothing chooses."""
    tuning: Tuning = field(default_factory=Tuning)
    training: LanguageTraining = field(
        default_factory=lambda: LanguageTraining(batch_size=32, micro_batch=8, lr=1e-3, eval_every=200, save_every=100)
    )
    overwrite: bool = False
    """Train again where a training is finished, or start anew where one with other settings is not."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        if not self.texts:
            raise UsageError("no text to learn from: give files, or - for standard input")
        if bool(self.start) == bool(self.tokenizer):
            raise UsageError(
                "give either --from, a model to train on, or --tokenizer, for one that begins from nothing"
            )
        if not self.start and (self.tuning.train != "all" or self.tuning.embeddings_first):
            raise UsageError("a model that begins from nothing is trained whole: leave --train all")
        if not 0 <= self.val_share < 1:
            raise UsageError(f"val_share is {self.val_share}, allowed is 0 up to, but not, 1")
        if self.context < 2:
            raise UsageError(f"context is {self.context}, allowed is at least 2")
        shape(self.size)


def main(options: Options) -> int:
    """Train, or go on training; the folder holds the model then."""
    if is_finished_model(options.out) and not options.overwrite:
        remark(f"{options.out} is finished: measure it with evaluate language, or train again with --overwrite")
        return 0
    from backbone.device import pick_device
    from backbone.distributed import join_world
    from crosslingual.language_training import train_language_model

    world = join_world(pick_device(options.device))
    training, held = _documents(options)
    backbone = _untrained(options)
    origin = _Origin.of(backbone) if options.start else None
    measure = _measure(backbone, held, min(options.context, backbone.context)) if held else None
    if world.first and begin(options.out, _settings(options, training, held), overwrite=options.overwrite):
        remark(f"going on with the run in {options.out}")
    world.barrier()
    rows = _packed(options, backbone, training, world)
    result = train_language_model(
        backbone.model, backbone.tokenizer, rows, options.training.bounded(), options.tuning,
        folder=options.out, evaluate=measure,
    )  # fmt: skip
    if world.first:
        figures = measure(backbone.model) if measure else {}
        _keep(options, backbone, result, figures, origin)
    world.barrier()
    return 0


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """The model that was trained on, as it was before."""

    body: str
    """Digest of its body."""
    models: tuple[str, ...]
    """Its own digest, and those of models with the same body."""

    @classmethod
    def of(cls, backbone: "Backbone") -> "_Origin":
        return cls(body=backbone.body_digest, models=(backbone.digest, *backbone.kin))


def _documents(options: Options) -> tuple[list[str], list[str]]:
    """Return the documents to learn from and those held out; a text on both sides is held out."""
    found = read_documents(options.texts)
    if options.validation:
        held = read_documents(options.validation)
        known = set(held)
        training = [text for text in found if text not in known]
        if len(training) < len(found):
            remark(f"{len(found) - len(training)} documents left out of training: they are held out, too")
    else:
        training, held = hold_out(found, options.val_share, options.training.seed)
    if options.val_share and not held:
        remark("one document alone, so nothing is held out: give others with --validation")
    if not training:
        raise PolygraftError("no text is left to learn from: all of it is held out")
    return training, held


def _settings(options: Options, training: Sequence[str], held: Sequence[str]) -> dict[str, Any]:
    """Return what makes it the same run."""
    names = {name: getattr(options, name) for name in ("start", "tokenizer", "size", "context")}
    data = {"data": _digest(training), "held-out data": _digest(held)}
    return {**names, **data, **asdict(options.tuning), **options.training.bounded().identity()}


def _digest(documents: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(documents).encode("utf-8", "replace")).hexdigest()[:16]


def _untrained(options: Options) -> "Backbone":
    from backbone.device import seed_everything
    from backbone.gpt2 import Backbone
    from backbone.pretrained import load_tokenizer
    from crosslingual.tokenizers import blank_gpt2

    if options.start:
        return Backbone.from_pretrained(options.start, device=options.device, dtype="float32")
    layers, width, heads = shape(options.size)
    tokenizer = load_tokenizer(options.tokenizer)
    seed_everything(options.training.seed)
    model = blank_gpt2(tokenizer, context=options.context, width=width, layers=layers, heads=heads)
    return Backbone.from_parts(model, tokenizer, name=options.out.name, device=options.device)


def _packed(options: Options, backbone: "Backbone", training: Sequence[str], world: "World") -> "PackedTokens":
    """Return the tokens of the text, which the first process writes into the run."""
    import numpy as np

    from backbone.files import atomic_file
    from crosslingual.language_model import PackedTokens, pack

    path = options.out / "tokens.npy"
    if world.first and not path.is_file():
        stage("tokenizing the text")
        with atomic_file(path) as partial:
            pack(training, backbone.tokenizer, partial)
    world.barrier()
    return PackedTokens(np.load(path, mmap_mode="r", allow_pickle=False), min(options.context, backbone.context))


def _measure(backbone: "Backbone", held: Sequence[str], context: int) -> Callable[[Any], dict[str, float]]:
    """Return what measures a model on the held-out documents."""
    from crosslingual.scoring import score_text

    def measure(model: Any) -> dict[str, float]:
        bits = score_text(model, backbone.tokenizer, held, context=context).bits_per_byte
        return {"score": -bits, "bits_per_byte": bits}

    return measure


def _keep(
    options: Options, backbone: "Backbone", result: "FitResult", measured: dict[str, float], origin: _Origin | None
) -> None:
    """Put the model in the run's place and print the figures."""
    from backbone.gpt2 import Backbone
    from backbone.kinship import write_kin
    from backbone.pretrained import save_model
    from scripts._language_card import write_training

    trained = Backbone(backbone.model, backbone.tokenizer, name=options.out.name)  # its digests are other ones now
    same_body = origin is not None and trained.body_digest == origin.body
    figures: dict[str, Any] = {"steps": result.steps, "seconds": round(result.seconds, 1)}
    figures |= {name: value for name, value in measured.items() if name != "score"}
    figures["body"] = "as before" if same_body else "trained"
    record = {"options": asdict(options), "figures": figures, "body_sha256": trained.body_digest}

    def save(folder: Path) -> None:
        save_model(trained.model, trained.tokenizer, folder)
        write_training(folder, options.start, record)
        if origin is not None and same_body:
            write_kin(folder, origin.body, origin.models)

    finish(options.out, save)
    tell_figures(options.out, figures, as_json=options.json)


if __name__ == "__main__":
    run_file(__file__)
