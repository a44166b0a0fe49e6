"""Scenes above narrations: which narration belongs to which, and how likely each scene is for a query.

VLog searches the narrations of the videos whose scene comes closest and no others (Section 3.2). Here the scene is a
prior, and the filter an option: a wrong scene then costs a little and hides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from backbone.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ScenePrior:
    """How much the scene counts: a narration scores ``cosine + weight * log p(scene)``."""

    weight: float = 0.02
    """What a unit of log-probability is worth in cosine; 0: nothing."""
    temperature: float = 0.05
    """p(scene) is the softmax of the cosines of query and scenes, divided by this."""
    keep: int = 0
    """Leave out the narrations of all but this many likeliest scenes, as VLog does (10 in its demo); 0: none."""

    def __post_init__(self) -> None:
        if self.weight < 0 or self.keep < 0:
            raise UsageError(f"scene weight is {self.weight} and keep is {self.keep}, allowed is 0 or more")
        if not self.temperature > 0:
            raise UsageError(f"scene temperature is {self.temperature}, allowed is more than 0")

    def values(self, queries: Tensor, scenes: Tensor) -> Tensor:
        """Return what membership of each scene adds to a score: (Q, C + 1), the last for belonging to none.

        Args:
            queries: (Q, d) vectors of what a video is about as a whole.
            scenes: (C, d) vectors of the labels.
        """
        directions = F.normalize(queries.to(scenes.device, torch.float32), dim=1)
        log_p = (directions @ scenes.float().T / self.temperature).log_softmax(dim=1)
        values = self.weight * log_p
        # nothing speaks for or against what belongs to no scene: it counts as a scene of middling likelihood
        none = self.weight * log_p.new_full((len(queries), 1), len(scenes)).log().neg()
        if 0 < self.keep < len(scenes):
            # stable, so that of equal scenes the lower row is kept
            order = log_p.sort(dim=1, descending=True, stable=True).indices
            values = values.scatter(1, order[:, self.keep :], -torch.inf)
        return torch.cat([values, none], dim=1)


@dataclass(frozen=True, kw_only=True)
class Membership:
    """The scenes of N narrations, as compressed rows."""

    starts: Tensor
    """(N + 1,) int64: the scenes of row i are ``scenes[starts[i] : starts[i + 1]]``."""
    scenes: Tensor
    """int32 numbers of scenes."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> "Membership":
        """Keep the scenes of each row."""
        lengths = torch.tensor([0, *map(len, rows)], dtype=torch.int64)
        scenes = torch.tensor([scene for row in rows for scene in row], dtype=torch.int32)
        return cls(starts=lengths.cumsum(0), scenes=scenes)

    def to(self, device: torch.device | str) -> "Membership":
        """Return the same on ``device``."""
        return Membership(starts=self.starts.to(device), scenes=self.scenes.to(device))

    def is_valid(self, scenes: int) -> bool:
        """Return whether the starts rise from 0 to the end and every scene is one of ``scenes``."""
        whole = len(self.starts) > 0 and int(self.starts[0]) == 0 and int(self.starts[-1]) == len(self.scenes)
        if not whole or bool((self.starts.diff() < 0).any()):
            return False
        return not len(self.scenes) or (int(self.scenes.min()) >= 0 and int(self.scenes.max()) < scenes)

    def best(self, values: Tensor, start: int, stop: int) -> Tensor:
        """Return for rows ``start`` to ``stop`` the most that one of their scenes adds: (Q, stop - start).

        Args:
            values: what `ScenePrior.values` gives.
            start: first row.
            stop: the row after the last.
        """
        ends = self.starts[start : stop + 1].to(values.device)
        scenes = self.scenes[int(ends[0]) : int(ends[-1])].to(values.device, torch.int64)
        lengths = ends.diff()
        row = torch.repeat_interleave(torch.arange(stop - start, device=values.device), lengths)
        best = values.new_full((len(values), stop - start), -torch.inf)
        best.scatter_reduce_(1, row.expand(len(values), -1), values[:, scenes], "amax")
        return torch.where(lengths == 0, values[:, -1:], best)
