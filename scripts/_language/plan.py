"""The dry run of `train language` (data, steps, memory), and the card and record of a trained language model."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from backbone.training.config import TrainConfig
from crosslingual.language_model.mixture import plan_tokens
from crosslingual.options import MixtureOptions
from scripts._app.cli import emit
from scripts._language.data import CorpusTexts, Options, Texts, budget_of, new_model, within_plan


def plan_training(options: Options, data: Texts | CorpusTexts) -> int:
    """Print what the training would take."""
    tokenizer, build, context = _model(options)
    sizes = {name: (size, _estimate(tokenizer, texts, size)) for name, (texts, size) in data.sample().items()}
    readings, config, budget = _readings(options, sizes, context)
    figures = _figures(options, config, budget, context, build)
    if options.json:
        emit(json.dumps({"languages": readings, **figures}))
        return 0
    emit("language\tMB\ttokens (about)\tshare\tpasses")
    for row in readings:
        megabytes = f"{row['bytes'] / 1e6:.2f}"
        emit(f"{row['language']}\t{megabytes}\t{row['tokens']}\t{row['share']:.2%}\t{row['passes']:.3g}")
    for name, value in figures.items():
        emit(f"{name}\t{_shown(value)}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, dict):  # bytes of a memory plan
        parts = ", ".join(f"{name} {size / 1e9:.3g}" for name, size in value.items() if name != "total")
        return f"{value['total'] / 1e9:.3g} GB a device ({parts})"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _model(options: Options) -> tuple[Any, Callable[[], Any], int]:
    """Return the tokenizer, what makes the model where tensors have no content, and the tokens of a row."""
    from backbone.gpt2 import Backbone
    from crosslingual.language_model.train import choose

    if options.start:
        backbone = Backbone.from_pretrained(options.start, device="cpu", dtype="float32")
        part = "embeddings" if options.tuning.train == "lora" else options.tuning.train

        def again() -> Any:
            model = type(backbone.model)(backbone.model.config)
            choose(model, part)
            return model

        return backbone.tokenizer, again, min(options.context, backbone.context)
    return *new_model(options), options.context


def _estimate(tokenizer: Any, texts: Sequence[str], size: int) -> int:
    """Return the tokens of ``size`` bytes of text, each document ended by one, from those of a sample."""
    from crosslingual.language_model.packed_tokens import token_ids

    seen = sum(len(text.encode("utf-8", "replace")) for text in texts)
    tokens = sum(len(ids) + 1 for ids in token_ids(tokenizer, texts))
    return max(1, round(size * tokens / max(seen, 1)))


def _readings(
    options: Options, sizes: dict[str, tuple[int, int]], context: int
) -> tuple[list[dict[str, Any]], TrainConfig, float]:
    """Return what is read of each language, how long, and the tokens of the stream."""
    tokens = {name: float(count) for name, (_, count) in sizes.items()}
    config = options.bounded(context)
    budget = budget_of(config, sum(tokens.values()), context)
    rule = options.mixture if options.corpus else MixtureOptions(mixture="proportional")
    amounts = {name: float(size) for name, (size, _) in sizes.items()}
    portions = plan_tokens(tokens, amounts, budget, rule, weights=options.weights)
    stream = sum(portion.amount for portion in portions.values())
    if options.corpus:
        config = within_plan(config, stream, budget, context)
    readings = [
        {
            "language": name,
            "bytes": size,
            "tokens": count,  # estimated from those of a sample
            "share": portions[name].share,
            "passes": round(portions[name].passes, 4),
        }
        for name, (size, count) in sizes.items()
    ]
    return readings, config, stream


def _figures(
    options: Options, config: TrainConfig, stream: float, context: int, build: Callable[[], Any]
) -> dict[str, Any]:
    from crosslingual.language_model.memory_plan import measure_sizes, plan_memory

    rows = math.ceil(config.batch_size / options.devices)
    rows = min(rows, config.micro_batch or rows)
    mixed = _is_mixed(options)
    sizes = measure_sizes(build, rows, context, mixed=mixed, checkpointing=config.activation_checkpointing)
    per_step = config.batch_size * context
    clock = f"as many as fit into {config.minutes:g} minutes"
    steps = config.total_steps(math.ceil(stream / context))
    kinds: Sequence[Literal["ddp", "fsdp"]] = ("ddp", "fsdp") if options.devices > 1 else ("ddp",)
    plans = {kind: plan_memory(sizes, replace(config, parallel=kind), options.devices) for kind in kinds}
    return {
        "steps": clock if steps is None else steps,
        "tokens_per_step": per_step,
        "tokens": clock if steps is None else steps * per_step,
        "parameters": sizes.parameters,
        "devices": options.devices,
        "rows_at_once": rows,
        "products_in": "bfloat16" if mixed else "float32",
    } | {f"memory_{kind}": plan for kind, plan in plans.items()}


def _is_mixed(options: Options) -> bool:
    """Return whether products would be made in bfloat16; several devices are taken for GPUs."""
    from backbone.device import autocast, pick_device

    if options.devices > 1:
        return True
    import torch

    device = pick_device(options.device)
    with autocast(device):
        return torch.is_autocast_enabled(device.type)
