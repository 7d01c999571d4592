"""The methods that the quality benchmark compares, all at their default settings.

A method is fitted on training rows and a seed, and gives back the function that scores rows:
higher is more anomalous. Given the very array that it was fitted on, it scores training rows: kNN
and LOF then do not count a row as its own neighbour. PyOD's LUNAR does, as it is shipped.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

Scores = Callable[[Any], np.ndarray]
Method = Callable[[Any, int], Scores]


def vae_detector(**settings: Any) -> Method:
    """This project's detector, with `settings` beside its defaults."""

    def fit(train: Any, seed: int) -> Scores:
        from pipeline import VAEDetector

        detector = VAEDetector(**settings, random_state=seed).fit(train)
        return lambda rows: -detector.score_samples(rows)

    return fit


def knn(train: np.ndarray, seed: int) -> Scores:
    """Distance to the fifth neighbour."""
    neighbours = NearestNeighbors(n_neighbors=min(5, len(train) - 1)).fit(train)
    return lambda rows: neighbours.kneighbors(None if rows is train else rows)[0][:, -1]


def lof(train: np.ndarray, seed: int) -> Scores:
    """Local outlier factor of twenty neighbours."""
    model = LocalOutlierFactor(n_neighbors=min(20, len(train) - 1), novelty=True).fit(train)
    return lambda rows: (
        -(model.negative_outlier_factor_ if rows is train else model.score_samples(rows))
    )


def isolation_forest(train: np.ndarray, seed: int) -> Scores:
    """scikit-learn's, at its defaults."""
    forest = IsolationForest(random_state=seed).fit(train)
    return lambda rows: -forest.score_samples(rows)


def pca(train: np.ndarray, seed: int) -> Scores:
    """Squared error of the reconstruction from the components that hold 90 % of the variance."""
    model = PCA(n_components=0.9, svd_solver="full").fit(train)
    return lambda rows: np.square(rows - model.inverse_transform(model.transform(rows))).sum(1)


def pyod(module: str, name: str, **settings: Any) -> Method:
    """One of PyOD's detectors; `settings` may ask for the seed with `random_state=True`."""

    def fit(train: np.ndarray, seed: int) -> Scores:
        import importlib

        chosen = settings | ({"random_state": seed} if settings.get("random_state") else {})
        torch.manual_seed(seed)
        np.random.seed(seed)
        with quiet():
            detector = getattr(importlib.import_module(f"pyod.models.{module}"), name)(**chosen)
            detector.fit(train)

        def scores(rows: np.ndarray) -> np.ndarray:
            with quiet():
                return detector.decision_function(rows)

        return scores

    return fit


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """PyOD's progress bars and its own warnings are not ours to show."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


OURS = "VAEDetector"
WARY = "VAEDetector, trim 0.1"
METHODS: dict[str, Method] = {
    OURS: vae_detector(),
    WARY: vae_detector(trim=0.1),  # up to a tenth of the training rows may be anomalies
    "kNN": knn,
    "LOF": lof,
    "IForest": isolation_forest,
    "ECOD": pyod("ecod", "ECOD"),
    "PCA": pca,
    "INNE": pyod("inne", "INNE", random_state=True),
    "OCSVM": pyod("ocsvm", "OCSVM"),
    "LUNAR": pyod("lunar", "LUNAR"),
    "PyOD_VAE": pyod("vae", "VAE", verbose=0, random_state=True),
    "PyOD_AE": pyod("auto_encoder", "AutoEncoder", verbose=0, random_state=True),
}
