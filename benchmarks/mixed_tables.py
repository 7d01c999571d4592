"""Tables of numbers, categories and missing cells: what is read of them, and which rows train.

Columns have the roles that configs/NAME.yaml gives them, so ids, labels and what is known only
afterwards are left out. One-class: half of the normal rows train and all others test, but for
NSL-KDD, whose official split has a test file: its training file's normal rows train. At most
20,000 rows train.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.adbench import MOST_ROWS, Split
from pipeline.config import Config, load_config
from pipeline.values import canonical

CONFIGS = Path(__file__).parents[1] / "configs"


class Table(NamedTuple):
    """One data set.

    Attributes:
        file: below the data folder.
        test_file: of an official split; its rows test, those of `file` train.
        missing: cells that stand for a missing one, by column.
    """

    file: str
    test_file: str | None = None
    missing: Mapping[str, Any] = MappingProxyType({})


UNKNOWN = dict.fromkeys(["job", "marital", "education", "default", "housing", "loan"], "unknown")
TABLES: dict[str, Table] = {
    "nsl_kdd": Table("nsl_kdd/train.parquet", "nsl_kdd/test.parquet"),
    "unsw_nb15": Table("unsw_nb15/unsw_nb15_82k.parquet"),
    "vehicle_claims": Table("vehicle_claims/vehicle_claims.parquet", missing={"Age": 0}),
    "ai4i2020": Table("ai4i2020/ai4i2020.csv"),
    "bank_marketing": Table(
        "bank_marketing/bank_additional_full.parquet", missing={**UNKNOWN, "pdays": 999}
    ),
}


def split(folder: Path, name: str, seed: int, most: int = MOST_ROWS) -> Split:
    """One seeded split into frames of numbers, texts and booleans; missing cells are null."""
    table, config = TABLES[name], load_config(CONFIGS / f"{name}.yaml")
    frame, anomalous = read(folder / table.file, config, table.missing)
    rng = np.random.default_rng(seed)
    usual = rng.permutation(np.flatnonzero(~anomalous))
    if table.test_file:
        train = usual[:most]
        test_frame, labels = read(folder / table.test_file, config, table.missing)
    else:
        half = len(usual) // 2
        train = usual[: min(half, most)]
        test = np.concatenate([usual[half:], np.flatnonzero(anomalous)])
        test_frame, labels = frame.iloc[test], anomalous[test]
    return Split(
        frame.iloc[train].reset_index(drop=True),
        test_frame.reset_index(drop=True),
        labels.astype(int),
    )


def read(path: Path, config: Config, missing: Mapping[str, Any]) -> tuple[pd.DataFrame, np.ndarray]:
    """The feature columns as their roles say, and (N,) whether the label is not normal."""
    raw = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    assert config.label is not None
    normal = config.columns[config.label].normal or ()
    anomalous = ~raw[config.label].map(canonical).isin(normal).to_numpy()
    frame = pd.DataFrame(index=raw.index)
    for column, settings in config.feature_columns.items():
        values = (
            raw[column].mask(raw[column] == missing[column]) if column in missing else raw[column]
        )
        if settings.role == "binary":
            assert settings.values is not None
            values = values.map(canonical) == settings.values[1]
        elif settings.role == "categorical":
            texts = values.map(canonical).astype(object)
            values = texts.where(texts.notna(), None)
        frame[column] = values
    return frame, anomalous
