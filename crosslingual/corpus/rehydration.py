"""How often a text is repeated that stood for a cluster of near duplicates (FineWeb-2, Penedo et al., 2025)."""

from bisect import bisect_right

# What people copy a few times is good text; what stands in a thousand places is boilerplate.
_FROM = (1, 2, 3, 5, 100, 1000)
_COPIES = (1, 2, 3, 5, 8, 1)


def copies(cluster_size: int) -> int:
    """Return how often a text is to be repeated for a cluster of so many, itself among them."""
    return _COPIES[bisect_right(_FROM, cluster_size) - 1]
