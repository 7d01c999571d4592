"""Makes `data/network` from the "10 percent" file of KDD Cup 1999.

    python data/make_network.py KDD99_10PCT.parquet

History and the normal rows of nights 1 to 5 are the file's first 60,000 different normal rows in
seeded random order; night 6 is the next 6,000 different rows in the file's own order.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 1999
HISTORY = 30_000
NIGHTS = 5
NIGHT_ROWS = 6_000
ATTACKS_A_NIGHT = 60


def spread_over_types(attacks: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Attack rows in an order that takes one of each type in turn, types and rows shuffled."""
    shuffled = attacks.iloc[rng.permutation(len(attacks))]
    turn = shuffled.groupby("attack").cumcount()
    types = rng.permutation(sorted(shuffled["attack"].unique()))
    place = shuffled["attack"].map({name: i for i, name in enumerate(types)})
    return shuffled.iloc[np.lexsort((place.to_numpy(), turn.to_numpy()))]


def main(source: Path, target: Path) -> None:
    rng = np.random.default_rng(SEED)
    rows = pd.read_parquet(source).drop(columns="is_attack").drop_duplicates()
    normal = rows[rows["attack"] == "normal"].iloc[: HISTORY + NIGHTS * NIGHT_ROWS]
    own_order = rows.loc[rows.index > normal.index[-1]].iloc[:NIGHT_ROWS]
    attacks = rows[(rows["attack"] != "normal") & ~rows.index.isin(own_order.index)]

    shuffled = normal.iloc[rng.permutation(len(normal))]
    in_turn = spread_over_types(attacks, rng).iloc[: NIGHTS * ATTACKS_A_NIGHT]
    parts = {"history": shuffled.iloc[:HISTORY]}
    for night in range(NIGHTS):
        start = HISTORY + night * NIGHT_ROWS
        added = in_turn.iloc[night::NIGHTS]
        mixed = pd.concat([shuffled.iloc[start : start + NIGHT_ROWS], added])
        parts[f"night-{night + 1}"] = mixed.iloc[rng.permutation(len(mixed))]
    parts[f"night-{NIGHTS + 1}"] = own_order

    target.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        part.to_parquet(
            target / f"{name}.parquet", compression="zstd", compression_level=19, index=False
        )
        anomalous = (part["attack"] != "normal").sum()
        kinds = part.loc[part["attack"] != "normal", "attack"].nunique()
        print(f"{name}: {len(part):,} rows, {anomalous:,} attacks of {kinds} types")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(__file__).parent / "network")
