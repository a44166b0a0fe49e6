"""The door to matplotlib: plots that need no screen, as files or inline SVG."""

import io
import warnings
from typing import Any

from backbone.errors import PolygraftError


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``, drawing into memory.

    Raises:
        PolygraftError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise PolygraftError('plots need matplotlib: pip install "polygraft[plots]"') from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def inline_svg(figure: Any) -> str:
    """Return a figure as an ``<svg>`` element without references to anything outside it, and close it.

    Text stays text, so that the reader's own fonts show what matplotlib's lack. The same figure gives the same element.
    """
    plots = pyplot()
    page = io.StringIO()
    with plots.rc_context({"svg.fonttype": "none", "svg.hashsalt": "polygraft"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(page, format="svg", bbox_inches="tight", metadata=nothing)
    plots.close(figure)
    text = page.getvalue()
    return text[text.index("<svg") :]
