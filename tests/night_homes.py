"""Small homes with real tables for the tests of nights: a config, files, rows."""

from __future__ import annotations

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
