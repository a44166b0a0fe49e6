"""polygraft evaluate caption runs/captioner posts.jsonl --split test1

Evaluate a captioner on held-out posts: caption metrics, style, and whether captions are personal.

Posts are read and split as train captioner does: by marks of their own, or by the same --test-users, --test-posts,
--val-share, --split-by and --seed. A user-aware captioner is given the other posts of an image's author, those for
training and for tests alike, and never the post itself or another post of the same image.

Further metrics: distinct n-grams; style_distance, between the captions and what the users wrote; copied_own and
copied_training, the share of n-grams (1 to 4, and whole captions) that the user, or anybody in training, wrote before;
identified, how often the true author among --identify users explains a text best. Controls: stranger, the same images
with another user's posts; nobody, without posts. Intervals cover 95 % and resample whole users. METEOR needs Java.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from backbone.errors import PolygraftError, UsageError
from backbone.generation.config import Decoding
from backbone.io.settings import check_range
from multimodal.data.normalization import FORMS, Form
from multimodal.data.posts import SPLITS, LayoutName
from multimodal.data.splits import Holdout
from multimodal.profile.profile import ContextMode
from scripts._app.cli import Device, Json, emit, progress, remark, run_file
from scripts.caption import check_consensus, drawn

if TYPE_CHECKING:
    from multimodal.captioner import Captioner
    from multimodal.data.posts import Post
    from multimodal.evaluation import Figures, Samples, Speaker
    from multimodal.profile.profile import Context
    from multimodal.users.contexts import ContextBuilder


SHOWN = (
    "model", "split", "layout", "test_users", "test_posts", "personal", "lend", "consensus", "identify", "limit",
    "meteor", "predictions", "beams", "temperature", "seed", "batch_size", "device", "json",
)  # fmt: skip
"""Options of the help page; --config and the command line take all."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which captioner, on which posts, and what is measured."""

    model: tyro.conf.Positional[str]
    """Folder of a captioner, or starter for the one that comes with the package."""
    posts: tyro.conf.Positional[Path]
    """JSONL file of posts, folder of images with .txt files, or a public data set."""
    split: Literal["test1", "test2", "validation", "all"]
    """Posts of users unseen in training; unseen posts of other users; those held out; or all, whatever they are for."""
    layout: LayoutName = "auto"
    """Layout of the posts; auto: detected."""
    holdout: Holdout = field(default_factory=Holdout)
    context: ContextMode = "leave-one-out"
    """Posts of an author that the model is given: all others, or earlier ones; paper: also the words of the caption
    itself."""
    personal: float = 1.0
    """Strength of the user's style, 0 to 2: 0 without it, 1 as trained, above 1 exaggerated."""
    lend: bool = True
    """Add past captions of training users who write alike, as train captioner does."""
    consensus: int = 0
    """Sample this many captions and take the MBR winner, as in caption; 0: off."""
    identify: int = 10
    """Users among whom the captioner identifies the author of a text; 0: not measured."""
    form: Form = "written"
    """What the usual metrics compare: texts as written, or as benchmarks of personal captions write them, cut at 15
    words."""
    limit: int = 0
    """Largest number of images, evenly spread; 0: all."""
    meteor: bool = False
    """Also compute METEOR, which starts Java: many seconds, up to 2 GB of memory."""
    predictions: Path | None = None
    """Write the captions to this file, a line of JSON each: id, user, text, reference."""
    backbone: str = ""
    """Folder of the captioner's language model, if it has moved since the training."""
    clip: str = ""
    """Folder of its image encoder, likewise."""
    decoding: Decoding = field(default_factory=Decoding)
    batch_size: int = 32
    """Images per batch."""
    cache: Path = Path("~/.cache/polygraft/features")
    """Cache folder of image features."""
    device: Device = "auto"
    json: Json = False

    def __post_init__(self) -> None:
        check_range(self, "personal", 0, 2)
        if self.identify < 0 or self.identify == 1:
            raise UsageError(f"identify is {self.identify}, allowed is 0, or 2 or more")
        check_range(self, "limit", 0)
        check_range(self, "batch_size", 1)
        if self.decoding.num_return > 1:
            raise UsageError(f"num_return is {self.decoding.num_return}, but one caption of each image is measured")
        check_consensus(self.consensus, self.decoding)


def main(options: Options) -> int:
    """Print the figures."""
    from multimodal.captioner import Captioner
    from multimodal.evaluation import Speaker, copying, quality, write_predictions
    from multimodal.reranking.rerank import KNOWN

    posts, chosen = _posts(options)
    captioner = Captioner.from_pretrained(
        options.model, device=options.device, backbone=options.backbone or None, encoder=options.clip or None
    )
    if options.personal != 1 and not captioner.config.knows_users:
        raise UsageError(f"personal {options.personal} does nothing: the captioner {options.model} knows no users")
    if options.lend and not captioner.config.knows_users and any(post.user for post in chosen):
        remark(f"the captioner {options.model} knows no users: captions are nobody's, and --lend does nothing")
    samples, builder = _samples(options, captioner, posts, chosen)
    shown = builder.build(samples.data) if builder else None
    training = [post.text for post in posts if post.split == "train" and options.split != "all"]
    speaker = Speaker(
        captioner=captioner,
        decoding=drawn(options.consensus, options.decoding),
        personal=options.personal,
        consensus=bool(options.consensus),
        known=tuple(training[:: max(1, -(-len(training) // KNOWN))]),
        batch_size=options.batch_size,
        watch=progress,
    )
    captions = speaker.captions(samples, shown, "caption")
    if options.predictions:
        write_predictions(options.predictions, captions, samples)
    seed = options.decoding.seed
    figures = quality(captions, samples, form=FORMS[options.form], meteor=options.meteor, report=remark, seed=seed)
    figures |= copying(captions, samples, posts, options.context, training)
    if builder and shown:
        figures |= _personal(options, speaker, samples, builder, shown)
    _tell(options, samples, figures)
    return 0


def _posts(options: Options) -> "tuple[list[Post], list[Post]]":
    """Return all posts, marked, and those to measure on."""
    from multimodal.data.posts import load_posts

    holdout = options.holdout
    if options.split != "validation":  # the posts may be those of tests alone, of which none can be held out
        holdout = replace(holdout, val_share=0.0)
    found = load_posts(options.posts, options.layout, report=remark)
    posts = holdout.mark(found, seed=options.decoding.seed, report=remark)
    chosen = [post for post in posts if options.split in ("all", post.split)]
    if not chosen:
        counts = {split: sum(post.split == split for post in posts) for split in SPLITS}
        held = ", ".join(f"{count} {split}" for split, count in counts.items() if count)
        raise PolygraftError(
            f"no post of {options.posts} is in the split {options.split} ({held}): choose another --split, or give "
            "--test-users and --test-posts as in training"
        )
    return posts, chosen


def _samples(
    options: Options, captioner: "Captioner", posts: "list[Post]", chosen: "list[Post]"
) -> "tuple[Samples, ContextBuilder | None]":
    """Encode the images; return the samples and the past posts of their authors."""
    from backbone.feature_cache import FeatureCache
    from multimodal.batches import gather
    from multimodal.evaluation import Samples
    from multimodal.reranking.rerank import VOTERS
    from multimodal.users.contexts import ContextBuilder, pasts
    from multimodal.users.neighbors import Community

    cache = FeatureCache(options.cache.expanduser(), captioner.encoder, grid=captioner.config.features == "grid")
    authors = _authors(options, posts, chosen) if captioner.config.knows_users else set()
    wanted = {post.id for post in chosen}
    lenders = {post.id for post in posts if _lends(options, captioner, post)}
    gathered = gather(
        [post for post in posts if post.id in wanted or post.user in authors or post.id in lenders],
        cache,
        report=remark,
    )
    samples = Samples.of(
        gathered.take([at for at, post in enumerate(gathered.posts) if post.id in wanted]), limit=options.limit
    )
    if not len(samples):
        raise PolygraftError(f"no image of the split {options.split} can be read: there is nothing to measure on")
    if not captioner.config.knows_users:
        return samples, None
    encoder = captioner.encoder.digest
    borrowed = gathered.take([at for at, post in enumerate(gathered.posts) if post.id in lenders])
    builder = ContextBuilder(
        past=pasts(gathered.take([at for at, post in enumerate(gathered.posts) if post.user in authors]), encoder),
        table=captioner.table,
        limits=replace(captioner.limits, voters=VOTERS if options.consensus else 0),
        mode=options.context,
        community=Community.of(pasts(borrowed, encoder)) if lenders else None,
    )
    return samples, builder


def _lends(options: Options, captioner: "Captioner", post: "Post") -> bool:
    """Return whether a post is shared with users who write alike: those that the captioner has learned from are."""
    reads = options.lend and captioner.config.knows_users and (captioner.config.past_posts or options.consensus)
    return bool(reads and post.user and (post.split == "train" or options.split == "all"))


def _authors(options: Options, posts: "list[Post]", chosen: "list[Post]") -> set[str]:
    """Return the users whose past posts are needed: those of the split, and others where they are too few.

    More are not taken, since all their images are encoded.
    """
    import numpy as np

    authors = {post.user for post in chosen} - {""}
    others = sorted({post.user for post in posts} - authors - {""})
    drawn = np.random.default_rng(options.decoding.seed).permutation(len(others))
    return authors | {others[at] for at in drawn[: max(0, options.identify - len(authors))]}


def _personal(
    options: Options, speaker: "Speaker", samples: "Samples", builder: "ContextBuilder", shown: "Sequence[Context]"
) -> "Figures":
    """Return whether texts betray their authors, and the controls."""
    from multimodal.evaluation import identified, nearness, strangers
    from multimodal.profile.profile import NOBODY

    seed = options.decoding.seed
    found: Figures = {}
    if options.identify and any(context.known for context in shown):
        if len(builder.past) < options.identify:
            remark(f"authors are identified among {len(builder.past)} users, not {options.identify}: there are no more")
        found |= identified(speaker, samples, builder, shown, among=options.identify, seed=seed)
    controls = {"stranger": strangers(samples, builder, seed=seed), "nobody": [NOBODY] * len(samples)}
    for name, users in controls.items():
        if users is not None:
            captions = speaker.captions(samples, users, name)
            values = nearness(captions, samples, form=FORMS[options.form], seed=seed)
            found |= {f"{name}_{figure}": value for figure, value in values.items()}
    return found


def _tell(options: Options, samples: "Samples", figures: "Figures") -> None:
    """Print one object of JSON, or a table."""
    facts: dict[str, Any] = {
        "model": options.model,
        "posts": str(options.posts),
        "split": options.split,
        "context": options.context,
        "samples": len(samples),
        "users": len(set(samples.users) - {""}),
    }
    if options.json:
        values = {name: figure.value for name, figure in figures.items()}
        intervals = {name: [figure.low, figure.high] for name, figure in figures.items() if figure.low is not None}
        emit(json.dumps(facts | {"figures": values, "intervals": intervals}, ensure_ascii=False))
        return
    for name, value in facts.items():
        emit(f"{name:24} {value}")
    for name, figure in figures.items():
        bounds = "" if figure.low is None else f"  {figure.low:.4f} to {figure.high:.4f}"
        emit(f"{name:24} {figure.value:9.4f}{bounds}")


if __name__ == "__main__":
    run_file(__file__)
