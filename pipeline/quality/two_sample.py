"""Can a classifier tell generated rows from real ones?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]

FOLDS = 2
ROUNDS = 40

__all__ = ["classifier_auroc"]


def classifier_auroc(real: Points, other: Points, seed: int = 0) -> float:
    """AUROC of gradient-boosted trees that tell the two samples apart, on rows left out.

    ½ where they cannot, 1 where every row betrays itself. A single column with a trace that trees
    can cut at (a count that comes out as 2.97) is enough for 1.

    Args:
        real, other: (N, F) and (M, F).
        seed: of the folds.

    Reference: Lopez-Paz, Oquab (2017), Revisiting classifier two-sample tests.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    if min(len(real), len(other)) < FOLDS:
        return float("nan")
    x = np.concatenate([real, other])
    y = np.arange(len(x)) >= len(real)
    held = np.empty(len(x))
    for fit, left in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
        model = HistGradientBoostingClassifier(
            max_iter=ROUNDS, early_stopping=False, random_state=seed
        )
        held[left] = model.fit(x[fit], y[fit]).predict_proba(x[left])[:, 1]
    return float(roc_auc_score(y, held))
