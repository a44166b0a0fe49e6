"""Captions for any number of image files: decoded ahead in threads, captioned in batches, bad files set apart."""

import math
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.generation.config import Decoding
from backbone.gpt2 import Generation
from backbone.io.images import open_image
from multimodal.captioner import Captioner
from multimodal.profile.profile import NOBODY, Context, Profile
from multimodal.reranking.rerank import KNOWN, VOTERS, choose
from multimodal.users.neighbors import Neighbours

_THREADS = 4  # that open files; each holds one image in full, the rest of the batch is prepared pixels

Opened = Tensor | str  # prepared pixels (3, height, width), or why there are none


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """An image file and its captions, or why there are none."""

    path: Path
    captions: tuple[Generation, ...] = ()
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class UserSettings:
    """Whose style captions are in, and which of several are given."""

    profile: Profile | None = None  # None: no user
    personal: float = 1.0  # how much so, see `Captioner.generate`
    neighbours: Neighbours | None = None  # who shares past captions to that user; None: nobody
    consensus: bool = False  # give one of the captions or of the past ones, by MBR; else all captions are given


NOBODYS = UserSettings()


def caption_files(
    captioner: Captioner,
    paths: Iterable[Path],
    decoding: Decoding,
    *,
    user: UserSettings = NOBODYS,
    batch_size: int = 32,
) -> Iterator[Captioned]:
    """Caption files in the order given, each batch as soon as it is done; one that cannot be read fails alone.

    While a batch is captioned the files of the next one are opened. ``paths`` may be endless.
    """
    batch: list[tuple[Path, Opened]] = []
    images = 0
    for path, opened in _open_ahead(captioner.encoder, paths, batch_size):
        batch.append((path, opened))
        images += isinstance(opened, Tensor)
        if images == batch_size:
            yield from _caption_batch(captioner, batch, decoding, user)
            batch, images = [], 0
    yield from _caption_batch(captioner, batch, decoding, user)


def _caption_batch(
    captioner: Captioner, batch: list[tuple[Path, Opened]], decoding: Decoding, user: UserSettings
) -> Iterator[Captioned]:
    pixels = [opened for _, opened in batch if isinstance(opened, Tensor)]
    captions: Iterator[list[Generation]] = iter(())
    if pixels:
        features = captioner.encoder.encode_pixels(torch.stack(pixels), grid=captioner.config.features == "grid")
        users = None
        if user.profile is not None:
            voters = VOTERS if user.consensus else 0
            users = captioner.contexts(user.profile, features, neighbours=user.neighbours, voters=voters)
        made = captioner.generate(features, decoding, users=users, personal=user.personal, batch_size=len(pixels))
        if user.consensus:
            known = user.profile.texts[-KNOWN:] if user.profile else ()
            shown = users or [NOBODY] * len(made)
            made = [[_reranked(*row, known)] for row in zip(made, shown, strict=True)]
        captions = iter(made)
    for path, opened in batch:
        if isinstance(opened, Tensor):
            yield Captioned(path=path, captions=tuple(next(captions)))
        else:
            yield Captioned(path=path, error=opened)


def _reranked(drawn: Sequence[Generation], shown: Context, known: Sequence[str]) -> Generation:
    chosen = choose([one.text for one in drawn], shown, known)
    if chosen < len(drawn):
        return drawn[chosen]
    # a past caption has no tokens and no score
    return Generation(text=shown.voters[chosen - len(drawn)].text, ids=(), score=math.nan)


def _open_ahead(encoder: ImageEncoder, paths: Iterable[Path], ahead: int) -> Iterator[tuple[Path, Opened]]:
    """Yield each path with its pixels, or with the sentence that says why it cannot be read."""

    def open_one(path: Path) -> tuple[Path, Opened]:
        try:
            return path, encoder.prepare(open_image(path))
        except PolygraftError as error:
            return path, str(error)

    waiting: deque[Future[tuple[Path, Opened]]] = deque()
    pool = ThreadPoolExecutor(_THREADS, "open")
    try:
        for path in paths:
            waiting.append(pool.submit(open_one, path))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def one_line(text: str) -> str:
    """Return ``text`` on one line, without tabs and other control characters."""
    spaced = " ".join(text.split())
    return "".join(char for char in spaced if unicodedata.category(char) != "Cc")
