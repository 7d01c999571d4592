"""How well detectors tell anomalies from normal rows: a version, the champion, PCA and kNN.

On labelled anomalies where the held-out rows have enough of them, else on synthetic ones of four
kinds. All detectors see the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluate import auroc
from pipeline.synthetic import KINDS, synthesise
from pipeline.synthetic_pictures import PICTURE_KINDS, synthesise_pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.sampling import Rows
    from vae_core import Scorer

    Floats = NDArray[np.float64]
    Score = Callable[[Mapping[str, NDArray]], Floats]

__all__ = [
    "BASELINES",
    "NORMAL_ROWS",
    "compare",
    "detection",
    "primary",
    "synthetic_anomalies",
]

NORMAL_ROWS = 4000
SYNTHETIC_ROWS = 500
REFERENCE_ROWS = 5000
FEWEST_LABELLED = 10
NEIGHBOURS = 5


def compare(
    scorers: Mapping[str, Scorer], training: Rows, held_out: Rows, seed: int = 0
) -> dict[str, dict[str, float]]:
    """AUROC of every detector on every kind of anomaly.

    Args:
        scorers: by name; ``version`` gives the encoding that PCA and kNN read.
        training: rows that PCA and kNN learn from; a few thousand are used.
        held_out: rows that none of the detectors has seen, with labels where there are some.
        seed: of samples and synthetic anomalies.

    Returns:
        Detector → kind of anomaly → AUROC; one kind, ``labelled``, where there are labels of both
        classes.
    """
    version = scorers["version"]
    scores: dict[str, Score] = {name: primary(one) for name, one in scorers.items()}
    reference = training.sample(REFERENCE_ROWS, seed).columns
    encoded = _encoded(version, reference)
    for name, fit in BASELINES.items():
        scores[name] = _on_encoded(version, fit(encoded))
    normal, anomalies = _material(held_out, seed)
    return {name: detection(score, normal, anomalies) for name, score in scores.items()}


def detection(
    score: Score, normal: Mapping[str, NDArray], anomalies: Mapping[str, Mapping[str, NDArray]]
) -> dict[str, float]:
    """AUROC of one score on every kind of anomaly.

    Args:
        score: of rows, (N,), higher is more anomalous.
        normal: rows that none of the training has seen.
        anomalies: rows by kind.
    """
    usual = score(normal)
    result = {}
    for kind, rows in anomalies.items():
        strange = score(rows)
        labels = np.arange(len(usual) + len(strange)) >= len(usual)
        values = np.nan_to_num(np.concatenate([usual, strange]), posinf=1e300)
        result[kind] = auroc(labels, values)
    return result


def synthetic_anomalies(
    normal: Mapping[str, NDArray], seed: int = 0
) -> dict[str, dict[str, NDArray]]:
    """Rows of each of the four kinds, made from normal ones; pictures have kinds of their own."""
    image = next((name for name, values in normal.items() if values.ndim > 1), None)
    if image is not None:
        rows = np.random.default_rng(seed).integers(0, len(normal[image]), SYNTHETIC_ROWS)
        base = {name: values[rows] for name, values in normal.items()}
        return {
            kind: {**base, image: synthesise_pictures(kind, base[image], seed)}
            for kind in PICTURE_KINDS
        }
    return {kind: synthesise(kind, normal, SYNTHETIC_ROWS, seed) for kind in KINDS}


def fit_pca(reference: Floats) -> Callable[[Floats], Floats]:
    """Reconstruction error from the components that hold 90 % of the variance."""
    from sklearn.decomposition import PCA

    rank = max(1, min(reference.shape[1] - 1, len(reference) - 1))
    model = PCA(n_components=rank, svd_solver="full").fit(reference)
    kept = 1 + int(np.searchsorted(np.cumsum(model.explained_variance_ratio_), 0.9))
    axes = model.components_[:kept]

    def score(rows: Floats) -> Floats:
        centred = rows - model.mean_
        return np.asarray(((centred - centred @ axes.T @ axes) ** 2).sum(axis=1))

    return score


def fit_knn(reference: Floats) -> Callable[[Floats], Floats]:
    """Mean distance to the five nearest training rows."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(reference))).fit(reference)
    return lambda rows: np.asarray(model.kneighbors(rows)[0].mean(axis=1))


BASELINES: dict[str, Callable[[Floats], Callable[[Floats], Floats]]] = {
    "PCA": fit_pca,
    "kNN": fit_knn,
}


def primary(scorer: Scorer) -> Score:
    """The scorer's own anomaly score."""
    return lambda rows: scorer.raw_scores(rows).anomaly_score


def _on_encoded(scorer: Scorer, score: Callable[[Floats], Floats]) -> Score:
    return lambda rows: score(_encoded(scorer, rows))


def _encoded(scorer: Scorer, rows: Mapping[str, NDArray]) -> Floats:
    """Standardised numbers, one-hot categories and masks, without the padding."""
    x = scorer.encoding.encode(rows)[0]
    return np.asarray(x[:, : scorer.encoding.layout.mask.stop], dtype=np.float64)


def _material(held_out: Rows, seed: int) -> tuple[dict[str, NDArray], dict[str, dict]]:
    known = held_out.with_labels()
    labels = None if known is None else known.labels
    if known is not None and labels is not None and _are_enough(labels):
        normal, odd = (known.take(rows).sample(NORMAL_ROWS, seed) for rows in (~labels, labels))
        return normal.columns, {"labelled": odd.columns}
    # a row without a label is as usual as most
    normal = held_out if held_out.labels is None else held_out.take(~held_out.labels)
    normal = normal.sample(NORMAL_ROWS, seed)
    return normal.columns, synthetic_anomalies(normal.columns, seed)


def _are_enough(labels: NDArray[np.bool_]) -> bool:
    return bool(min(labels.sum(), (~labels).sum()) >= FEWEST_LABELLED)
