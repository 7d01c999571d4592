"""By what a study judges settings, without labels.

Two things are measured on rows that neither trained the model nor stopped its training:

- ``elbo``: the held-out ELBO, nats per row of the original columns, higher is better; the median
  over rows, since one absurd row must not decide. It always has β = 1 and every constant, the
  log-Jacobian of the scaling included, so trials of one study can be compared by it: they share
  columns, likelihoods and rows, whatever latent, widths and β they train with.
- ``detection``: the primary score's AUROC, mean over four kinds of synthetic anomalies (local,
  global, dependency, cluster) that are made from the same rows and are the same in every trial.

The held-out ELBO alone is not enough. It asks how probable normal rows are, not how much less
probable abnormal ones: a decoder that writes any row in few nats has a high ELBO and flags
nothing. Synthetic anomalies alone are not enough either: they are not the real ones, and on easy
data every setting finds nearly all of them. So settings are ranked by each, and the lowest mean
rank wins.

Reference:
    Goswami et al., Unsupervised Model Selection for Time-series Anomaly Detection, ICLR 2023
    (synthetic anomalies and model fit as surrogates, joined by their ranks). Nalisnick et al., Do
    Deep Generative Models Know What They Don't Know?, ICLR 2019 (why likelihood alone misleads).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.comparison import NORMAL_ROWS, detection, primary, synthetic_anomalies

if TYPE_CHECKING:
    from pipeline.sampling import Rows
    from vae_core import Scorer

__all__ = ["judge", "mean_ranks", "objectives"]


def objectives(has_elbo: bool) -> tuple[str, ...]:
    """What is ranked, all higher is better; a model without an ELBO is judged by detection."""
    return ("elbo", "detection") if has_elbo else ("detection",)


def judge(scorer: Scorer, held_out: Rows, seed: int = 0) -> dict[str, float]:
    """Measure a trained scorer on rows it has not seen; labels are not looked at.

    Args:
        scorer: trained; needs no calibration.
        held_out: at least two rows; a few thousand of them are used.
        seed: of the sample and the synthetic anomalies.

    Returns:
        ``detection`` and ``auroc/KIND`` in [0, 1]; ``elbo``, the median, and ``elbo_mean``, in
        nats per row, where the model has one.

    Raises:
        FloatingPointError: the model's scores are not finite.
    """
    normal = held_out.sample(NORMAL_ROWS, seed).columns
    found = detection(primary(scorer), normal, synthetic_anomalies(normal, seed))
    metrics = {"detection": float(np.mean(list(found.values())))}
    metrics |= {f"auroc/{kind}": value for kind, value in found.items()}
    if scorer.model.has_elbo:
        elbo = scorer.raw_scores(normal).elbo
        metrics |= {"elbo": float(np.median(elbo)), "elbo_mean": float(np.mean(elbo))}
    if not np.isfinite(list(metrics.values())).all():
        raise FloatingPointError("scores of held-out rows are not finite")
    return metrics


def mean_ranks(measured: Sequence[Mapping[str, float]], names: Sequence[str]) -> np.ndarray:
    """(T,) mean rank of each trial over the objectives; 1 is best, ties share their mean."""
    from scipy.stats import rankdata

    values = np.array([[-metrics[name] for name in names] for metrics in measured])
    return np.asarray(rankdata(values, axis=0).mean(axis=1))
