"""The options of `polygraft transfer`, which every step of it reads."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backbone.errors import UsageError
from crosslingual.options import TransferOptions
from scripts._app.cli import Json

# what --mixing replaces
_SAVED = (
    "text", "vocab_size", "marks", "source_vectors", "target_vectors", "dictionary", "parallel", "donor", "save_mixing",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which model, which tokenizer, data on the languages, and where the result is kept."""

    out: Path
    """Folder of the new model."""
    model: str = "starter"
    """Language model: a name on the hub, a folder in transformers' format, or starter."""
    tokenizer: str | None = None
    """New tokenizer: a hub name, a folder, a tokenizer.json, a sentencepiece .model, or starter; default: --donor's."""
    text: tuple[Path, ...] = ()
    """Files of UTF-8 text in the new language; a tokenizer is trained on them if none is given."""
    vocab_size: int | None = None
    """Size of the tokenizer that is trained; without it that of the model's own."""
    marks: bool = False
    """Train it with vowel signs kept with their letters: for Hindi, Bengali, Tamil, Burmese and other such scripts."""
    source_vectors: Path | None = None
    """Word vectors of the model's language: .bin, .vec, .vec.gz or .npz."""
    target_vectors: Path | None = None
    """Word vectors of the new language."""
    dictionary: Path | None = None
    """Pairs of words that mean the same."""
    reverse: bool = False
    """The dictionary's headwords are of the new language, as CC-CEDICT's are for English to Chinese."""
    align: Literal["dictionary", "identical", "none"] = "dictionary"
    """How the vectors are aligned to one space: by the dictionary, by identically spelled words, or not at all."""
    parallel: tuple[Path, Path] | None = None
    """Two files of text, line by line translations: the model's language, the new one."""
    donor: str | None = None
    """Model of the new language that has the new tokenizer."""
    mixing: Path | None = None
    """Mixing matrix that an earlier transfer saved with --save-mixing, for another size of the same family."""
    save_mixing: Path | None = None
    """Folder in which the mixing matrix is saved."""
    method: TransferOptions = field(default_factory=TransferOptions)
    report: Path | None = None
    """HTML file: the report as a page, with plots."""
    overwrite: bool = False
    """Replace an earlier transfer in --out, and the report."""
    json: Json = False

    def __post_init__(self) -> None:
        if not (self.tokenizer or self.text or self.donor):
            raise UsageError("no new tokenizer: give --tokenizer, or --text to train one on")
        self._check_mixing()
        self._check_vectors()
        if (self.vocab_size is not None or self.marks) and not self.trains_tokenizer:
            name = "--marks" if self.marks else "--vocab-size"
            raise UsageError(f"{name} is of a tokenizer that is trained, but one is given: leave one out")
        if self.text and not (self.trains_tokenizer or self.trains_words or self.trains_tokens):
            raise UsageError("--text is not looked at: there is a tokenizer, and vectors of the text are not needed")

    def _check_mixing(self) -> None:
        if self.mixing is None:
            return
        more = [name for name in _SAVED if getattr(self, name)]
        if more or self.method != TransferOptions():
            flag = f"--{more[0].replace('_', '-')}" if more else "--init and what belongs to it"
            raise UsageError(f"--mixing says how every row is made: leave out {flag}")

    def _check_vectors(self) -> None:
        has_target = self.target_vectors or self.text
        if self.source_vectors and not has_target:
            raise UsageError("--source-vectors are of no use alone: give --target-vectors, or --text to train them on")
        if self.source_vectors and not self.dictionary and self.align == "dictionary":
            raise UsageError(
                "word vectors of two languages have to be aligned: give --dictionary, or --align identical to go by "
                "words that both write alike, or --align none if they are in one space"
            )
        if self.dictionary and self.align != "dictionary":
            raise UsageError(f"--align {self.align} does without a dictionary: leave out one of them")
        if self.reverse and not self.dictionary:
            raise UsageError("--reverse is of a dictionary: give --dictionary")

    @property
    def trains_tokenizer(self) -> bool:
        """Whether the new tokenizer is trained on the text."""
        return not (self.tokenizer or self.donor)

    @property
    def trains_words(self) -> bool:
        """Whether word vectors of the new language are trained on the text."""
        needed = self.source_vectors and not self.target_vectors and self.method.init in ("auto", "wechsel", "ofa")
        return bool(self.text and needed)

    @property
    def trains_tokens(self) -> bool:
        """Whether vectors of the new tokens are trained on the text."""
        needed = not self.target_vectors and not self.trains_words and self.method.init in ("auto", "focus")
        return bool(self.text and needed)
