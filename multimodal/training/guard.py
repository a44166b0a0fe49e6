"""The collapse guard: stops a training whose captioner says the same about every picture."""

from collections.abc import Sequence

from backbone.errors import PolygraftError


class CollapseError(PolygraftError):
    """The captioner in training gives nearly all pictures the same caption."""


def distinct_share(texts: Sequence[str]) -> float:
    """Return the share of different texts among ``texts``, case and spacing aside; 0 where there are none."""
    return len({" ".join(text.casefold().split()) for text in texts}) / max(1, len(texts))


class CollapseGuard:
    """Watches the captions of the same few held-out pictures during a training.

    One caption for all is the commonest way in which prefix captioners fail, and their loss does not show it.

    Args:
        truths: the true caption of each picture watched. Data with few captions cannot be asked for many.
        least: smallest share of distinct captions, as a part of the share among ``truths``.
        grace: low shares in a row that are let pass: a healthy training too begins with a few captions for all.
    """

    def __init__(self, truths: Sequence[str], *, least: float = 0.25, grace: int = 4) -> None:
        self._pictures = len(truths)
        self._least = least * distinct_share(truths)
        self._grace = grace
        self._low = 0

    def is_low(self, share: float) -> bool:
        """Return whether a share of distinct captions is that of a collapsed captioner."""
        return share < self._least

    def check(self, share: float) -> None:
        """Take note of the share of distinct captions, as `distinct_share` gives it.

        Raises:
            CollapseError: it has been low too often without a break.
        """
        self._low = self._low + 1 if self.is_low(share) else 0
        if self._low > self._grace:
            raise CollapseError(
                "training stopped because the captioner has collapsed: it has "
                f"{round(share * self._pictures)} different captions for {self._pictures} validation pictures; try a "
                "lower --lr, a longer --warmup or the other --mapper"
            )
