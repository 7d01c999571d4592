"""The data that ships is what its README says."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config import load_config
from pipeline.home import Home
from pipeline.ingest import ingest
from pipeline.lake import Lake

ROOT = Path(__file__).parents[2]
ORIGINALS = {"network": "kdd99_10pct.parquet", "taxi": "green_tripdata_2024-01.parquet"}


def read(name: str) -> dict[str, pd.DataFrame]:
    return {p.stem: pd.read_parquet(p) for p in sorted((ROOT / "data" / name).glob("*.parquet"))}


def test_network_counts_and_no_row_twice() -> None:
    parts = read("network")
    rows = {name: len(part) for name, part in parts.items()}
    attacks = {name: int((part["attack"] != "normal").sum()) for name, part in parts.items()}
    nights = {f"night-{i}" for i in range(1, 6)}
    assert rows == {"history": 30_000, "night-6": 6_000, **dict.fromkeys(nights, 6_060)}
    assert attacks == {"history": 0, "night-6": 1_142, **dict.fromkeys(nights, 60)}
    assert all(
        parts[n].loc[parts[n]["attack"] != "normal", "attack"].nunique() > 15 for n in nights
    )
    assert not pd.concat(parts.values()).duplicated().any()
    assert all("is_attack" not in part for part in parts.values())


def test_taxi_keeps_its_dirt() -> None:
    parts = read("taxi")
    assert len(parts) == 31
    rows = pd.concat(parts.values())
    assert len(rows) == 56_551
    assert rows["lpep_pickup_datetime"].is_monotonic_increasing
    assert rows["ehail_fee"].isna().all()
    assert int(rows["trip_type"].isna().sum()) == 3_418
    assert int((rows["fare_amount"] < 0).sum()) == 182
    assert rows["trip_distance"].max() == 201_421.68
    days = {name.removeprefix("green-") for name in parts}
    assert days == {f"2024-01-{d:02d}" for d in range(1, 32)}


def test_digits_are_whole_and_damaged_ones_are_named(tmp_path: Path) -> None:
    parts = {p.stem: dict(np.load(p)) for p in sorted((ROOT / "data/digits").glob("*.npz"))}
    assert {name: len(part["picture"]) for name, part in parts.items()} == {
        "history": 1300, "night-1": 250, "night-2": 247,
    }  # fmt: skip
    assert set(parts["history"]["state"]) == {"fine"}
    for name in ("night-1", "night-2"):
        counts = Counter(parts[name]["state"].tolist())
        assert {k: n for k, n in counts.items() if k != "fine"} == {
            "turned": 4, "patched": 4, "noisy": 4, "misnamed": 6,
        }  # fmt: skip
    script = tmp_path / "make_digits.py"
    script.write_text((ROOT / "data" / "make_digits.py").read_text(encoding="utf-8"))
    subprocess.run([sys.executable, str(script)], check=True, capture_output=True)
    for name, part in parts.items():
        with np.load(tmp_path / "digits" / f"{name}.npz") as again:
            for key, values in part.items():
                np.testing.assert_array_equal(again[key], values)


@pytest.mark.parametrize("name", ["network", "taxi", "digits"])
def test_every_row_is_ingested(name: str, tmp_path: Path) -> None:
    config, home = load_config(ROOT / "configs" / f"{name}.yaml"), Home(tmp_path)
    Lake(config, home).create()
    result = ingest(home, config)
    assert (result.quarantined, result.refused_files, result.notes) == (0, [], ())
    assert result.ingested == (1797 if name == "digits" else sum(map(len, read(name).values())))
    until = config.split.until
    assert until is not None
    ends = [f.last_row_id for f in result.files]
    assert until in ends  # training ends where a file ends


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_the_scripts_make_the_files_again(name: str, tmp_path: Path, originals: Path) -> None:
    (original,) = originals.rglob(ORIGINALS[name])
    script = tmp_path / f"make_{name}.py"
    script.write_text((ROOT / "data" / f"make_{name}.py").read_text(encoding="utf-8"))
    subprocess.run([sys.executable, str(script), str(original)], check=True)
    for stem, part in read(name).items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name / f"{stem}.parquet"), part)
