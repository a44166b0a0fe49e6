"""A toy language model run that tests start in processes of their own: `python toy_training.py OPTIONS_JSON`.

Options: the fields of TrainConfig, plus `out` (folder), `report` (file), `slow` (seconds of delay
a step), `dropout` and `spike` (the step whose batch makes the loss not finite).
"""

import hashlib
import json
import math
import os
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from backbone.training.loop import TrainConfig, fit
from backbone.training.sampler import SampleOrder
from crosslingual.language_model.packed_tokens import PackedTokens

VOCABULARY, WIDTH, CONTEXT = 61, 32, 16


class Block(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        mixed = x.cumsum(1) / torch.arange(1, x.shape[1] + 1, device=x.device).view(1, -1, 1)
        return x + self.dropout(self.down(torch.relu(self.up(self.norm(x + mixed)))))


class Toy(nn.Module):
    """A tied language model with blocks, small enough for a step in milliseconds."""

    def __init__(self, dropout: float = 0.0, delay: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList([Block(dropout), Block(dropout)])
        self.norm = nn.LayerNorm(WIDTH)
        self.delay = delay

    def forward(self, rows):
        time.sleep(self.delay)
        rows = rows.to(self.embedding.weight.device)
        x = self.embedding(rows[:, :-1])
        for block in self.blocks:
            x = block(x)
        logits = self.norm(x) @ self.embedding.weight.T
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")
        return loss, torch.tensor(float(rows[:, 1:].numel()))


def toy_rows() -> PackedTokens:
    """Return a learnable text: a walk with small steps round a ring of tokens."""
    generator = np.random.default_rng(0)
    walk = np.cumsum(generator.integers(0, 3, size=CONTEXT * 100 + 1)) % VOCABULARY
    return PackedTokens(walk.astype(np.uint16), CONTEXT)


class Spiky(Toy):
    """Its loss is not finite, or is high, for batches that hold certain rows."""

    def __init__(self, rows=(), factor: float = math.nan, **options: float) -> None:
        super().__init__(**options)
        self.bad, self.factor = {tuple(row.tolist()) for row in rows}, factor
        self.seen: list[tuple[int, ...]] = []

    def forward(self, rows):
        loss, weight = super().forward(rows)
        found = [tuple(row.tolist()) for row in rows]
        self.seen += found
        return loss * (self.factor if self.bad & set(found) else 1.0), weight


def toy(seed: int = 0, **options: float) -> Toy:
    torch.manual_seed(seed)
    return Toy(**options)


def spiky(step: int, seed: int = 0, size: int = 4, **options: float) -> Spiky:
    """Return a module that the batch of one step hurts."""
    rows = toy_rows()
    places = SampleOrder(len(rows), 0, rows.digest).take(step * size, (step + 1) * size)
    torch.manual_seed(seed)
    return Spiky(rows.collate(places), **options)


def run(options: dict[str, object]) -> None:
    out, report = Path(str(options.pop("out"))), Path(str(options.pop("report")))
    rank = os.environ.get("RANK", "0")
    (out / f"pid-{rank}").write_text(str(os.getpid()))  # for the tests that kill
    spike = options.pop("spike", None)
    make = toy if spike is None else partial(spiky, spike, size=options["batch_size"])
    module = make(dropout=options.pop("dropout", 0.0), delay=options.pop("slow", 0.0))
    result = fit(module, toy_rows(), TrainConfig(**options), folder=out)
    if rank == "0":
        weights = {name: tensor.double().sum().item() for name, tensor in result.tensors.items()}
        content = b"".join(tensor.numpy().tobytes() for tensor in result.tensors.values())
        figures = {"losses": result.losses, "steps": result.steps, "weights": weights}
        report.write_text(json.dumps({**figures, "sha256": hashlib.sha256(content).hexdigest()}))


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
