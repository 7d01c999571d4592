"""Generated rows among real ones, by nearest neighbours: fidelity, diversity, copies.

Points are (N, F) features in which Euclidean distance means something.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]

NEIGHBOURS = 5
# A row this many times nearer to one training row than to the next is a copy of it.
COPY_RATIO = 1 / 3

__all__ = ["copies", "manifold", "nearer_to_training", "nearest_rows"]


def manifold(real: Points, other: Points, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision, recall, density and coverage of ``other`` by balls around each point.

    A ball reaches to the k-th nearest point of the same set. All are higher is better and, unlike
    what their names suggest, below 1 for two samples of one law.

    Args:
        real: (N, F), N > 1.
        other: (M, F), M > 1; as many as real ones, or the figures are not comparable.
        k: neighbours.

    Returns:
        precision: share of ``other`` within some real ball; recall: share of ``real`` within some
        ball of ``other``; density: mean number of real balls around one of ``other``, over k;
        coverage: share of real balls that hold one of ``other``.

    Reference: Kynkäänniemi et al. (2019), Improved precision and recall metric, eq. 2; Naeem et
        al. (2020), Reliable fidelity and diversity metrics, eq. 4 and 5.
    """
    k = min(k, len(real) - 1, len(other) - 1)
    radius, other_radius = _radius(real, k), _radius(other, k)
    distance = _distances(real, other)
    inside = distance <= radius[:, None]
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((distance <= other_radius[None]).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / k),
        "coverage": float(inside.any(axis=1).mean()),
    }


def copies(points: Points, training: Points) -> dict[str, float]:
    """Is it training rows that come out again?

    Args:
        points: (N, F) generated rows, or held-out ones for comparison.
        training: (M, F) as many of the training rows as can be.

    Returns:
        nearest_distance: median distance to the nearest training row; far below that of held-out
        rows means copies, or rows that are all in the middle.
        copied_share: share of rows three times nearer to one training row than to the next, or on
        top of it. Rows that are merely average do not move it; held-out rows have a share too,
        where rows repeat by nature.

    Reference: Yoon et al. (2023), Diffusion probabilistic models generalize when they fail to
        memorize, section 3.
    """
    nearest = _nearest(points, training, 2)
    copied = nearest[:, 0] <= COPY_RATIO * nearest[:, 1]
    return {
        "nearest_distance": float(np.median(nearest[:, 0])),
        "copied_share": float(copied.mean()),
    }


def nearest_rows(points: Points, training: Points) -> NDArray[np.integer]:
    """(N,) position of the training row nearest to each point."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(training)
    return np.asarray(model.kneighbors(points, return_distance=False)[:, 0])


def nearer_to_training(points: Points, training: Points, held_out: Points, seed: int = 0) -> float:
    """Share of rows nearer to training rows than to as many held-out rows; ½ where the model has
    learned the law and not the rows. Ties count half."""
    size = min(len(training), len(held_out))
    rng = np.random.default_rng(seed)
    own, unseen = (
        _nearest(points, part[rng.permutation(len(part))[:size]], 1)[:, 0]
        for part in (training, held_out)
    )
    return float(np.mean(own < unseen) + 0.5 * np.mean(own == unseen))


def _radius(points: Points, k: int) -> Points:
    """Distance of each point to its k-th nearest fellow."""
    distance = _distances(points, points)
    np.fill_diagonal(distance, -1.0)
    return np.asarray(np.partition(distance, k, axis=1)[:, k])


def _nearest(points: Points, reference: Points, count: int) -> Points:
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=min(count, len(reference)), algorithm="brute")
    found = model.fit(reference).kneighbors(points)[0]
    return np.asarray(found if found.shape[1] == count else np.repeat(found, count, axis=1))


def _distances(a: Points, b: Points) -> Points:
    from sklearn.metrics import pairwise_distances

    return np.asarray(pairwise_distances(a, b))
