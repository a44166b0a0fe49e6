"""Corpora for language models: many languages, cleaned, without duplicates, with a held-out part and a manifest.

Names are imported on first use, so that reading an options dataclass is quick.
"""

from typing import TYPE_CHECKING

from backbone.lazy import lazy

if TYPE_CHECKING:
    from crosslingual.corpus.build import build_corpus as build_corpus
    from crosslingual.corpus.corpus import Corpus as Corpus
    from crosslingual.corpus.corpus import CorpusDocument as CorpusDocument
    from crosslingual.corpus.options import BuildOptions as BuildOptions
    from crosslingual.corpus.sources import read_sources as read_sources

_HOME = {
    "BuildOptions": "crosslingual.corpus.options",
    "Corpus": "crosslingual.corpus.corpus",
    "CorpusDocument": "crosslingual.corpus.corpus",
    "build_corpus": "crosslingual.corpus.build",
    "read_sources": "crosslingual.corpus.sources",
}
__all__ = ["BuildOptions", "Corpus", "CorpusDocument", "build_corpus", "read_sources"]

__getattr__ = lazy(__name__, _HOME)
