"""What is trained for the starter's image-text model, a head and a small text tower, and how retrieval is scored."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbone.training.loop import FitResult, TrainConfig, fit

DEPTHS = (1, 5, 10)


def retrieval(images: Tensor, texts: Tensor, captions: Sequence[str]) -> dict[str, float]:
    """Rank the distinct captions for each image.

    Args:
        images: The images' vectors (N, d), float32, L2-normalised.
        texts: The vectors of the caption of each image (N, d), float32, L2-normalised.
        captions: N captions, in the form in which equal ones are equal strings.

    Returns:
        ``recall_1``, ``recall_5``, ``recall_10`` and ``mrr`` (mean reciprocal rank); ``chance_1`` and so on, what
        guessing gives; ``images`` and ``captions``, the counts. Of captions that tie, the true one comes last.
    """
    numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
    first = [captions.index(caption) for caption in numbers]
    gold = torch.tensor([numbers[caption] for caption in captions])
    scores = images @ texts[first].T
    own = scores.gather(1, gold[:, None])
    rank = (scores >= own).sum(1)  # the true caption counts itself
    found = {f"recall_{k}": float((rank <= k).float().mean()) for k in DEPTHS}
    chance = {f"chance_{k}": min(1.0, k / len(numbers)) for k in DEPTHS}
    counts = {"images": float(len(captions)), "captions": float(len(numbers))}
    return found | {"mrr": float((1 / rank).mean())} | chance | counts


def retrieval_by_set(
    images: Tensor, texts: Tensor, captions: Sequence[str], sets: Sequence[str]
) -> dict[str, dict[str, float]]:
    """`retrieval` within each set of images, and over all of them together."""
    table = {}
    for name in sorted(set(sets)):
        rows = [row for row, own in enumerate(sets) if own == name]
        table[name] = retrieval(images[rows], texts[rows], [captions[row] for row in rows])
    return table | {"all": retrieval(images, texts, captions)}


def ridge(features: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Return weights (f, d) and offset (d,) that map ``features`` (N, f) to ``targets`` (N, d) by ridge regression."""
    center, middle = features.mean(0), targets.mean(0)
    shifted = features - center
    gram = shifted.T @ shifted + strength * torch.eye(features.shape[1])
    weights = torch.linalg.solve(gram, shifted.T @ (targets - middle))
    return weights, middle - center @ weights


def apply_ridge(features: Tensor, fitted: tuple[Tensor, Tensor]) -> Tensor:
    """Map features (N, f) to L2-normalised rows (N, d)."""
    return F.normalize(features @ fitted[0] + fitted[1], dim=-1)


BATCH = 256
_INPUT_DROPOUT = 0.3
_REACH = 16.0
"""How far into GELU's bend a head that starts as a linear map reaches: the more, the sooner it learns to bend."""
_LENGTHS = 4  # parts of a batch of texts, by length
_TEXT_NOISE = 0.03  # standard deviation of the noise on caption vectors, per dimension (their length is about 0.9)


class Rows:
    """Training samples that are rows of tensors, for `fit`."""

    def __init__(self, *columns: Tensor) -> None:
        self.columns = columns
        digest = hashlib.sha256()
        for column in columns:
            digest.update(f"{column.dtype}{tuple(column.shape)}".encode())
            digest.update(column.contiguous().numpy().tobytes())
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.columns[0])

    def collate(self, indices: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the rows of each column."""
        return tuple(column[list(indices)] for column in self.columns)


@dataclass(frozen=True, kw_only=True)
class CaptionBank:
    """The distinct captions that images are distinguished from."""

    vectors: Tensor  # (M, d) float32, the teacher's, centred
    same: Tensor  # (M, M) bool: captions that are equal once normalised, so that each is a right answer for the other


class HeadObjective(nn.Module):
    """Contrastive training of the image head: InfoNCE against every training caption, and back within the batch.

    The text side is the teacher's space as it is; what is learnt is the way into it (as in LiT, Zhai et al. 2022,
    with the roles exchanged). Features are standardised here; `fold` moves that into the head's first layer.
    """

    def __init__(self, head: nn.Module, scale: nn.Parameter, bank: CaptionBank, features: Tensor) -> None:
        super().__init__()
        self.head, self.scale = head, scale
        self.bank = bank
        self.mean: Tensor = features.mean(0)
        self.deviation: Tensor = features.std()

    def embed(self, features: Tensor) -> Tensor:
        """Map raw tower features (B, f) to (B, d), L2-normalised."""
        return F.normalize(self.head(self.standardise(features)), dim=-1)

    def standardise(self, features: Tensor) -> Tensor:
        """Return raw tower features as the head takes them while it is trained."""
        return (features - self.mean) / self.deviation

    def forward(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the summed loss of (features (B, f), caption numbers (B,)) and B."""
        features, numbers = batch
        noise = _TEXT_NOISE * torch.randn_like(self.bank.vectors)
        texts = F.normalize(self.bank.vectors + noise, dim=-1)
        dropped = self.mean + F.dropout(features - self.mean, _INPUT_DROPOUT, self.training)
        logits = self.scale.exp() * self.embed(dropped) @ texts.T
        right = self.bank.same[numbers].float()
        loss = cross_entropy(logits, right) + cross_entropy(logits[:, numbers].T, right[:, numbers])
        return loss / 2, torch.tensor(float(len(numbers)))

    @torch.no_grad()
    def fold(self) -> None:
        """Put the standardisation into the head's first layer, so that the head takes raw features."""
        layer = next(module for module in self.head.modules() if isinstance(module, nn.Linear))
        layer.weight.div_(self.deviation)
        layer.bias.sub_(layer.weight @ self.mean)
        self.mean, self.deviation = torch.zeros_like(self.mean), torch.ones(())


@torch.no_grad()
def start_from_ridge(head: nn.Module, fitted: tuple[Tensor, Tensor]) -> None:
    """Make a head of two layers the linear map of a ridge, exactly: gelu(x) - gelu(-x) is x.

    Args:
        head: The head, whose hidden layer is twice as wide as its output.
        fitted: The weights (f, d) and the offset (d,), as `ridge` gives them.
    """
    first, last = (module for module in head.modules() if isinstance(module, nn.Linear))
    weights, offset = fitted
    first.weight.copy_(_REACH * torch.cat([weights.T, -weights.T]))
    first.bias.copy_(_REACH * torch.cat([offset, -offset]))
    one = torch.eye(len(offset))
    last.weight.copy_(torch.cat([one, -one], dim=1) / _REACH)
    last.bias.zero_()


def cross_entropy(logits: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy summed over rows, the right answers of a row sharing its mass."""
    return -(right / right.sum(1, keepdim=True) * F.log_softmax(logits, dim=1)).sum()


class TextObjective(nn.Module):
    """Distillation of a teacher's sentence vectors into an open_clip text tower: one minus the cosine."""

    def __init__(self, text: Any, end_id: int) -> None:
        super().__init__()
        self.text = text
        self.end_id = end_id

    def forward(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the summed loss of (ids (B, T), teacher's vectors (B, d)) and B."""
        ids, wanted = batch
        vectors = self.embed(ids)
        return (1 - F.cosine_similarity(vectors, wanted.float(), dim=-1)).sum(), torch.tensor(float(len(ids)))

    def embed(self, ids: Tensor) -> Tensor:
        """Encode (B, T) token ids, texts of like length together: padding would be two thirds of the work."""
        order = (ids == self.end_id).int().argmax(1).argsort(stable=True)
        vectors = torch.cat([self._embed_trimmed(part) for part in ids[order].chunk(_LENGTHS)])
        return vectors[order.argsort()]

    def _embed_trimmed(self, ids: Tensor) -> Tensor:
        # without the columns after the longest text, which a causal tower does not look at anyway
        length = int((ids == self.end_id).int().argmax(1).max()) + 1
        ids = ids[:, :length]
        states = self.text.token_embedding(ids) + self.text.positional_embedding[:length]
        states = self.text.transformer(states, attn_mask=self.text.attn_mask[:length, :length])
        ends = self.text.ln_final(states)[torch.arange(len(ids)), (ids == self.end_id).int().argmax(1)]
        vectors: Tensor = ends @ self.text.text_projection
        return vectors


def train_head(
    objective: HeadObjective,
    rows: Rows,
    score: Callable[[], float],
    folder: Path,
    *,
    seed: int,
    epochs: int = 12,
    lr: float = 2e-4,
) -> FitResult:
    """Train the image head; the validation images choose the weights that are kept."""
    config = TrainConfig(
        epochs=epochs, batch_size=BATCH, lr=lr, weight_decay=0.0, warmup=0.1, schedule="cosine", floor=0.02,
        clip_norm=0.0, eval_every=24, save_every=400, seed=seed,
    )  # fmt: skip
    objective.head.requires_grad_(True)
    objective.scale.requires_grad_(True)
    return fit(objective, rows, config, folder=folder, evaluate=lambda: {"score": score()})


def train_text(
    objective: TextObjective, rows: Rows, folder: Path, *, seed: int, steps: int, lr: float = 2e-3
) -> FitResult:
    """Train the text tower."""
    config = TrainConfig(
        steps=steps, batch_size=BATCH, lr=lr, weight_decay=0.01, warmup=0.05, schedule="cosine", floor=0.02,
        save_every=250, seed=seed,
    )  # fmt: skip
    objective.text.requires_grad_(True)
    return fit(objective, rows, config, folder=folder)


@torch.no_grad()
def start_from_teacher(text: Any, ids: Tensor, wanted: Tensor) -> None:
    """Start each token at the mean of the teacher's vectors of the training texts it stands in, reduced by PCA.

    Args:
        text: The text tower; its token table and projection are set.
        ids: The token ids of the training texts (N, T).
        wanted: The teacher's vectors (N, d).
    """
    size, width = text.token_embedding.weight.shape
    sums, counts = torch.zeros(size, wanted.shape[1]), torch.zeros(size, 1)
    for column in ids.T:
        sums.index_add_(0, column, wanted.float())
        counts.index_add_(0, column, torch.ones(len(column), 1))
    # eigh sorts upwards: the last axes carry most
    axes = torch.linalg.eigh(wanted.float().T @ wanted.float()).eigenvectors.T[-width:]
    table = sums / counts.clamp(min=1) @ axes.T
    text.token_embedding.weight.copy_(table / table.std().clamp(min=1e-6) * 0.1)
    text.text_projection.copy_(axes)
