"""Speed of WECHSEL's mixing matrix against the public package: ``python -m benchmarks.languages.mixing_speed``.

Random vectors and rows in the shape of GPT-2 and fastText, 50,257 tokens on each side; both ways in a process of their
own, one after the other.
"""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import tyro

from scripts._app.cli import emit

_TEMPERATURE = 0.1  # the package's default


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is measured."""

    source: int = 50_257
    """Tokens of the model."""
    target: int = 50_257
    """Tokens of the new tokenizer."""
    width: int = 300
    """Numbers in a word vector."""
    model_width: int = 768
    """Numbers in an embedding row."""
    neighbors: int = 10
    threads: int = 2


def ours(shape: Shape) -> Callable[[], object]:
    """Return what makes WECHSEL's mixing matrix and applies it."""
    import torch

    from crosslingual.vocabulary_transfer.methods import wechsel
    from crosslingual.vocabulary_transfer.subword_vectors import Reason, TokenVectors

    torch.set_num_threads(shape.threads)
    source, target, rows = _data(shape)
    found: Reason = ""
    tokens = [
        TokenVectors(vectors=vectors, starts=np.arange(len(vectors)) % 2 == 0, reasons=(found,) * len(vectors))
        for vectors in (source, target)
    ]
    return lambda: wechsel(*tokens, neighbors=shape.neighbors, temperature=_TEMPERATURE).apply(rows)


def published(shape: Shape) -> Callable[[], object]:
    """Return what does the same by the algorithm of the package wechsel 0.0.4: float64, token by token."""
    from sklearn.metrics.pairwise import cosine_similarity

    source, target, rows = _data(shape)
    source, target = source.astype(np.float64), target.astype(np.float64)

    def make() -> None:
        result = np.zeros((shape.target, shape.model_width), dtype=rows.dtype)
        for start in range(0, shape.target, 1024):
            for row, similarities in enumerate(cosine_similarity(target[start : start + 1024], source), start):
                best = np.argpartition(similarities, -shape.neighbors)[-shape.neighbors :]
                best = best[np.argsort(-similarities[best])]
                weights = np.exp(similarities[best] / _TEMPERATURE)
                total = np.zeros(shape.model_width)
                for number, weight in zip(best, weights / weights.sum(), strict=True):
                    total += rows[number] * weight
                result[row] = total

    return make


def _data(shape: Shape) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    generator = np.random.default_rng(0)
    sizes = ((shape.source, shape.width), (shape.target, shape.width), (shape.source, shape.model_width))
    source, target, rows = (generator.standard_normal(size, dtype=np.float32) for size in sizes)
    return source, target, rows


def _measured(way: Callable[[Shape], Callable[[], object]], shape: Shape) -> tuple[float, float]:
    # an almost empty run comes first: its imports are no memory of the method
    way(Shape(source=2, target=1, width=shape.width, model_width=shape.model_width, neighbors=1))()
    _data(shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make = way(shape)
    began = time.perf_counter()
    make()
    seconds = time.perf_counter() - began
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main(shape: Shape) -> None:
    """Measure both and print seconds, extra memory and their ratio."""
    figures = {}
    for way in (published, ours):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            figures[way.__name__] = process.submit(_measured, way, shape).result()
        seconds, memory = figures[way.__name__]
        emit(f"{way.__name__:10} {seconds:7.1f} s {memory:7.0f} MiB")
    emit(f"{figures['published'][0] / figures['ours'][0]:.1f} times as fast")


if __name__ == "__main__":
    main(tyro.cli(Shape))
