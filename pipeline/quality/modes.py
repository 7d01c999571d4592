"""Has a mode been lost? Shares of classes, or of clusters where there are no classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]
Assign = Callable[[Points], NDArray[np.integer]]

CLUSTERS = 20
ROWS_A_CLUSTER = 25
# A mode with less than this part of its real share is lost.
LOST = 0.2

__all__ = ["fit_clusters", "mode_figures"]


def fit_clusters(training: Points, seed: int = 0) -> Assign:
    """The map from features to one of up to 20 k-means clusters of training rows.

    Reference: Richardson, Weiss (2018), On GANs and GMMs, section 3 (number of statistically
        different bins).
    """
    from sklearn.cluster import KMeans

    count = max(1, min(CLUSTERS, len(training) // ROWS_A_CLUSTER, len(np.unique(training, axis=0))))
    model = KMeans(count, n_init=2, random_state=seed).fit(np.asarray(training, dtype=np.float64))
    return lambda points: np.asarray(model.predict(np.asarray(points, dtype=np.float64)))


def mode_figures(real: NDArray[np.integer], other: NDArray[np.integer]) -> dict[str, float]:
    """How the shares of modes agree.

    Args:
        real, other: (N,) and (M,) the mode of each row.

    Returns:
        modes_covered: share of the real modes that hold at least a fifth of the share they should
        (modes too small to be met by M rows are left out); mode_share_similarity: one minus the
        total variation of the shares. Both in [0, 1], higher is better.
    """
    count = int(max(real.max(), other.max())) + 1
    a, b = (np.bincount(part, minlength=count) / len(part) for part in (real, other))
    expected = a * len(other) * LOST >= 1
    covered = b[expected] >= LOST * a[expected]
    return {
        "modes_covered": float(covered.mean()) if expected.any() else float("nan"),
        "mode_share_similarity": float(1.0 - 0.5 * np.abs(a - b).sum()),
    }
