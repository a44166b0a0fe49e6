"""Proposers of sentences for a segment: a larger vocabulary, a shell command, or a model that describes images.

VLog asks a vision-language model for the activity and a language model for actions (section 3.4 and appendix A.3).
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from backbone.errors import PolygraftError, UsageError
from backbone.vlm import Describer
from video.timeline.query import Segment
from video.vocabulary.narrations import clean
from video.vocabulary.vocabulary import NarrationVocabulary

MAX_WORDS = 30  # longest proposal: a narration, not an essay
_LIST_MARK = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):])\s*")
_QUOTES = "\"'`“”‘’«»"


class Proposer(Protocol):
    """What gives sentences for a segment."""

    @property
    def name(self) -> str:
        """What the record of an update calls it."""

    def propose(self, segment: Segment) -> Sequence[str]:
        """Return lines that hold sentences, in any of the shapes that `parse_proposals` reads.

        Raises:
            PolygraftError: It could not be asked.
        """


def parse_proposals(lines: Iterable[str]) -> list[str]:
    """Return the sentences in an answer, cleaned, each once, in the order given.

    Sentences are separated by line ends and semicolons. List marks and quotes go; so do lines that only introduce a
    list, and what is longer than a narration.
    """
    found: dict[str, None] = {}
    for line in lines:
        for part in re.split(r"[;\n\r]+", line):
            text = _LIST_MARK.sub("", part).strip()
            if text.endswith(":"):
                continue
            text = clean(clean(text).strip(_QUOTES + " "))
            if any(map(str.isalnum, text)) and len(text.split()) <= MAX_WORDS:
                found.setdefault(text)
    return list(found)


class Library:
    """Narrations of another vocabulary, a large one, whichever come closest to the query.

    Args:
        vocabulary: With vectors of the encoder that made the vocabulary that grows.
        keep: How many are proposed.
    """

    name = "vocabulary"

    def __init__(self, vocabulary: NarrationVocabulary, *, keep: int = 8) -> None:
        self._vocabulary, self._keep = vocabulary, keep

    def propose(self, segment: Segment) -> list[str]:
        """Return up to ``keep`` narrations, closest first."""
        return [found.text for found in self._vocabulary.retrieve(segment.query[None], self._keep)[0]]


_POLL = 0.02  # seconds
_MAX_ANSWER = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class ShellCommand:
    """A command of the user's that is called once for each segment.

    It reads one JSON object from standard input, ``{"film", "start", "stop", "scene", "picture"}``, with the path of
    a PNG file that is there while it runs, or null; and writes sentences to standard output.
    """

    command: str
    timeout: float = 60.0  # seconds

    def __post_init__(self) -> None:
        if not self.command.strip():
            raise UsageError("the proposer command is empty")
        if not self.timeout > 0:
            raise UsageError(f"timeout is {self.timeout}, allowed is more than 0 seconds")

    @property
    def name(self) -> str:
        """The command."""
        return f"command {self.command}"

    def propose(self, segment: Segment) -> list[str]:
        """Run the command.

        Raises:
            PolygraftError: It fails, takes too long, or writes what is no text.
        """
        with tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / "segment.png"
            if segment.image is not None:
                segment.image.save(image)
            question = {
                "film": segment.video,
                "start": segment.start,
                "stop": segment.stop,
                "scene": segment.scene,
                "picture": str(image) if segment.image is not None else None,
            }
            return self._run(json.dumps(question, ensure_ascii=False) + "\n").splitlines()

    def _run(self, question: str) -> str:
        """Exchange files, not pipes: a command that does not read, or writes too much, cannot block."""
        with (
            tempfile.TemporaryFile() as asked,
            tempfile.TemporaryFile() as answered,
            tempfile.TemporaryFile() as remarks,
        ):
            asked.write(question.encode())
            asked.seek(0)
            process = subprocess.Popen(  # the user's own command, in a group of its own so that all of it can be ended
                self.command, shell=True, stdin=asked, stdout=answered, stderr=remarks, start_new_session=True
            )
            try:
                self._wait(process, answered)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            answer, complaint = _all_of(answered), _all_of(remarks).decode(errors="replace").split("\n")
        if process.returncode:
            message = next((line.strip() for line in reversed(complaint) if line.strip()), "it wrote no message")
            raise PolygraftError(f"{self._called} failed with exit code {process.returncode}: {message[:300]}")
        try:
            return answer.decode("utf-8")
        except UnicodeDecodeError:
            raise PolygraftError(f"{self._called} wrote what is not UTF-8: let it write lines of text") from None

    def _wait(self, process: subprocess.Popen[bytes], answered: IO[bytes]) -> None:
        deadline = time.monotonic() + self.timeout
        while True:
            if os.fstat(answered.fileno()).st_size > _MAX_ANSWER:
                raise PolygraftError(
                    f"{self._called} wrote more than a megabyte and was stopped: let it write a few lines"
                )
            try:
                process.wait(_POLL)
                return
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise PolygraftError(
                        f"{self._called} took longer than {self.timeout:g} s and was stopped: give it more time"
                    ) from None

    @property
    def _called(self) -> str:
        return f"the proposer command {self.command!r}"


def _all_of(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_MAX_ANSWER)


QUESTION = (
    "What is happening in the image? Answer with short actions of a verb and a noun, such as: cut the onion; "
    "stir the soup. Separate them by semicolons and write nothing else."
)
"""VLog asks one model for the activity and another for its actions (Appendix A.3); here one model sees and lists."""


@dataclass(frozen=True, kw_only=True)
class ModelProposer:
    """Asks a model about the image of a segment."""

    describer: Describer
    question: str = QUESTION

    @property
    def name(self) -> str:
        """The model."""
        return f"model {self.describer.name}"

    def propose(self, segment: Segment) -> list[str]:
        """Return the lines of the answer.

        Raises:
            PolygraftError: The segment has no image, or the model fails.
        """
        if segment.image is None:
            raise PolygraftError(f"{self.name} needs an image of {segment.video} at {segment.start:g} s, but has none")
        return self.describer.describe(segment.image.convert("RGB"), self.question).splitlines()
