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
from typing import IO, Any, Protocol

import torch
from PIL import Image

from backbone.device import pick_device
from backbone.errors import PolygraftError, UsageError
from backbone.hf.loading import load_describer
from video.timeline.query import Segment
from video.vocabulary.narrations import clean
from video.vocabulary.vocabulary import NarrationVocabulary

_MAX_TOKENS = 64  # of a model's answer
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


class ModelProposer:
    """Asks a frozen model of transformers about the image of a segment; the answer is the same every time.

    Args:
        name: The model, as `backbone.hf.loading.load_describer` takes it.
        device: The device, as `backbone.device.pick_device` names it.

    Raises:
        PolygraftError: There is no such model, it is damaged, or it cannot take the image or the question.
    """

    def __init__(self, name: str | Path, *, device: str = "auto") -> None:
        model, self._processor, self._tokenizer = load_describer(str(name))
        self._model = model.to(pick_device(device)).requires_grad_(False).eval()
        self.name = f"model {name}"

    @property
    def chats(self) -> bool:
        """Whether it is a chat model, which hears the question; a captioner has one answer to an image."""
        return bool(getattr(self._processor, "chat_template", None))

    def propose(self, segment: Segment) -> list[str]:
        """Return the lines of the answer; without an image there is none, which is an error."""
        if segment.image is None:
            raise PolygraftError(f"{self.name} needs an image of {segment.video} at {segment.start:g} s, but has none")
        return self.describe(segment.image.convert("RGB")).splitlines()

    @torch.inference_mode()
    def describe(self, image: Image.Image, question: str = QUESTION) -> str:
        """Return what the model says of an image in RGB."""
        try:
            inputs = self._asked(image, question).to(self._model.device)
            ids = self._model.generate(**inputs, max_new_tokens=_MAX_TOKENS, do_sample=False)
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise PolygraftError(f"the {self.name} cannot describe an image: {reason}") from error
        answer = ids[0, inputs["input_ids"].shape[1] :] if self.chats else ids[0]
        return str(self._tokenizer.decode(answer, skip_special_tokens=True)).strip()

    def _asked(self, image: Image.Image, question: str) -> Any:
        if not self.chats:
            return self._processor(images=image, return_tensors="pt")
        content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        settings = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
        return self._processor.apply_chat_template([{"role": "user", "content": content}], **settings)
