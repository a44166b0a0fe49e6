"""The failures we foresee: each is one sentence for the person at the keyboard, never a traceback."""

from math import inf


class PolygraftError(Exception):
    """A foreseen failure: says what was asked, what was found and what to do. The command line exits with 1."""


class UsageError(PolygraftError):
    """The command was called wrongly. The command line exits with 2."""


def check_range(options: object, names: str, low: float, high: float = inf) -> None:
    """Refuse fields of an options dataclass, ``names`` with spaces between, that are not from ``low`` to ``high``.

    Raises:
        UsageError: Names the field, its value and what is allowed.
    """
    for name in names.split():
        value = getattr(options, name)
        if not low <= value <= high:
            allowed = f"at least {low}" if high == inf else f"{low} to {high}"
            raise UsageError(f"{name} is {value}, allowed is {allowed}")
