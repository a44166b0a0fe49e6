"""The English that the small text tower learns from: WordNet's names and explanations, and the tokenizer over them."""

import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from backbone.io.files import write_json
from starter_build.datasets.captions import concept, normalise
from starter_build.datasets.lexicon import Lexicon

PAD, UNKNOWN, END = "[PAD]", "[UNK]", "[END]"
END_ID = 2
"""Special tokens come first, in this order."""

_NAME = re.compile(r"[a-z][a-z' -]*")
_MAX_NAME_WORDS, _MAX_GLOSS_WORDS = 3, 14
_LEAST = 2
"""A word is common that this many explanations use."""
# Lexicographer files whose names no caption uses: top concepts, motives, relations and processes.
_SKIPPED_FILES = frozenset({3, 16, 22, 24})


def dictionary_texts(wordnet: Path, forbidden: Collection[str]) -> list[str]:
    """Return names, and names with a short explanation, from an unpacked ``wordnet-base`` package.

    Args:
        wordnet: folder of the package.
        forbidden: normalised captions; a text that consists of one of them is left out.
    """
    entries = list(_entries(wordnet / "usr/share/wordnet/data.noun"))
    frequency = Counter(word for _, explanation in entries for word in set(re.findall("[a-z]+", explanation)))
    texts: dict[str, None] = {}
    for names, explanation in entries:
        # names of rare words (most are of plants and animals) would only take room in the vocabulary
        names = [name for name in names if all(frequency[word] >= _LEAST for word in re.findall("[a-z]+", name))]
        gloss = re.split(r"[;(]", explanation)[0].strip()
        if not names or not gloss.isascii():
            continue
        with_gloss = [f"{names[0]}, {gloss}"] if 2 <= len(gloss.split()) <= _MAX_GLOSS_WORDS else []
        for text in [*names, *with_gloss]:
            if normalise(text) not in forbidden:
                texts[text] = None
    return list(texts)


def _entries(file: Path) -> Iterator[tuple[list[str], str]]:
    """Yield the common names of each synset and its explanation (format: wndb(5WN))."""
    for line in file.read_text(encoding="utf-8").splitlines():
        fields, _, explanation = line.partition(" | ")
        words = fields.split()
        if line.startswith("  ") or int(words[1]) in _SKIPPED_FILES:
            continue
        names = [words[4 + 2 * number].replace("_", " ") for number in range(int(words[3], 16))]
        common = [name for name in names if _NAME.fullmatch(name) and len(name.split()) <= _MAX_NAME_WORDS]
        yield common, explanation


def composed_captions(
    captions: Iterable[str], names: Iterable[str], lexicon: Lexicon, forbidden: Collection[str], *, seed: int = 0
) -> list[str]:
    """Return captions with another thing in place of their own: "A red hen." and "kettle" give "A red kettle."

    Args:
        captions: training captions; those of one word, or whose concept is not a word of theirs, are left aside.
        names: what may be put in; names that are not of things are left aside, and every second one of the rest.
        lexicon: tells things from other words.
        forbidden: as in `dictionary_texts`.
        seed: of the choice.
    """
    frames = [frame for caption in captions if (frame := _frame(caption, lexicon))]
    things = [name for name in names if "," not in name and name.split()[-1] in lexicon.things]
    draw = random.Random(seed)
    texts: dict[str, None] = {}
    for thing in things[::2] if frames else []:
        before, after = draw.choice(frames)
        if normalise(text := f"{before}{thing}{after}") not in forbidden:
            texts[text] = None
    return list(texts)


def _frame(caption: str, lexicon: Lexicon) -> tuple[str, str] | None:
    """Return what stands before and after the thing that a caption is about, or None if it cannot be determined."""
    thing = re.escape(concept(caption, lexicon))
    found = re.search(rf"\b{thing}\b", caption) if thing else None
    frame = (caption[: found.start()], caption[found.end() :]) if found else ("", "")
    return frame if any(frame) else None


def train_tokenizer(texts: Iterable[str], size: int, folder: Path, *, context: int) -> Tokenizer:
    """Train lower-case WordPiece, ending each text with ``[END]``, and write it as open_clip reads tokenizers."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=[PAD, UNKNOWN, END], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, END_ID)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": PAD, "unk_token": UNKNOWN, "eos_token": END}
    write_json(folder / "tokenizer_config.json", settings | {"model_max_length": context})
    return tokenizer
