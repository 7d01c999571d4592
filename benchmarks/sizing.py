"""What a night of 10^5 to 10^10 rows takes: machines, hours, memory, storage, money.

    python -m benchmarks.sizing [--window 4] [--cores 16] [--price 0.80] [--efficiency 0.8]

Computed from the rates that `python -m benchmarks.scale_out` measured (one core, the default model,
ten columns), which lie in benchmarks/results/scale_out.csv. `window`: hours that scoring may take;
`cores` and `price`: of one machine, and of an hour of it in whatever money you pay; `efficiency`:
share of a core's rate that is left on many. The table is printed, for docs/operations.md.
"""

from __future__ import annotations

import argparse
import csv
import math
from typing import NamedTuple

from benchmarks import markdown
from benchmarks.scale_out import RESULTS

POWERS = range(5, 11)
BASE_GIB = 4.0  # of a machine beside its workers: system, servers


class Rates(NamedTuple):
    """Measured on one core.

    Attributes:
        score, ingest: rows a second of processor time.
        ingested, scored: bytes a row in the tables.
        worker_gib: largest memory of one worker.
    """

    score: float
    ingest: float
    ingested: float
    scored: float
    worker_gib: float


class Size(NamedTuple):
    """What one night takes; `score_hours` on all machines together, `ingest_hours` on one core."""

    rows: int
    ingest_hours: float
    machines: int
    workers: int
    score_hours: float
    memory_gib: float
    storage_gib: float
    money: float


def measured() -> Rates:
    """From the benchmark's lines."""
    with RESULTS.open(encoding="utf-8", newline="") as file:
        lines = {line["engine"]: line for line in csv.DictReader(file)}
    one = lines["dask 1"]
    return Rates(
        float(lines["plain"]["rows_per_core_second"]),
        float(one["ingest_rows_per_core_second"]),
        float(one["ingested_bytes"]),
        float(one["score_bytes"]),
        float(one["worker_peak_mib"]) / 1024,
    )


def size(
    rows: int, rates: Rates, window: float, cores: int, price: float, efficiency: float
) -> Size:
    """The fewest machines that score `rows` within `window` hours.

    Args:
        rows: of one night.
        rates: of one core.
        window: hours.
        cores: of one machine.
        price: of one machine for an hour.
        efficiency: share of a core's rate that is left where many work, in (0, 1].
    """
    alone = rows / rates.score / 3600
    needed = 1 if alone <= window else math.ceil(alone / efficiency / window)
    machines = math.ceil(needed / cores)
    workers = 1 if needed == 1 else machines * cores
    score_hours = alone if workers == 1 else alone / efficiency / workers
    ingest_hours = rows / rates.ingest / 3600
    return Size(
        rows=rows,
        ingest_hours=ingest_hours,
        machines=machines,
        workers=workers,
        score_hours=score_hours,
        memory_gib=BASE_GIB + min(workers, cores) * rates.worker_gib,
        storage_gib=rows * (rates.ingested + rates.scored) / 2**30,
        money=price * (ingest_hours + machines * score_hours),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--window", type=float, default=4.0)
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--price", type=float, default=0.80)
    parser.add_argument("--efficiency", type=float, default=0.8)
    args = parser.parse_args()
    rates = measured()
    sizes = [
        size(10**power, rates, args.window, args.cores, args.price, args.efficiency)
        for power in POWERS
    ]
    header = [
        "rows a night", "ingest, one process", f"machines of {args.cores} cores", "workers",
        "scoring", "memory of each", "new storage", f"money, at {args.price:.2f} an hour",
    ]  # fmt: skip
    cells = [
        [
            f"{each.rows:,}",
            hours(each.ingest_hours),
            str(each.machines),
            str(each.workers),
            hours(each.score_hours),
            f"{each.memory_gib:.0f} GiB",
            f"{each.storage_gib:,.2g} GiB"
            if each.storage_gib < 1
            else f"{each.storage_gib:,.0f} GiB",
            f"{each.money:,.2f}",
        ]
        for each in sizes
    ]
    print("\n".join(markdown.table(header, cells)))
    print(
        f"One core scores {rates.score:,.0f} and takes in {rates.ingest:,.0f} rows a second; a row "
        f"lies in {rates.ingested:.0f} + {rates.scored:.0f} bytes; a worker has at most "
        f"{rates.worker_gib:.1f} GiB. Many cores count for {args.efficiency:.0%} of one's rate, "
        f"and {BASE_GIB:.0f} GiB a machine for the rest."
    )


def hours(value: float) -> str:
    """In the unit that suits."""
    if value < 1 / 60:
        return f"{value * 3600:.0f} s"
    return f"{value * 60:.0f} min" if value < 1 else f"{value:,.1f} h"


if __name__ == "__main__":
    main()
