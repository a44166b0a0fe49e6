"""The option --consensus of the commands that sample several captions and return the MBR winner."""

from dataclasses import replace

from backbone.errors import UsageError
from backbone.generation.config import Decoding

TEMPERATURE = 0.6
"""Of the captions that are drawn, unless another is asked for."""


def check_consensus(count: int, decoding: Decoding) -> None:
    """Refuse what contradicts it; 0 is none.

    Raises:
        UsageError: one caption is to be agreed on, or other options ask for other captions.
    """
    if count == 0:
        return
    if count < 2:
        raise UsageError(f"consensus is {count}, allowed is 0, or 2 or more")
    for name, given in {
        "beams": decoding.beams > 1,
        "contrastive": decoding.contrastive is not None,
        "num_return": decoding.num_return > 1,
    }.items():
        if given:
            value = getattr(decoding, name)
            raise UsageError(f"consensus draws captions and gives one, so {name} {value} contradicts it")


def drawn(count: int, decoding: Decoding) -> Decoding:
    """Return how captions are searched for: as asked, or so many samples."""
    if not count:
        return decoding
    return replace(decoding, temperature=decoding.temperature or TEMPERATURE, num_return=count)
