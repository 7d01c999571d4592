"""The seeded run that golden values are taken from.

Refresh after a change that is meant to move them, and say why in the commit:

    python tests/golden/golden_run.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.detector import ColumnKind
from pipeline.fitting import calibrate_scorer, fit_scorer
from vae_core import ModelConfig, TrainConfig

VALUES = Path(__file__).with_name("values.json")


def table(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(rows, 2))
    return {
        "linear": z[:, 0] + 0.1 * rng.normal(size=rows),
        "product": z[:, 0] * z[:, 1],
        "heavy": np.exp(2 * z[:, 1]),
        "holes": np.where(rng.random(rows) < 0.1, np.nan, z[:, 1]),
        "kind": np.where(z[:, 0] > 0.5, "high", "low").astype(object),
    }


def values(device: str = "cpu") -> dict[str, Any]:
    """First losses, final validation ELBO, scores of ten rows, threshold."""
    kinds = {name: ColumnKind("numeric", name == "holes") for name in table(1, 0)}
    kinds["kind"] = ColumnKind("categorical", False)
    fit = fit_scorer(
        table(1000, 0), table(200, 1), kinds,
        model=ModelConfig(members=2, hidden=(32,)),
        training=TrainConfig(max_steps=100, precision="fp32"),
        device=device,
    )  # fmt: skip
    scorer = calibrate_scorer(fit.scorer, table(500, 2), alpha=0.05)
    raw = scorer.raw_scores(table(10, 3))
    history = fit.training.history
    return {
        "first_objectives": [h["train_objective"] for h in history[:5]],
        "validation_elbo": history[-1]["validation_elbo"],
        "anomaly_scores": raw.anomaly_score.tolist(),
        "reconstruction_errors": raw.reconstruction_error.tolist(),
        "threshold": scorer.thresholds["anomaly_score"].value,
    }


if __name__ == "__main__":
    document = {"torch": torch.__version__, "cpu": values("cpu")}
    if torch.cuda.is_available():
        document["cuda"] = values("cuda")
    VALUES.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
