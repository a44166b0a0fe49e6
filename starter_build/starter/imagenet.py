"""What the image tower's own classifier knows of ImageNet's classes, as rows for a ridge to learn from.

The tower was trained to tell a thousand classes apart, and no image of theirs is here; but a linear classifier says
where the images of a class lie. If all classes spread alike, the weights of a class are the inverse covariance of the
features times the mean of its images (linear discriminant analysis), so that the covariance times the weights is the
mean.
"""

import importlib.util
from collections.abc import Collection
from pathlib import Path

import torch
import torch.nn.functional as F
from timm.data.imagenet_info import ImageNetInfo
from torch import Tensor

from backbone.errors import PolygraftError
from backbone.image_towers import TOWERS, tower_tensors
from starter_build.datasets.captions import concept, normalise
from starter_build.datasets.lexicon import Lexicon

_WEIGHTS, _CLASSES = "_fc.weight", 1000


def class_names(lexicon: Lexicon, captions: Collection[str], concepts: Collection[str]) -> dict[int, str]:
    """Return the first name of each class by its number, without the classes that held-out images show.

    Args:
        lexicon: tells what a name is about.
        captions: held-out captions, normalised; a class one of whose names is among them is left out.
        concepts: held-out concepts; a class one of whose names is about one of them is left out.
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
    tower_tensors(name, {})  # looks at the file before it is read
    tower = TOWERS[name]
    spec = importlib.util.find_spec(tower.module)
    assert spec is not None and spec.origin is not None
    tensors = torch.load(Path(spec.origin).parent / tower.file, map_location="cpu", weights_only=True)
    if _WEIGHTS not in tensors:
        raise PolygraftError(f"the image tower {name} has no classifier {_WEIGHTS}")
    weights: Tensor = tensors[_WEIGHTS].float()
    return weights - weights.mean(0)


def class_features(weights: Tensor, features: Tensor) -> Tensor:
    """Return where the images of each class lie, as rows as long as those of images are on average.

    Args:
        weights: (C, f), the classifier's, their mean taken off.
        features: (N, f), of images, their mean taken off.
    """
    length = float(features.norm(dim=1).mean())
    return length * F.normalize(weights @ (features.T @ features), dim=1)
