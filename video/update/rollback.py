"""Rolls updates of a vocabulary back, and locks its folder while it changes; imports no torch."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backbone.errors import PolygraftError
from video.vocabulary.storage import Update, save_update
from video.vocabulary.vocabulary import NarrationVocabulary


def rollback(folder: str | Path, update_id: str = "") -> Update:
    """Roll an update back: its narrations go, its record stays. Other updates are untouched.

    Args:
        folder: Of a vocabulary.
        update_id: Which; empty: the latest that is not rolled back yet.

    Returns:
        The update as it was.

    Raises:
        PolygraftError: There is no such update, it was rolled back before, or the folder is damaged or in use.
    """
    folder = Path(folder)
    with locked(folder):
        # opened as a whole, so that nothing is changed in a folder that is no vocabulary
        updates = NarrationVocabulary.from_pretrained(folder).updates
        there = {update.header.id: update for update in updates if update.header.state != "rolled back"}
        chosen = update_id or max(there, default="")
        if not updates or not chosen:
            raise PolygraftError(f"{folder} has no update to roll back: it is as it was built")
        if chosen not in there:
            gone = any(update.header.id == chosen for update in updates)
            found = f"was rolled back before: {chosen}" if gone else f"does not exist: {chosen}"
            raise PolygraftError(f"the update of {folder} {found}; there are {', '.join(there) or 'none'}")
        save_update(folder, there[chosen].in_state("rolled back"))
        return there[chosen]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change a vocabulary; another fails at once."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise PolygraftError(f"the vocabulary {folder} cannot be opened: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise PolygraftError(f"{folder} is being updated by another process: wait for it") from None
            # a file system without locks: one process at a time is then up to the user
        yield
    finally:
        os.close(descriptor)
