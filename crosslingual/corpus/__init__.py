"""Corpora for language models: many languages, cleaned, without duplicates, with a held-out part and a manifest.

Names are imported on first use, so that reading an options dataclass is quick.
"""

from typing import TYPE_CHECKING

from backbone import lazy

if TYPE_CHECKING:
    from crosslingual.corpus.build import build_corpus as build_corpus
    from crosslingual.corpus.corpus import Corpus as Corpus
    from crosslingual.corpus.corpus import CorpusDocument as CorpusDocument
    from crosslingual.corpus.sources import read_sources as read_sources
    from crosslingual.options import BuildOptions as BuildOptions

__getattr__, __all__ = lazy(__name__)
