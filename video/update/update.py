"""Updates of a vocabulary from new videos: proposals are accepted by test, recorded, and can be rolled back.

After VLog, section 3.4, whose update appends every answer of a model. Here a sentence is accepted only if it matches
its segment clearly better than all existing narrations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.checkpoint import FrozenPart
from backbone.errors import UsageError
from video.config import UpdateOptions as UpdateOptions
from video.timeline.query import Segment
from video.update.proposers import Proposer, parse_proposals
from video.update.rollback import locked
from video.vocabulary.entries import Counts, Entry, Origin
from video.vocabulary.narrations import clean
from video.vocabulary.storage import FORMAT, UPDATE_KIND, Tried, Update, UpdateHeader, no_rows, save_update
from video.vocabulary.vectors import TextEncoder
from video.vocabulary.vocabulary import NarrationVocabulary

Clock = Callable[[], datetime]
Outcome = Literal["admitted", "duplicate", "no better", "over the cap"]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a proposal enters the vocabulary."""

    text: str
    outcome: Outcome
    score: float  # cosine similarity with the segment's query
    beaten: float  # that of the best narration of the vocabulary before


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Result of an update."""

    vocabulary: NarrationVocabulary  # with what was admitted
    update: Update | None  # none where there was no segment to ask about
    decisions: tuple[Decision, ...]  # on every proposal of this call


def decide(
    vocabulary: NarrationVocabulary,
    query: Tensor,
    texts: Sequence[str],
    vectors: Tensor,
    *,
    options: UpdateOptions,
    room: int,
) -> list[Decision]:
    """Decide which proposals for a segment enter the vocabulary; the closest first.

    Args:
        vocabulary: As it is.
        query: (d,), of the segment.
        texts: Proposals, all different.
        vectors: (len(texts), d) float16, theirs.
        options: What is accepted.
        room: How many may be.

    Returns:
        The decision on each, closest first.
    """
    if not texts:
        return []
    direction = F.normalize(query.cpu().float(), dim=0).double()
    scores = (vectors.double() * direction).sum(dim=1).float()
    beaten = float(vocabulary.search(query[None]).scores[0, 0])
    least = beaten + options.gain
    nearest = vocabulary.search(vectors.float())
    decisions: list[Decision] = []
    admitted: list[int] = []
    for index in sorted(range(len(texts)), key=lambda index: (-float(scores[index]), texts[index])):
        similarity = (vectors[admitted].double() @ vectors[index].double()).tolist()
        outcome: Outcome = "admitted"
        same = vocabulary.entry(int(nearest.rows[index, 0])).text == texts[index]
        if same or max([float(nearest.scores[index, 0]), *similarity]) >= options.duplicate:
            outcome = "duplicate"
        elif float(scores[index]) <= least:
            outcome = "no better"
        elif len(admitted) >= room:
            outcome = "over the cap"
        else:
            admitted.append(index)
        decisions.append(Decision(text=texts[index], outcome=outcome, score=float(scores[index]), beaten=beaten))
    return decisions


def grow(
    folder: str | Path,
    segments: Sequence[Segment],
    proposer: Proposer,
    encoder: TextEncoder,
    *,
    options: UpdateOptions | None = None,
    device: str = "cpu",
    clock: Clock = lambda: datetime.now(UTC),
) -> Growth:
    """Ask for sentences about each segment of a video and add those that pass to a vocabulary's folder.

    The folder is written after each segment. If the proposer fails or the process is killed, what was admitted stays;
    the next call with the same video and proposer goes on with the segments that are left.

    Args:
        folder: Of a vocabulary with vectors.
        segments: What `video.timeline.query.novel_segments` gives, of one video; one call of the proposer for each.
        proposer: Gives the sentences.
        encoder: The one that made the vocabulary.
        options: What is accepted.
        device: Where to search.
        clock: The time for the record.

    Raises:
        PolygraftError: The folder is damaged, of another encoder, or being updated by another process; the proposer
            fails.
    """
    folder, options = Path(folder), options or UpdateOptions()
    video = segments[0].video if segments else ""
    if any(segment.video != video for segment in segments):
        raise UsageError("an update is of one video: call it once for each")
    with locked(folder):
        vocabulary = NarrationVocabulary.from_pretrained(folder, device=device)
        vocabulary.check_encoder(encoder.part)
        if not segments:
            return Growth(vocabulary=vocabulary, update=None, decisions=())
        update = _begun(vocabulary, video, proposer.name, encoder.part, _stamp(clock))
        decisions: list[Decision] = []
        for segment in segments:
            if any((tried.start, tried.stop) == (segment.start, segment.stop) for tried in update.header.segments):
                continue
            room = options.per_film - _admitted_of(vocabulary, video)
            if room <= 0:
                break
            texts = parse_proposals(proposer.propose(segment))
            vectors = encoder.half(texts)
            found = decide(vocabulary, segment.query, texts, vectors, options=options, room=room)
            update = _grown(update, segment, found, dict(zip(texts, vectors, strict=True)), encoder, _stamp(clock))
            save_update(folder, update)
            vocabulary = _replaced(vocabulary, update)
            decisions += found
        update = update.in_state("finished")
        save_update(folder, update)
        return Growth(vocabulary=_replaced(vocabulary, update), update=update, decisions=tuple(decisions))


# Parts


def _begun(vocabulary: NarrationVocabulary, video: str, proposer: str, text_encoder: FrozenPart, when: str) -> Update:
    """Return the update of the video that was not finished, or a new one."""
    for update in vocabulary.updates:
        if update.header.state == "open" and (update.header.film, update.header.proposer) == (video, proposer):
            return update
    # ids are never given again: a rolled-back update keeps its own
    latest = max((int(update.header.id) for update in vocabulary.updates), default=0)
    header = UpdateHeader(
        format=FORMAT,
        kind=UPDATE_KIND,
        id=f"{latest + 1:04d}",
        state="open",
        film=video,
        proposer=proposer,
        when=when,
        text_encoder=text_encoder,
        width=vocabulary.width,
        counts=Counts(),
        segments=(),
    )
    return Update(header=header, table=no_rows(vocabulary.width))


def _admitted_of(vocabulary: NarrationVocabulary, video: str) -> int:
    return sum(update.header.counts.prefixes for update in vocabulary.updates if update.header.film == video)


def _grown(
    update: Update,
    segment: Segment,
    decisions: Sequence[Decision],
    vectors: dict[str, Tensor],
    encoder: TextEncoder,
    when: str,
) -> Update:
    label = clean(segment.scene)
    entries = [
        Entry(
            text=decision.text,
            kind="prefix",
            videos=(segment.video,),
            scenarios=(label,) if label else (),
            origin=Origin(
                proposer=update.header.proposer,
                film=segment.video,
                start=segment.start,
                stop=segment.stop,
                when=when,
                score=decision.score,
                beaten=decision.beaten,
            ),
        )
        for decision in decisions
        if decision.outcome == "admitted"
    ]
    rows = [vectors[entry.text] for entry in entries]
    tried = Tried(start=segment.start, stop=segment.stop, proposed=len(decisions), admitted=len(entries))
    if label and entries:
        entries.append(Entry(text=label, kind="scene", videos=(segment.video,)))
        rows.append(encoder.half([label])[0])
    stacked = torch.stack(rows) if rows else torch.zeros(0, update.header.width).half()
    return update.grown(tried, entries, stacked.numpy())


def _replaced(vocabulary: NarrationVocabulary, update: Update) -> NarrationVocabulary:
    others = [other for other in vocabulary.updates if other.header.id != update.header.id]
    return replace(vocabulary, updates=tuple(sorted([*others, update], key=lambda one: one.header.id)))


def _stamp(clock: Clock) -> str:
    return clock().astimezone(UTC).isoformat(timespec="seconds")
