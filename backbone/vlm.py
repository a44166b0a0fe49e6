"""Describer: a model of transformers that puts an image into words, a captioner or a chat model that sees."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from backbone.device import pick_device
from backbone.errors import PolygraftError
from backbone.hf.loading import load_describer


class Describer:
    """A frozen model that is asked about images; the answer is the same every time.

    Attributes:
        name: What `from_pretrained` was given.
    """

    def __init__(self, model: Any, processor: Any, tokenizer: Any, name: str) -> None:
        self._model = model.requires_grad_(False).eval()
        self._processor = processor
        self._tokenizer = tokenizer
        self.name = name

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str = "auto") -> "Describer":
        """Load a model, as `backbone.hf.loading.load_describer` takes it.

        Raises:
            PolygraftError: There is no such model, or it is damaged.
        """
        model, processor, tokenizer = load_describer(str(name))
        return cls(model.to(pick_device(device)), processor, tokenizer, str(name))

    @property
    def chats(self) -> bool:
        """Whether it is a chat model, which hears the question; a captioner has one answer to an image."""
        return bool(getattr(self._processor, "chat_template", None))

    @torch.inference_mode()
    def describe(self, image: Image.Image, question: str = "", *, max_tokens: int = 64) -> str:
        """Return what the model says of an image in RGB; a chat model may be asked a question.

        Raises:
            PolygraftError: The model cannot take the image or the question.
        """
        try:
            inputs = self._asked(image, question).to(self._model.device)
            ids = self._model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        except (ValueError, TypeError, RuntimeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise PolygraftError(f"the model {self.name} cannot describe an image: {reason}") from error
        answer = ids[0, inputs["input_ids"].shape[1] :] if self.chats else ids[0]
        return str(self._tokenizer.decode(answer, skip_special_tokens=True)).strip()

    def _asked(self, image: Image.Image, question: str) -> Any:
        if not self.chats:
            return self._processor(images=image, return_tensors="pt")
        content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
