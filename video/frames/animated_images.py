"""Animated WebP, GIF, PNG and AVIF as videos, and images that stand still as videos of one frame; read by Pillow."""

from collections.abc import Iterator
from contextlib import closing, suppress
from math import inf
from pathlib import Path

from PIL import Image

from backbone.io.images import open_image
from video.frames.files import Frame, Request, check_size, reason_of, undecodable
from video.frames.times import ROUNDING, AskedTimes, Ending

# Formats whose further frames are an animation; those of TIFF or ICO are other pages and sizes.
_ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_QUICKEST = 0.010
_CUSTOM = 0.100


def read_image(image: Image.Image, request: Request) -> Iterator[Frame]:
    """Yield the frames asked for, in the order asked for. Closes ``image``.

    Raises:
        PolygraftError: No frame can be decoded, or nothing is shown at any time that is asked for.
    """
    with closing(image):
        animation = _Animation(image, request.name)
        cache: dict[float, Image.Image] = {}  # of one frame: the last
        asked = _all_frames(animation, request.times) if request.times.all_frames else request.times
        missed: float | None = None
        for time in asked:
            if not animation.show(time, request.times):
                missed = time if missed is None else min(missed, time)
                if request.times.ascending:
                    break
                continue
            if animation.begin not in cache:
                cache = {animation.begin: animation.image(request)}
            yield Frame(time=animation.begin, asked=time, image=cache[animation.begin])
        if animation.damage:
            request.report(f"{request.name} {animation.damage}")
        if missed is not None and animation.ending is not None:
            request.explain(missed, animation.ending, any_seen=bool(cache))


def image_duration(image: Image.Image, path: Path) -> float:
    """Return the seconds of an animation, which is read to its end; 0 for an image that stands still. Closes it."""
    with closing(image):
        animation = _Animation(image, f"video {path}")
        while animation.advance():
            pass
        return animation.end if animation.moves else 0.0


def _all_frames(animation: "_Animation", times: AskedTimes) -> Iterator[float]:
    while times.stop is None or animation.begin < times.stop:
        if animation.begin >= times.start - ROUNDING:
            yield animation.begin
        if not animation.advance():
            if times.stop is not None or animation.end - ROUNDING <= times.start:
                yield max(animation.end, times.start)  # where nothing is shown, which is reported
            return


class _Animation:
    """An image file that stands at one of its frames, shown from ``begin`` for ``length`` seconds."""

    def __init__(self, image: Image.Image, name: str) -> None:
        self._image = image
        self._name = name
        self._readable = inf  # frames
        self.damage = ""
        self.ending: Ending | None = None  # known when something was asked for that lies beyond
        check_size(name, image.width, image.height)
        try:
            self.moves = image.format in _ANIMATED and bool(getattr(image, "is_animated", False))
        except Exception as error:  # Pillow's format readers raise whatever they trip over
            raise undecodable(name, error) from None
        self._rewind()

    @property
    def end(self) -> float:
        return self.begin + self.length

    def show(self, time: float, times: AskedTimes) -> bool:
        """Go to the frame that is shown at ``time``, if there is one."""
        if time < self.begin - ROUNDING:
            self._rewind()
        while time > self.end - ROUNDING:
            if not self.advance():
                self.ending = Ending(until=self.end, last=self.length)
                return self.ending.reaches(time, times)
        return True

    def advance(self) -> bool:
        """Go to the next frame, if there is one."""
        if not self.moves or self._number + 1 >= self._readable:
            return False
        begin = self.end
        try:
            self._image.seek(self._number + 1)
            self._image.load()  # WebP has the length no sooner
        except EOFError:
            return False
        except Exception as error:  # as above
            self._readable = self._number + 1
            self.damage = f"is damaged after {begin:.2f} s: {reason_of(error)}"
            with suppress(Exception):  # else the frame will be found undecodable when it is asked for
                self._image.seek(self._number)
            return False
        self._number += 1
        self.begin, self.length = begin, self._length()
        return True

    def image(self, request: Request) -> Image.Image:
        """Return the frame as RGB, on white where it is transparent, in the size asked for."""
        image = open_image(self._image, name=self._name)
        size = request.fit(*image.size)
        return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)

    def _rewind(self) -> None:
        self._number = 0
        # an animated PNG may have an image for those who cannot play it, which is none of its frames
        if self.moves and getattr(self._image, "default_image", False):
            self._number = 1
        try:
            self._image.seek(self._number)
            self._image.load()
        except Exception as error:  # as above
            raise undecodable(self._name, error) from None
        self.begin, self.length = 0.0, self._length()

    def _length(self) -> float:
        if not self.moves:
            return 2 * ROUNDING  # an image that stands still has been seen as soon as it is shown
        length = float(self._image.info.get("duration", 0)) / 1000
        return length if length > _QUICKEST else _CUSTOM  # as browsers play what is too quick to be meant
