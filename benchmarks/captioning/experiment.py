"""Where the benchmark's captioners are trained and their captions kept, so that nothing is done twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbone.generation.config import Decoding
from benchmarks.captioning.conditions import MAIN, PAST_SEED, Condition, pasts, shown_contexts, tested
from benchmarks.captioning.figures import CaptionRun, counterfactual_accuracy
from benchmarks.common import cache_path, cached
from multimodal.profile.profile import NOBODY, Context
from multimodal.reranking.rerank import KNOWN, VOTERS, rerank
from scripts._app.cli import remark
from starter_build.datasets.post_sets import PersonalSet, load_set, voice_of
from starter_build.starter.captioners import MAX_TOKENS, SYSTEMS, CaptionSchedule, size_of, train_system

if TYPE_CHECKING:
    from backbone.clip import ImageEncoder
    from backbone.gpt2 import Backbone
    from multimodal.training.train import TrainedCaptioner

GREEDY = Decoding(max_tokens=MAX_TOKENS, no_repeat_ngram=3)
DRAWN = replace(GREEDY, temperature=0.6, num_return=12)
IDENTIFIED = 300  # posts whose author is distinguished from nine other users
USERS = 10  # among whom an author is looked for: by chance one in ten is right


@dataclass(frozen=True, kw_only=True)
class Search:
    """How captions are found: by default the MBR winner of twelve samples."""

    decoding: Decoding = DRAWN
    personal: float = 1.0
    votes: bool = False  # whether past captions vote, see `multimodal.reranking.rerank`


DECODINGS: Mapping[str, Search] = {
    "no votes of past captions": Search(),
    "greedy decoding": Search(decoding=GREEDY),
    "beams 5": Search(decoding=replace(GREEDY, beams=5)),
    "guidance 1.5": Search(personal=1.5, votes=True),
}


@dataclass(kw_only=True)
class CaptioningExperiment:
    """One set of posts, the frozen models, and a work folder."""

    name: str
    load: Callable[[bool], PersonalSet]  # reads and encodes the posts, with grid features or without
    frozen: "tuple[ImageEncoder, Backbone]"
    folder: Path
    schedule: CaptionSchedule
    shown: dict[tuple[str, Condition], list[Context] | None] = field(default_factory=dict)
    """What was shown of users to each system, which no length of training changes."""

    @classmethod
    def open(
        cls, name: str, data: Path, work: Path, *, schedule: CaptionSchedule, device: str
    ) -> "CaptioningExperiment":
        """Load the frozen models and encode the posts of a set."""
        from backbone.clip import ImageEncoder
        from backbone.feature_cache import FeatureCache
        from backbone.gpt2 import Backbone

        encoder, backbone = ImageEncoder.from_pretrained(device=device), Backbone.from_pretrained(device=device)

        @cache
        def load(grid: bool) -> PersonalSet:
            return load_set(name, data, FeatureCache(work / "features", encoder, grid=grid))

        return cls(name=name, load=load, frozen=(encoder, backbone), folder=work / name, schedule=schedule)

    def longer(self, times: int) -> "CaptioningExperiment":
        """Return the same, but for captioners that are trained for so many times the steps."""
        return replace(self, schedule=replace(self.schedule, steps=times * self.schedule.steps))

    @cached_property
    def bench(self) -> PersonalSet:
        """The posts, with pooled features."""
        return self.load(False)

    def _read_by(self, system: str) -> PersonalSet:
        return self.load(SYSTEMS[system].config.features == "grid")

    def _settings(self, system: str, seed: int) -> tuple[Any, ...]:
        encoder, backbone = self.frozen
        return SYSTEMS[system], seed, self.schedule, encoder.digest, backbone.digest, self.bench.digest

    @cached_property
    def _trained(self) -> dict[Path, "TrainedCaptioner"]:
        return {}

    def trained(self, system: str, seed: int) -> "TrainedCaptioner":
        """Train a system, or read what was trained."""
        run = cache_path(self.folder / "runs", f"{system}-{seed}", *self._settings(system, seed))
        if run not in self._trained:
            remark(f"{self.name}: {system}, seed {seed}")
            made = train_system(
                SYSTEMS[system], self._read_by(system), self.frozen, run, schedule=self.schedule, seed=seed
            )
            trained, everything = size_of(made.captioner)
            remark(f"{trained:,} of {everything:,} parameters trained in {made.result.seconds / 60:.1f} minutes")
            self._trained[run] = made
        return self._trained[run]

    def runs(
        self, system: str, seeds: Sequence[int], condition: Condition, *, search: Search | None = None
    ) -> list[CaptionRun]:
        """Return the captions of a system under a condition for each seed, the MBR winner where several are drawn."""
        search = search or Search(votes=SYSTEMS[system].preset == "default")
        return [self._run(system, seed, condition, search) for seed in seeds]

    def _run(self, system: str, seed: int, condition: Condition, search: Search) -> CaptionRun:
        posts = self.bench.splits[condition.split].posts
        drawn = self.drawn(system, seed, condition, search)
        if search.decoding.num_return == 1 or search.decoding.beams > 1:
            return CaptionRun(posts=posts, captions=[texts[0] for texts in drawn])
        return CaptionRun(posts=posts, captions=list(map(rerank, drawn, *self._voters(system, condition, search))))

    def drawn(self, system: str, seed: int, condition: Condition, search: Search) -> list[list[str]]:
        """Return all captions that a system makes of each image; they are kept."""
        if not SYSTEMS[system].config.knows_users:
            condition = Condition(name="", split=condition.split, image=condition.image)  # all else is no matter
        # votes choose among the captions and change none of them
        settings = (*self._settings(system, seed), condition, replace(search, votes=False), PAST_SEED, VOTERS)
        path = cache_path(self.folder / "captions", f"{system}-{seed}", *settings).with_suffix(".json")

        def make() -> list[list[str]]:
            captioner = self.trained(system, seed).captioner
            contexts = self._contexts(system, condition)
            data = tested(condition, SYSTEMS[system], self._read_by(system))
            features = data.features.take(data.rows)
            return captioner.caption(
                features, search.decoding, users=contexts, personal=search.personal, batch_size=128
            )

        found: list[list[str]] = cached(path, make)
        return found

    def _contexts(self, system: str, condition: Condition) -> list[Context] | None:
        # as many past captions as vote; the same for all seeds and lengths of training
        if (system, condition) not in self.shown:
            self.shown[system, condition] = shown_contexts(condition, SYSTEMS[system], self.bench, voters=VOTERS)
        return self.shown[system, condition]

    def _voters(
        self, system: str, condition: Condition, search: Search
    ) -> tuple[Sequence[Context], Sequence[Sequence[str]]]:
        """Return for each image the past captions that vote, and captions that tell rare words from common ones."""
        posts = self.bench.splits[condition.split].posts
        shown = self._contexts(system, condition) or [NOBODY] * len(posts)
        history = pasts(condition, self.bench) if search.votes and condition.history == "own" and condition.past else {}
        known = [history[post.user].texts[-KNOWN:] if post.user in history else () for post in posts]
        return [one if search.votes else replace(one, voters=()) for one in shown], known

    def personal_figures(self, system: str, seed: int) -> dict[str, Any]:
        """Return how well users are distinguished by a system, and communities by its captions."""
        from multimodal.metrics.personalization import bootstrap

        title = f"author distinguished from {USERS} users, chance {1 / USERS}"
        figures: dict[str, Any] = {title: bootstrap(self.identified(system, seed))}
        if self.name == "voices":
            (run,) = self.runs(system, [seed], MAIN)
            key = {post.id: post.id.split("/")[-2] for post in run.posts}
            figures["counterfactual accuracy"] = counterfactual_accuracy(run, key)
        return figures

    def identified(self, system: str, seed: int) -> dict[str, list[float]]:
        """Return by user whether each of some posts is likeliest under its own author's past, among ten users."""
        import numpy as np

        from multimodal.metrics.personalization import identification
        from multimodal.users.contexts import ContextBuilder

        captioner = self.trained(system, seed).captioner
        data = self.bench.splits[MAIN.split]
        rows = np.linspace(0, len(data.posts) - 1, min(IDENTIFIED, len(data.posts))).astype(int).tolist()
        some = data.take(rows)
        history = pasts(MAIN, self.bench)
        borrowed = self.bench.community if SYSTEMS[system].borrows else None
        builder = ContextBuilder(past=history, table=self.bench.table, limits=captioner.limits, community=borrowed)
        suspects = [_others(post.user, history, row) for row, post in zip(rows, some.posts, strict=True)]
        # each post once for each suspect, all at once: users are compared with the community one by one
        asked = some.take([at for at, users in enumerate(suspects) for _ in users])
        shown = builder.build(asked, authors=[user for users in suspects for user in users])
        scores = captioner.score(asked.features.take(asked.rows), asked.texts, shown, batch_size=64)
        found = identification(np.array(scores).reshape(len(some.posts), -1), [0] * len(some.posts))
        by_user: dict[str, list[float]] = {}
        for post, right in zip(some.posts, found, strict=True):
            by_user.setdefault(post.user, []).append(float(right))
        return by_user


def _others(user: str, history: Mapping[str, Any], row: int) -> list[str]:
    """Return the user and nine others, of other voices where there are voices, drawn by the row."""
    import numpy as np

    voice = voice_of(user)
    by_voice: dict[str, str] = {}
    for other in np.random.default_rng((PAST_SEED, row)).permutation(sorted(history)).tolist():
        if voice_of(other) != voice:
            by_voice.setdefault(voice_of(other), other)
    return [user, *list(by_voice.values())[: USERS - 1]]
