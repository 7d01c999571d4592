"""Makes `data/taxi` from one month of NYC green taxi trip records.

    python data/make_taxi.py green_tripdata_2024-01.parquet

One file a day, rows in order of pick-up; nothing is cleaned. Pick-ups outside the month go into
the nearest day's file, as a late or early delivery would.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

FIRST, LAST = "2024-01-01", "2024-01-31"
TIME = "lpep_pickup_datetime"


def main(source: Path, target: Path) -> None:
    rows = pd.read_parquet(source).sort_values(TIME, kind="stable")
    day = rows[TIME].dt.floor("D").clip(pd.Timestamp(FIRST), pd.Timestamp(LAST))
    target.mkdir(parents=True, exist_ok=True)
    for date, part in rows.groupby(day):
        name = f"green-{date:%Y-%m-%d}.parquet"
        part.to_parquet(target / name, compression="zstd", compression_level=19, index=False)
        print(f"{name}: {len(part):,} rows")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(__file__).parent / "taxi")
