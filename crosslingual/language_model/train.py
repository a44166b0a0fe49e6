"""Training a language model, or training one on: which of its weights, in how many phases, with what kept of the rest.

After a transfer only the embeddings have to find their places: the body knows its language and stays bit-identical, so
that what was grafted onto it still fits (de Vries and Nissim, 2021; WECHSEL's "TransInner" begins the same way).
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError
from backbone.gpt2 import Backbone
from backbone.training.config import TrainConfig
from backbone.training.distributed import join_world
from backbone.training.loop import FitResult, fit
from backbone.training.sampler import Batches
from crosslingual.language_model.loader import MixedDocuments
from crosslingual.language_model.objectives import DocumentObjective, LanguageObjective, LowRankObjective
from crosslingual.language_model.sparse_attention import SparseAttention
from crosslingual.options import AttentionOptions
from crosslingual.options import Part as Part
from crosslingual.options import Tuning as Tuning

FIRST = "embeddings-first"  # folder of the run's first phase, where there is one
_MODEL = "model."  # what the names of an objective's tensors begin with


def train_language_model(
    model: Any,
    tokenizer: Any,
    batches: Batches,
    config: TrainConfig,
    tuning: Tuning | None = None,
    *,
    attention: AttentionOptions | None = None,
    folder: Path | None = None,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
) -> FitResult:
    """Train a causal language model in place; it is in evaluation mode afterwards and all its weights are frozen.

    Args:
        model: Any causal model of transformers.
        tokenizer: Its tokenizer.
        batches: Rows of token ids, such as `crosslingual.language_model.packed_tokens.PackedTokens`, or documents of
            several languages (`crosslingual.language_model.loader.MixedDocuments`).
        config: How long and how; bounds are of both phases together.
        tuning: Which weights.
        attention: Where positions look while training; the dense tail is at the end of the last phase.
        folder: Keeps log and resume state; a call with the same folder goes on.
        evaluate: Figures of the model, asked for each ``config.eval_every`` steps.

    Raises:
        PolygraftError: See `backbone.training.loop.fit`; or lora is asked of a model without matrices in its layers, or
            with fsdp; or the model takes no attention masks.
    """
    tuning = tuning or Tuning()
    if tuning.train == "lora" and config.parallel == "fsdp":
        raise PolygraftError("lora changes whole matrices, which fsdp cuts into shards: choose --parallel ddp")
    parts: list[tuple[Part, TrainConfig, Path | None]] = [(tuning.train, config, folder)]
    if tuning.embeddings_first:
        first, rest = _phases(config, len(batches), tuning.embeddings_first)
        parts = [("embeddings", first, folder / FIRST if folder else None), (tuning.train, rest, folder)]
    results: list[FitResult] = []
    for number, (part, phase, place) in enumerate(parts, start=1):
        tail = attention.dense_tail if attention and number == len(parts) else 0.0
        with _in_training(model, config) as learning:
            options = replace(attention or AttentionOptions(), dense_tail=tail)
            sparse = SparseAttention(learning, options) if options.attention != "dense" else None
            with closing(sparse) if sparse else nullcontext():
                objective = _objective(learning, tokenizer, batches, sparse, replace(tuning, train=part))
                measure = _measured(objective, learning, evaluate)
                results += [fit(objective, batches, phase, folder=place, evaluate=measure)]
            if isinstance(objective, LowRankObjective):
                objective.merge()
            elif learning is not model:
                own = {name.removeprefix(_MODEL): tensor for name, tensor in results[-1].tensors.items()}
                model.load_state_dict(own, strict=False)
        model.requires_grad_(False).eval()
    return replace(
        results[-1],
        losses=[loss for result in results for loss in result.losses],
        steps=sum(result.steps for result in results),
        seconds=sum(result.seconds for result in results),
    )


@contextmanager
def _in_training(model: Any, config: TrainConfig) -> Iterator[Any]:
    """Yield the model to train: itself, or a copy that FSDP2 may cut into shards, which no model recovers from.

    The model waits in the memory of the host meanwhile, so that the device holds shards alone.
    """
    device = next(model.parameters()).device
    if config.parallel == "ddp" or join_world(device).size == 1:
        yield model
        return
    learning = copy.deepcopy(model)
    model.cpu()
    yield learning
    del learning
    model.to(device)


def _objective(
    model: Any, tokenizer: Any, batches: Batches, attention: SparseAttention | None, tuning: Tuning
) -> LanguageObjective | LowRankObjective:
    if isinstance(batches, MixedDocuments):
        base: LanguageObjective = DocumentObjective(
            model, batches.languages, context=batches.context, attention=attention
        )
    else:
        base = LanguageObjective(model, context=getattr(batches, "context", 0), attention=attention)
    objective: LanguageObjective | LowRankObjective = base
    if tuning.train == "lora":
        objective = LowRankObjective(base, Backbone(model, tokenizer, name="the model"), tuning.rank)
    # last, since a backbone freezes its model
    choose(model, "embeddings" if tuning.train == "lora" else tuning.train)
    return objective


def _measured(
    objective: LanguageObjective | LowRankObjective, model: Any, evaluate: Callable[[Any], dict[str, float]] | None
) -> Callable[[], dict[str, float]] | None:
    """Return what measures the model as it would be kept."""
    if evaluate is None:
        return None

    def measure() -> dict[str, float]:
        with objective.applied() if isinstance(objective, LowRankObjective) else nullcontext():
            return evaluate(model)

    return measure


def choose(model: Any, part: Part) -> None:
    """Let gradients reach one part of a model and nothing else."""
    output = model.get_output_embeddings()
    embeddings = (model.get_input_embeddings().weight, output.weight, getattr(output, "bias", None))
    own = {id(parameter) for parameter in embeddings}
    for parameter in model.parameters():
        parameter.requires_grad_(part == "all" or (id(parameter) in own) == (part != "body"))


def _phases(config: TrainConfig, samples: int, share: float) -> tuple[TrainConfig, TrainConfig]:
    steps = config.total_steps(samples) or 0
    first = min(max(1, round(share * steps)), steps - 1) if steps else 0
    if steps == 1:
        raise PolygraftError("a run of one step has no two phases: train longer, or without embeddings first")
    bounds: Mapping[str, Any] = {"epochs": 0.0, "patience": 0}
    return (
        replace(config, **bounds, steps=first, minutes=share * config.minutes),
        replace(config, epochs=0.0, steps=steps - first, minutes=(1 - share) * config.minutes),
    )
