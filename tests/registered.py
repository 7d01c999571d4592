"""Small calibrated scorers and registered versions, for tests of the registry."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import registry, tracking
from pipeline.config import Config
from pipeline.home import Home
from pipeline.split import Range
from vae_core import Scorer

COLUMNS = {
    "amount": {"role": "numeric"},
    "weight": {"role": "numeric", "nullable": True},
    "country": {"role": "categorical", "nullable": True},
    "express": {"role": "binary"},
}
CALIBRATION = Range(301, 500)


def config(name: str = "shop") -> Config:
    return Config.model_validate({"name": name, "source": {"path": "x.csv"}, "columns": COLUMNS})


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns as the core takes them; whole numbers in `amount`."""
    rng = np.random.default_rng(seed)
    amount = rng.integers(1, 100, count).astype(np.float64)
    weight = 0.4 * amount + rng.normal(size=count)
    weight[rng.random(count) < 0.2] = np.nan
    country = rng.choice(["de", "fr", "nl"], count).astype(object)
    country[rng.random(count) < 0.1] = None
    express = rng.choice(["0", "1"], count).astype(object)
    return {"amount": amount, "weight": weight, "country": country, "express": express}


@cache
def _saved(variant: str, seed: int) -> Path:
    from pipeline.fitting import calibrate_scorer, fit_scorer
    from vae_core import ModelConfig, TrainConfig

    fit = fit_scorer(
        rows(300, seed),
        rows(100, 1),
        config().feature_columns,
        model=ModelConfig(variant=variant, members=1, hidden=(16,)),
        training=TrainConfig(max_steps=30),
        score="elbo" if variant == "vae" else "reconstruction_error",
        device="cpu",
        seed=seed,
    )
    folder = Path(tempfile.mkdtemp(prefix="scorer-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    calibrate_scorer(fit.scorer, rows(200, 2), alpha=0.05).save(folder)
    return folder


def scorer(variant: str = "vae", seed: int = 0) -> Scorer:
    """A calibrated scorer of `rows`; equal arguments give equal weights."""
    return Scorer.load(_saved(variant, seed), device="cpu")


def register(home: Home, one: Any | None = None, name: str = "shop") -> int:
    """Register a version of the small scorer; its number."""
    with tracking.start(home, config(name), "calibrate") as run:
        return registry.register(
            run, name, one if one is not None else scorer(), rows(5), CALIBRATION
        )
