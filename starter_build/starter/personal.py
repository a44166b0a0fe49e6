"""The starter's captioner that knows users: trained on the voices of communities, as the benchmark's is."""

from dataclasses import replace
from pathlib import Path

from scripts._app.cli import remark
from starter_build.starter.personal_captioners import OURS, SYSTEMS, CaptionSchedule, train_system

STARTER = "starter"


def build_personal(data: Path, work: Path, out: Path, *, seed: int = 0) -> Path:
    """Train the captioner that the benchmark calls ours, on the training users of the voices.

    Args:
        data: where fetched packages are kept.
        work: where features and the unfinished run are kept.
        out: the checkpoint folder to write.
        seed: of weights and sample order.
    """
    from backbone.clip import ImageEncoder
    from backbone.feature_cache import FeatureCache
    from backbone.gpt2 import Backbone
    from multimodal.training.train import describe
    from starter_build.datasets.post_sets import load_voices

    frozen = ImageEncoder.from_pretrained(STARTER), Backbone.from_pretrained(STARTER)
    voices = load_voices(data, FeatureCache(work / "features", frozen[0]))
    remark(f"training the personal captioner, seed {seed}")
    trained = train_system(
        SYSTEMS[OURS], voices.data, frozen, work / f"personal-{seed}", schedule=CaptionSchedule(), seed=seed
    )
    card = describe(trained, title="polygraft starter: a captioner that knows users", source="voices of communities")
    card = replace(card, command="python -m starter_build --only personal")
    trained.captioner.mapper.half()
    return trained.captioner.save_pretrained(out, card=card, record={"seed": seed})
