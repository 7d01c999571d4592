"""Small homes with real tables for the tests of nights: a config, files, rows."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import Config, load_config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake

CONFIG = """
name: shop
source: {path: inbox}
columns:
  order: {role: id}
  amount: {role: numeric}
  items: {role: numeric}
  weight: {role: numeric, nullable: true}
  country: {role: categorical}
  express: {role: binary, values: ["0", "1"]}
  verdict: {role: label, normal: fine}
split: {until: 900}
model: {members: 1, hidden: [16]}
training: {max_steps: 40, batch_size: 64}
threshold: {alpha: 0.05}
alerts: {expected_anomaly_share: 0.05, report_rows: 10}
device: cpu
"""
HISTORY_ROWS = 900


def write_config(folder: Path, text: str = CONFIG) -> Config:
    """The config as a file in `folder`, which holds the data too."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inbox").mkdir(exist_ok=True)
    path = folder / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def orders(rows: int, seed: int, odd: float = 0.0, first: int = 0) -> pd.DataFrame:
    """Orders; a share `odd` of them has amounts and countries that the others never have."""
    rng = np.random.default_rng(seed)
    strange = rng.random(rows) < odd
    items = rng.integers(1, 9, rows)
    amount = items * rng.lognormal(2.0, 0.2, rows)
    weight = items * 0.4 + rng.normal(0, 0.05, rows)
    weight[rng.random(rows) < 0.1] = np.nan
    country = rng.choice(["de", "fr", "nl"], rows, p=[0.6, 0.3, 0.1]).astype(object)
    amount[strange] *= 60
    country[strange & (rng.random(rows) < 0.5)] = "<script>alert('x')</script>"
    return pd.DataFrame(
        {
            "order": [f"o{first + i}" for i in range(rows)],
            "amount": amount.round(2),
            "items": items,
            "weight": weight.round(3),
            "country": country,
            "express": (rng.random(rows) < 0.3).astype(int),
            "verdict": np.where(strange, "fraud", "fine"),
        }
    )


def deliver(
    home: Home, config: Config, name: str, rows: int, seed: int, odd: float = 0.0, spoilt: int = 0
) -> None:
    """One CSV file of orders into the inbox, and into the tables; `spoilt` rows are invalid."""
    frame = orders(rows + spoilt, seed, odd, first=seed * 100_000)
    cells = frame.astype({"amount": object})
    cells.loc[rows:, "amount"] = "a lot"
    cells.to_csv(Path(config.source_path) / f"{name}.csv", index=False)
    ingest(home, config)


def empty_home(folder: Path, text: str = CONFIG) -> tuple[Home, Config]:
    """A home with empty tables."""
    config = write_config(folder / "project", text)
    home = Home(folder / "home")
    Lake(config, home).create()
    return home, config


def contents(home: Home, config: Config, table: str) -> pd.DataFrame:
    """A table as a sorted frame without what may differ between runs: times and run ids."""
    frame = Lake(config, home).read(table).to_pandas()
    frame = frame.drop(
        columns=[c for c in frame if c in ("run_id", "at", "scored_at", "created_at")]
    )
    keys = {"nights": ["night_id", "state"]}.get(table, ["_row_id"])
    return frame.sort_values(keys, ignore_index=True)


def crown(home: Home, config: Config, seed: int = 0, method: str = "conformal") -> int:
    """Train on the history, calibrate, register, promote; the version's number."""
    from pipeline import registry, tracking
    from pipeline.fitting import calibrate_scorer, fit_scorer
    from pipeline.frames import to_columns
    from pipeline.split import Range
    from vae_core import ModelConfig, TrainConfig

    lake = Lake(config, home)

    def rows(first: int, last: int) -> dict[str, np.ndarray]:
        return to_columns(next(lake.scan_rows(first, last)), config)

    fit = fit_scorer(
        rows(1, 500),
        rows(501, 600),
        config.feature_columns,
        model=ModelConfig(members=1, hidden=(16,)),
        training=TrainConfig(max_steps=40, batch_size=64),
        device="cpu",
        seed=seed,
    )
    alpha = config.threshold.alpha
    scorer = calibrate_scorer(fit.scorer, rows(601, HISTORY_ROWS), method=method, alpha=alpha)
    scorer = replace(scorer, metadata={"calibration": Range(601, HISTORY_ROWS).to_dict()})
    with tracking.start(home, config, "calibrate") as run:
        example = rows(1, 3)
        version = registry.register(run, config.name, scorer, example, Range(601, HISTORY_ROWS))
    registry.promote(home, config.name, version)
    return version


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="night-home-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    home, config = empty_home(folder)
    deliver(home, config, "history", rows=HISTORY_ROWS, seed=0)
    crown(home, config)
    return folder


def champion_home(folder: Path, text: str = CONFIG) -> tuple[Home, Config]:
    """A home of its own with a champion and nothing scored; made once, then copied.

    The registry remembers where its files lie, so copies read the model of the first one, which
    stays until the end of the test run.
    """
    source = _template()
    shutil.copytree(source / "home", folder / "home")
    return Home(folder / "home"), write_config(folder / "project", text)
