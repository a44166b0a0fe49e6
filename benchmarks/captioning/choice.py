"""How the weights of `multimodal.reranking.rerank` were found: on training posts whose whole concept is left out.

The captions to choose from are past ones, the user's and borrowed ones, as they are when an image of an unseen concept
is captioned; each post once with and once without lenders of its author's voice, since not every user has the like.
What is learned is linear, and maximises the CIDEr-D to be expected when captions are drawn by the softmax of their
scores. Captions that are drawn by a captioner cannot be had so (it has learned from these very posts): what they weigh
is chosen on validation posts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from multimodal.metrics.bleu_cider import CiderD
from multimodal.profile.profile import NOBODY, Context, ContextLimits
from multimodal.reranking.rerank import KNOWN, NAMES, VOTERS, evidence
from starter_build.datasets.post_sets import scored_form
from starter_build.datasets.voice_posts import voice_of

if TYPE_CHECKING:
    from multimodal.batches import CaptionSet
    from multimodal.users.history import UserPosts
    from multimodal.users.neighbors import Community
    from starter_build.datasets.post_sets import Benchmark

POSTS = 2_400
"""Training posts that the weights are learned from, each with pasts of the three lengths, with and without lenders of
their own voice."""
PASTS = (None, 30, 3)
FOLDS = 4
DRAWN_TRIED, MADE_TRIED = (0.0, 1.0, 2.0, 4.0, 8.0), (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0)
_STEPS, _RATE, _BATCH = 2_000, 0.01, 600
_OF_DRAWN = ("drawn", "made")

Reals = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What there was to choose from for N images: at most K captions each."""

    evidence: Reals
    """(N, K, `NAMES`)."""
    gains: Reals
    """(N, K) CIDEr-D of each with the truth."""
    real: NDArray[np.bool_]
    """(N, K) false at padding."""
    concepts: NDArray[np.object_]
    """(N,)."""

    def take(self, rows: NDArray[np.bool_]) -> "Choices":
        """Return those of some images."""
        return Choices(
            evidence=self.evidence[rows], gains=self.gains[rows], real=self.real[rows], concepts=self.concepts[rows]
        )

    def chosen(self, weights: Mapping[str, float]) -> Reals:
        """Return the gain (N,) of the caption that scores best under weights, 0 where there is none."""
        scores = self.evidence @ np.array([weights.get(name, 0.0) for name in NAMES])
        best = np.where(self.real, scores, -np.inf).argmax(axis=1)
        return np.where(self.real.any(axis=1), self.gains[np.arange(len(best)), best], 0.0)


def choices(
    bench: "Benchmark",
    past: int | None,
    *,
    alone: bool = False,
    split: str = "train",
    posts: int = POSTS,
    seed: int = 7,
) -> Choices:
    """Return the past captions to choose from for posts of a split, none of the post's concept.

    Args:
        bench: the posts.
        past: past posts of each user, None: all.
        alone: whether none of the author's voice shares.
        split: of the posts.
        posts: posts at most, each text of a concept once by the users of a voice; drawn by ``seed``.
        seed: of the pasts and the posts.
    """
    data, groups = bench.data.splits[split], bench.data.groups(split)
    # users of one voice write the same of the same things
    first = {
        (voice_of(post.user), group, post.text): row
        for row, (post, group) in enumerate(zip(data.posts, groups, strict=True))
    }
    rows = sorted(np.random.default_rng(seed).permutation(sorted(first.values()))[:posts].tolist())
    data, concepts = data.take(rows), [groups[row] for row in rows]
    history = bench.pasts(sorted({post.user for post in data.posts}), past, seed=seed)
    shown = _shown(bench, data, concepts, history, alone=alone)
    known = []
    for post, concept in zip(data.posts, concepts, strict=True):
        own = history[post.user]
        texts = [text for text, group in zip(own.profile.texts, own.groups, strict=True) if group != concept]
        known.append(tuple(texts[-KNOWN:]))
    return gather_choices([()] * len(rows), shown, known, data.texts, concepts)


def _shown(
    bench: "Benchmark", data: "CaptionSet", concepts: Sequence[str], history: "dict[str, UserPosts]", *, alone: bool
) -> list[Context]:
    """Return what is shown for each post."""
    from multimodal.users.contexts import contexts

    limits = ContextLimits(words=0, posts=0, voters=VOTERS)
    found = [NOBODY] * len(data.posts)
    for borrowed, rows in _lending(bench, data, alone=alone):
        groups = [concepts[row] for row in rows]
        some = contexts(data.take(rows), history, bench.data.table, limits, groups=groups, community=borrowed)
        for row, context in zip(rows, some, strict=True):
            found[row] = context
    return found


def _lending(bench: "Benchmark", data: "CaptionSet", *, alone: bool) -> "Iterator[tuple[Community, list[int]]]":
    """Yield who shares to some posts, and the numbers of these posts."""
    from multimodal.users.neighbors import Community

    if not alone:
        yield bench.data.community, list(range(len(data.posts)))
        return
    voices = [voice_of(post.user) for post in data.posts]
    for voice in sorted(set(voices)):
        others = {user: past for user, past in bench.data.past.items() if voice_of(user) != voice}
        yield Community.of(others), [row for row, of in enumerate(voices) if of == voice]


def gather_choices(
    drawn: Sequence[Sequence[str]],
    shown: Sequence[Context],
    known: Sequence[Sequence[str]],
    truths: Sequence[str],
    concepts: Sequence[str],
) -> Choices:
    """Return what speaks for each caption of each image, and what it would gain."""
    utility = CiderD([[text] for text in _tokenized(truths)])
    found = [evidence(*row) for row in zip(drawn, shown, known, strict=True)]
    size = max(map(len, found))
    padded, real = np.zeros((len(found), size, len(NAMES))), np.zeros((len(found), size), dtype=bool)
    gains = np.zeros((len(found), size))
    for row, (columns, made, context, truth) in enumerate(zip(found, drawn, shown, _tokenized(truths), strict=True)):
        padded[row, : len(columns)], real[row, : len(columns)] = columns, True
        texts = _tokenized([*made, *(one.text for one in context.voters)])
        gains[row, : len(columns)] = utility.pairwise([*texts, truth])[:-1, -1]
    return Choices(evidence=padded, gains=gains, real=real, concepts=np.array(concepts, dtype=object))


def _tokenized(texts: Sequence[str]) -> list[str]:
    from multimodal.metrics.ptb import tokenizer as ptb

    return ptb.tokenize([scored_form(text) for text in texts]) if texts else []


def joined(several: Sequence[Choices]) -> Choices:
    """Return the images of all, padded to the longest."""
    size = max(one.real.shape[1] for one in several)

    def padded(columns: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
        fills = [((0, 0), (0, size - one.shape[1]), *((0, 0),) * (one.ndim - 2)) for one in columns]
        return np.concatenate([np.pad(one, fill) for one, fill in zip(columns, fills, strict=True)])

    return Choices(
        evidence=padded([one.evidence for one in several]),  # type: ignore[arg-type]
        gains=padded([one.gains for one in several]),  # type: ignore[arg-type]
        real=padded([one.real for one in several]),  # type: ignore[arg-type]
        concepts=np.concatenate([one.concepts for one in several]),
    )


def learned(found: Choices, *, seed: int = 0) -> dict[str, float]:
    """Return the weights with the greatest expected gain; those of captions drawn are left out."""
    import torch

    columns = [at for at, name in enumerate(NAMES) if name not in _OF_DRAWN]
    rows = found.evidence[..., columns]
    scale = rows[found.real].std(axis=0) + 1e-9
    inputs = torch.from_numpy(rows / scale)
    gains, padding = torch.from_numpy(found.gains), torch.from_numpy(~found.real)
    weights = torch.zeros(len(columns), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=_RATE)
    draws = np.random.default_rng(seed)
    for _ in range(_STEPS):
        batch = torch.from_numpy(draws.permutation(len(inputs))[:_BATCH])
        chance = (inputs[batch] @ weights).masked_fill(padding[batch], -1e4).softmax(dim=-1)
        loss = -(chance * gains[batch]).sum(dim=-1).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    values = weights.detach().numpy() / scale
    return {NAMES[at]: round(float(value), 4) for at, value in zip(columns, values, strict=True)}


def cross_validated(found: Choices, *, seed: int = 0) -> Reals:
    """Return the gain (N,) of what is chosen for each image by weights learned from other concepts."""
    names = sorted(set(found.concepts))
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % FOLDS, strict=True))
    folds = np.array([fold[concept] for concept in found.concepts])
    gains = np.zeros(len(folds))
    for number in range(FOLDS):
        gains[folds == number] = found.take(folds == number).chosen(learned(found.take(folds != number), seed=seed))
    return gains


def learned_choice(
    bench: "Benchmark",
) -> tuple[dict[tuple[int | None, bool], dict[str, dict[str, float]]], dict[str, float]]:
    """Return what choosing past captions gains in three ways, and the weights learned from all.

    The gains are by length of the past and by whether the author's voice shares none. Each way has its gain on training
    posts (``cross-validated`` by concept) and on ``validation`` posts.
    """
    settings = [(past, alone) for past in PASTS for alone in (False, True)]
    training = [choices(bench, past, alone=alone) for past, alone in settings]
    everything = joined(training)
    weights, gains = learned(everything), cross_validated(everything)
    tables: dict[tuple[int | None, bool], dict[str, dict[str, float]]] = {}
    for (past, alone), found in zip(settings, training, strict=True):
        held = choices(bench, past, alone=alone, split="validation")
        own, gains = gains[: len(found.real)], gains[len(found.real) :]
        fixed = {"nearest own": {"similarity": 1.0}, "votes": {"votes": 1.0}}
        table = {
            name: {"cross-validated": found.chosen(one).mean(), "validation": held.chosen(one).mean()}
            for name, one in fixed.items()
        }
        table["learned"] = {"cross-validated": own.mean(), "validation": held.chosen(weights).mean()}
        tables[past, alone] = table
    return tables, weights


def drawn_weights(found: Sequence[Choices], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of captions drawn, beside others, that gain most on the mean of several sets of choices."""
    tried = [{"drawn": drawn, "made": made} for drawn in DRAWN_TRIED for made in MADE_TRIED]
    return max(tried, key=lambda more: sum(one.chosen({**weights, **more}).mean() for one in found))
