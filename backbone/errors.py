"""The failures we foresee: each is one sentence for the person at the keyboard, never a traceback."""


class PolygraftError(Exception):
    """A foreseen failure: says what was asked, what was found and what to do. The command line exits with 1."""


class UsageError(PolygraftError):
    """The command was called wrongly. The command line exits with 2."""
