"""Features of pictures in which distances mean more than in pixels.

Nothing is downloaded: a small classifier trained on the data's own classes where there are some,
else principal components of the pixels. Each has a name, which figures carry: a distance means
nothing without the features it is measured in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.quality.pictures import Pictures, tensor

Points = NDArray[np.floating]

COMPONENTS = 64
FEATURES = 64
STEPS = 400
BATCH = 128
CHUNK = 500
# a classifier is trained on at most so many pictures
PICTURES = 10_000

__all__ = ["Extractor", "fit_classifier", "fit_components"]


class Extractor(NamedTuple):
    """Features of pictures.

    Attributes:
        name: what figures carry, such as ``cnn-digits``.
        features: pictures (N, H, W, C) → (N, F) float64.
        classify: pictures → (N,) class numbers, None without classes.
        facts: for the record: training rows, accuracy on held-out pictures, hash of the weights.
    """

    name: str
    features: Callable[[Pictures], Points]
    classify: Callable[[Pictures], NDArray[np.integer]] | None
    facts: dict[str, Any]


def fit_components(pictures: Pictures, seed: int = 0) -> Extractor:
    """Up to 64 principal components of the pixels, ``pca-64``.

    They see brightness and coarse shape, not meaning: good enough to catch a collapse, not to
    rank two good models.
    """
    from sklearn.decomposition import PCA

    flat = _flat(pictures)
    count = min(COMPONENTS, flat.shape[1], max(1, len(flat) // 4))
    model = PCA(count, svd_solver="randomized", random_state=seed).fit(flat)
    explained = float(model.explained_variance_ratio_.sum())
    return Extractor(
        f"pca-{count}",
        _scaled(lambda more: np.asarray(model.transform(_flat(more)), np.float64), pictures),
        None,
        {"pictures": len(pictures), "explained_variance": explained},
    )


def fit_classifier(
    pictures: Pictures,
    classes: NDArray[Any],
    held_out: Pictures,
    held_out_classes: NDArray[Any],
    name: str,
    seed: int = 0,
    steps: int = STEPS,
) -> Extractor:
    """The 64 features before the last layer of a small convolutional classifier.

    Args:
        pictures: (N, H, W, C) that train it; of more than 10,000 a uniform sample.
        classes: (N,) of any type.
        held_out, held_out_classes: tell how good it is (``facts["accuracy"]``): features of a
            classifier that has not learned its classes mean little.
        name: of the data; the extractor's is ``cnn-NAME``.
        seed: the same rows and seed give the same features.
        steps: of its training.
    """
    chosen = np.random.default_rng(seed).permutation(len(pictures))[:PICTURES]
    names, numbers = np.unique(np.asarray(classes)[chosen].astype(str), return_inverse=True)
    network = _train(tensor(pictures[chosen]), torch.from_numpy(numbers), len(names), seed, steps)

    features = _scaled(lambda more: _apply(network[:-1], more).astype(np.float64), pictures[chosen])

    def classify(more: Pictures) -> NDArray[np.integer]:
        return np.asarray(_apply(network, more).argmax(axis=1))

    right = names[classify(held_out)] == np.asarray(held_out_classes).astype(str)
    weights = b"".join(p.detach().numpy().tobytes() for p in network.parameters())
    facts = {
        "pictures": len(chosen),
        "classes": len(names),
        "accuracy": float(right.mean()),
        "weights": hashlib.sha256(weights).hexdigest()[:12],
    }
    return Extractor(f"cnn-{name}", features, classify, facts)


def _scaled(features: Callable[[Pictures], Points], pictures: Pictures) -> Callable[..., Points]:
    """The features about their mean, in units in which their mean variance is 1: distances then
    have one scale whatever the network's weights."""
    seen = features(pictures)
    middle, scale = seen.mean(axis=0), float(np.sqrt(seen.var(axis=0).mean())) or 1.0
    return lambda more: (features(more) - middle) / scale


def _train(x: Tensor, y: Tensor, classes: int, seed: int, steps: int) -> nn.Sequential:
    """Two convolutions, 64 features, one line to the classes; Adam."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(x.shape[1], 16, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(tuple(-(-side // 2) for side in x.shape[2:])),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(512, FEATURES),
            nn.ReLU(),
            nn.Linear(FEATURES, classes),
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        loss = nn.CrossEntropyLoss()
        for _ in range(steps):
            rows = torch.randint(len(x), (min(BATCH, len(x)),))
            optimizer.zero_grad()
            loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return network.eval()


@torch.no_grad()
def _apply(network: nn.Module, pictures: Pictures) -> NDArray[np.float32]:
    return torch.cat([network(chunk) for chunk in tensor(pictures).split(CHUNK)]).numpy()


def _flat(pictures: Pictures) -> Points:
    return np.asarray(tensor(pictures).flatten(1).numpy())
