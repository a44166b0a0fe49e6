"""What it costs to make a model's rows by each method, each in a process of its own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a method took."""

    language: str
    method: str
    seconds: float
    """To make the rows; word vectors and tokenizer not counted."""
    mebibytes: float
    """The process held at most, with the English model and all that the method is given."""


def measure_costs(code: str, data: Path, work: Path, methods: Sequence[str]) -> Iterator[Cost]:
    """Yield the cost of each method.

    Args:
        code: of the language.
        data: folder of fetched packages.
        work: folder of tokenizers and vectors.
        methods: of `STARTS`.
    """
    for method in methods:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            cost = process.submit(_cost, code, data, work, method).result()
        yield cost


def _cost(code: str, data: Path, work: Path, method: str) -> Cost:
    from crosslingual.vocabulary_transfer.transfer import peak_memory
    from starter_build.datasets.transfer_texts import TransferMaterial
    from starter_build.starter.transfer import begin

    begun = begin(method, TransferMaterial(code=code, data=data, work=work), seed=0)
    return Cost(language=code, method=method, seconds=begun.seconds, mebibytes=peak_memory() / 2**20)
