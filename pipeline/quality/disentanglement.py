"""Does each latent stand for one factor of the data? Needs data whose factors are known.

Codes are (N, L) posterior means; factors (N, F) whole numbers, the value of each factor. All
figures are 0 for codes that say nothing and 1 for one latent a factor, up to their finite-sample
noise; none is moved by the order, sign or scale of the latents, all are by a rotation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.floating]
Factors = NDArray[np.integer]

BINS = 20
TREES = 40

__all__ = ["dci", "disentanglement", "mutual_information_gap", "separated_predictability"]


def disentanglement(codes: Codes, factors: Factors, seed: int = 0) -> dict[str, float]:
    """All of them: mig, sap, dci_disentanglement, dci_completeness, dci_informativeness.

    Args:
        codes: (N, L).
        factors: (N, F), at least two values each.
        seed: of the trees and of the rows that judge them.
    """
    return {
        "mig": mutual_information_gap(codes, factors),
        "sap": separated_predictability(codes, factors),
        **{f"dci_{name}": value for name, value in dci(codes, factors, seed).items()},
    }


def mutual_information_gap(codes: Codes, factors: Factors) -> float:
    """MIG: mean over factors of the information that the best latent has more than the next,
    over the factor's entropy; in [0, 1].

    Latents are cut into 20 bins of equal width, as in the paper's followers: many rows are needed.

    Reference: Chen et al. (2018), Isolating sources of disentanglement, eq. 6.
    """
    from sklearn.metrics import mutual_info_score

    bins = [np.digitize(column, np.histogram_bin_edges(column, BINS)[1:-1]) for column in codes.T]
    gaps = []
    for factor in factors.T:
        entropy = mutual_info_score(factor, factor)
        shared = sorted((mutual_info_score(factor, cut) for cut in bins), reverse=True)
        gaps.append((shared[0] - (shared[1] if len(shared) > 1 else 0.0)) / entropy)
    return float(np.mean(gaps))


def separated_predictability(codes: Codes, factors: Factors) -> float:
    """SAP: mean over factors of how much better the best latent alone predicts it than the next,
    by a straight line; in [0, 1].

    By the squared correlation with the number of the factor's value; a factor without order, such
    as a shape, is understated.

    Reference: Kumar, Sattigeri, Balakrishnan (2018), DIP-VAE, section 3 (regression form).
    """
    centred = codes - codes.mean(axis=0)
    scale = np.sqrt((centred**2).sum(axis=0))
    gaps = []
    for factor in factors.T:
        value = factor - factor.mean()
        products = np.abs(centred.T @ value) / np.sqrt((value**2).sum())
        r2 = np.sort(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0) ** 2)
        gaps.append(r2[-1] - (r2[-2] if len(r2) > 1 else 0.0))
    return float(np.mean(gaps))


def dci(codes: Codes, factors: Factors, seed: int = 0) -> dict[str, float]:
    """Disentanglement (a latent serves one factor), completeness (a factor is served by one
    latent) and informativeness (it can be read off at all), each in [0, 1].

    By the importances of random forests that read each factor from the codes; informativeness is
    their accuracy on a quarter of the rows, above that of the commonest value and over what is
    then missing.

    Reference: Eastwood, Williams (2018), A framework for the quantitative evaluation of
        disentangled representations, section 2.
    """
    from sklearn.ensemble import RandomForestClassifier

    order = np.random.default_rng(seed).permutation(len(codes))
    left, fit = np.split(order, [len(order) // 4])
    importance, accuracy = [], []
    for factor in factors.T:
        forest = RandomForestClassifier(
            TREES, max_features=None, min_samples_leaf=3, random_state=seed
        )
        forest.fit(codes[fit], factor[fit])
        importance.append(forest.feature_importances_)
        commonest = np.bincount(factor[left] - factor.min()).max() / len(left)
        right = float(np.mean(forest.predict(codes[left]) == factor[left]))
        accuracy.append(max(0.0, right - commonest) / max(1.0 - commonest, 1e-12))
    weights = np.array(importance).T  # (L, F)
    total = weights.sum()
    of_latent = weights.sum(axis=1) / total
    of_factor = weights.sum(axis=0) / total
    return {
        "disentanglement": float(of_latent @ _concentration(weights)),
        "completeness": float(of_factor @ _concentration(weights.T)),
        "informativeness": float(np.mean(accuracy)),
    }


def _concentration(weights: NDArray[np.floating]) -> NDArray[np.floating]:
    """One minus the entropy of each row's shares, over its most."""
    shares = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    logs = np.log(np.maximum(shares, 1e-12))
    most = np.log(max(weights.shape[1], 2))
    return np.asarray(1.0 + (shares * logs).sum(axis=1) / most)
