"""Tokens a second in training: our loop, a plain one, the Trainer of transformers, in turn on one model and text."""

import copy
import math
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.errors import PolygraftError
from benchmarks.common import medians
from scripts._app.cli import remark

if TYPE_CHECKING:
    from crosslingual.language_model.packed_tokens import PackedTokens

_LR, _CLIP, _DECAY = 1e-3, 1.0, 0.01


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How much is trained in one measurement."""

    steps: int = 8
    """Optimizer steps."""
    batch: int = 32
    """Rows of a step."""
    micro_batch: int = 16
    """Rows at a time."""
    repeats: int = 5
    """Measurements of each loop, in turn."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is trained, on what: a process can make it of this."""

    tokenizer: Path  # its folder
    tokens: Path  # file of packed tokens
    size: str = "mini"
    context: int = 256

    def model(self, tokenizer: Any) -> Any:
        """Return an untrained model."""
        from crosslingual.options import shape
        from crosslingual.tokenization.train import untrained_gpt2

        layers, width, heads = shape(self.size)
        return untrained_gpt2(tokenizer, context=self.context, width=width, layers=layers, heads=heads)

    def open(self) -> "tuple[Any, Any, PackedTokens]":
        """Return an untrained model, its tokenizer and rows of text."""
        from backbone.hf.loading import load_tokenizer
        from crosslingual.language_model.packed_tokens import PackedTokens

        tokenizer = load_tokenizer(str(self.tokenizer))
        return self.model(tokenizer), tokenizer, PackedTokens.open(self.tokens, self.context)


def measure_speed(setup: Setup, options: Measurement) -> dict[str, dict[str, float]]:
    """Return the tokens a second of each loop, ours first, and the share of the peak of matrix products.

    Each has a process of its own, which waits while the others run: what one does to its process, such as settings of
    the allocator, is neither given to the others nor kept from it.

    Args:
        setup: The model and the text.
        options: The lengths of measurements.

    Raises:
        PolygraftError: Accelerate is not installed, or a process ended.
    """
    import torch

    from backbone.hf.loading import load_tokenizer
    from backbone.training.mfu import measure_peak
    from crosslingual.language_model.objectives import training_work

    if find_spec("accelerate") is None:
        raise PolygraftError('the Trainer of transformers needs accelerate: pip install "polygraft[bench]"')
    peaks: list[float] = []

    def peak() -> None:
        peaks.append(measure_peak(torch.device("cpu"), torch.float32))

    with ExitStack() as stack:
        loops = [stack.enter_context(_process(name, setup, options)) for name in _LOOPS]
        seconds = medians([*loops, peak], options.repeats, "training")
    work = training_work(setup.model(load_tokenizer(str(setup.tokenizer))), setup.context)
    remark(f"peak of matrix products: {max(peaks) / 1e9:.0f} GFLOP a second")
    tokens = options.steps * options.batch * setup.context
    return {
        name: {
            "tokens a second": round(tokens / taken),
            "ours against it": taken / seconds[0],
            "share of the peak": tokens / taken * work / max(peaks),
        }
        for name, taken in zip(_LOOPS, seconds[:-1], strict=True)
    }


@contextmanager
def _process(name: str, setup: Setup, options: Measurement) -> Iterator[Callable[[], None]]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(name, setup, options, there), daemon=True)
    process.start()
    there.close()

    def run() -> None:
        here.send(True)
        try:
            here.recv()
        except EOFError:
            raise PolygraftError(f"the process that runs {name} has ended: see what it says") from None

    try:
        yield run
    finally:
        here.close()
        process.join()


def _serve(name: str, setup: Setup, options: Measurement, connection: Any) -> None:
    model, tokenizer, rows = setup.open()
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        _LOOPS[name](copy.deepcopy(model), tokenizer, rows, options)
        connection.send(True)


def _ours(model: Any, tokenizer: Any, rows: "PackedTokens", options: Measurement) -> None:
    from backbone.training.config import TrainConfig
    from crosslingual.language_model.train import train_language_model

    config = TrainConfig(
        steps=options.steps, batch_size=options.batch, micro_batch=options.micro_batch, lr=_LR, weight_decay=_DECAY,
        clip_norm=_CLIP, save_every=0,
    )  # fmt: skip
    train_language_model(model, tokenizer, rows, config)


def _plain(model: Any, _tokenizer: Any, rows: "PackedTokens", options: Measurement) -> None:
    # as nanoGPT's train.py: random rows, accumulated gradients, AdamW, clipping, a cosine
    import torch
    from torch.nn.functional import cross_entropy

    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LR, betas=(0.9, 0.98), weight_decay=_DECAY)
    parts = options.batch // options.micro_batch
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = _LR * 0.5 * (1 + math.cos(math.pi * step / options.steps))
        for _ in range(parts):
            batch = rows.collate(torch.randint(len(rows), (options.micro_batch,)).tolist())
            logits = model(batch[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()) / parts
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _trainer(model: Any, _tokenizer: Any, rows: "PackedTokens", options: Measurement) -> None:
    from transformers import PrinterCallback, Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=options.steps, per_device_train_batch_size=options.micro_batch,
            gradient_accumulation_steps=options.batch // options.micro_batch, learning_rate=_LR, weight_decay=_DECAY,
            max_grad_norm=_CLIP, lr_scheduler_type="cosine", save_strategy="no", logging_strategy="no",
            report_to=[], use_cpu=True, disable_tqdm=True, seed=0,
        )  # fmt: skip
        trainer = Trainer(model=model, args=arguments, train_dataset=_Rows(rows))
        trainer.remove_callback(PrinterCallback)  # it prints where results go
        trainer.train()


class _Rows:
    """Rows as the Trainer wants them; the model itself moves the labels by one."""

    def __init__(self, rows: "PackedTokens") -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self.rows.collate([index])[0, :-1]
        return {"input_ids": ids, "labels": ids}


_LOOPS: dict[str, Callable[..., None]] = {"polygraft": _ours, "plain loop": _plain, "transformers' Trainer": _trainer}
