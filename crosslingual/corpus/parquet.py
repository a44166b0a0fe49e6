"""Parquet files, and data sets streamed by `datasets`: the only door to both libraries."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backbone.errors import PolygraftError
from crosslingual.corpus.sources import Source

_ROWS = 256  # held in memory at a time


def read_parquet(path: Path, field: str) -> Iterator[Any]:
    """Yield the values of a column of a parquet file.

    Raises:
        PolygraftError: pyarrow is not installed, the file is damaged, or it has no such column.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise PolygraftError('reading parquet needs pyarrow: pip install "polygraft[corpus]"') from None
    try:
        with ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                names = ", ".join(file.schema_arrow.names)
                raise PolygraftError(f"{path} has no column {field!r}, only {names}: give the source a text field")
            for batch in file.iter_batches(batch_size=_ROWS, columns=[field]):
                yield from batch.column(0).to_pylist()
    except (ArrowException, OSError) as error:
        raise PolygraftError(f"{path} is damaged or no parquet file ({' '.join(str(error).split())})") from None


def count_shards(source: Source) -> int:
    """Return the number of shards of a source's data set.

    Raises:
        PolygraftError: `datasets` is not installed, or cannot load it.
    """
    return int(_stream(source).num_shards)


def read_shard(source: Source, shard: int) -> Iterator[Any]:
    """Yield the texts of one shard of a source's data set.

    Raises:
        PolygraftError: the data set has no such field, or cannot be loaded.
    """
    stream = _stream(source)
    for row in stream.shard(num_shards=stream.num_shards, index=shard):
        if source.text not in row:
            raise PolygraftError(
                f"data set {source.dataset} has no field {source.text!r}, only {', '.join(row)}: give source "
                f"{source.name!r} a text field"
            )
        yield row[source.text]


def _stream(source: Source) -> Any:
    try:
        from datasets import load_dataset
    except ImportError:
        raise PolygraftError('reading a data set needs datasets: pip install "polygraft[corpus]"') from None
    try:
        return load_dataset(source.dataset, source.config or None, split=source.split, streaming=True)
    except Exception as error:  # whatever the loader of a data set raises
        raise PolygraftError(
            f"data set {source.dataset} cannot be loaded ({' '.join(str(error).split())}): check name, configuration "
            "and split"
        ) from None
