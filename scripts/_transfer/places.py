"""Where a transfer writes: checked before the work, so that an hour is not lost on a folder that is taken."""

from pathlib import Path

from backbone.errors import PolygraftError
from backbone.io.atomic_files import is_free
from scripts._transfer.options import Options

TRANSFER = "transfer.json"
"""What a transferred model has beside transformers' files."""


def check_places(options: Options) -> None:
    """Refuse places that are taken, and a report that could not be drawn.

    Raises:
        PolygraftError: --out, --save-mixing or --report is taken or in no folder, or matplotlib is not installed.
    """
    _check_out(options.out, overwrite=options.overwrite)
    if options.save_mixing is not None and not is_free(options.save_mixing):
        raise PolygraftError(f"{options.save_mixing} exists already and is not replaced: choose another --save-mixing")
    if options.report is not None:
        _check_report(options.report, options.out, overwrite=options.overwrite)
        from scripts._app.plots import pyplot

        pyplot()


def _check_out(out: Path, *, overwrite: bool) -> None:
    if is_free(out):
        return
    if not (out / TRANSFER).is_file():
        raise PolygraftError(f"{out} holds something else than a transferred model: choose another --out or remove it")
    if not overwrite:
        raise PolygraftError(f"{out} holds a transferred model already: --overwrite replaces it")


def _check_report(path: Path, out: Path, *, overwrite: bool) -> None:
    if path.is_dir():
        raise PolygraftError(f"{path} is a folder, but --report is a file")
    if path.exists() and not overwrite:
        raise PolygraftError(f"{path} exists already: --overwrite replaces it")
    if path.parent != out and not path.parent.is_dir():
        raise PolygraftError(f"there is no folder {path.parent}: make it or choose another --report")
