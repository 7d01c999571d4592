"""A night on more than one worker: Dask and Spark against one plain process, score for score.

    python -m benchmarks.scale_out [--rows 400000] [--repetitions 5] [--spark FOLDER]

Makes a data set of ten columns below the temporary folder, takes it in, trains the default model
on it, and has the same night scored again and again: by one process with one thread (`plain`), by
one and by two Dask workers of one thread each through Prefect's task runner (`dask 1`, `dask 2`),
and by MLflow's `spark_udf` on one and on two local Spark threads, where FOLDER holds pyspark
(`pip install --target FOLDER --no-deps pyspark py4j`). The engines take turns, so that other load
on the machine falls on all alike; ratios are of one round, and their median counts. A time is that
of scoring and committing the night; servers and workers are up and warm. Processor time stands
beside it: what the scoring processes used, which a busy machine changes least, and `rows a core
second` come from it. Scores are compared to the bit. Lines go to benchmarks/results/scale_out.csv;
the table is printed, for docs/operations.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.scale_out_engines import Night, on_dask, on_spark, prefect_server

RESULTS = Path(__file__).parent / "results" / "scale_out.csv"
FLOOR, GOAL = 1.5, 1.8  # two Dask workers against one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--spark", type=Path, help="folder that holds pyspark")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in ("MLFLOW_TRACKING_URI", "VAE_ANOMALY_HOME"):
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(prefix="scale-out-") as folder, ExitStack() as stack:
        night = Night(Path(folder), args.rows)
        engines = {"plain": night.plain}
        stack.enter_context(prefect_server(Path(folder)))
        for workers in (1, 2):
            engines[f"dask {workers}"] = stack.enter_context(on_dask(night, workers))
        if args.spark:
            for threads in (1, 2):
                engines[f"spark {threads}"] = stack.enter_context(
                    on_spark(night, args.spark, threads)
                )
        for run in engines.values():
            run()  # warm
        times: dict[str, list[float]] = {name: [] for name in engines}
        for turn in range(args.repetitions):
            for name, run in engines.items():
                times[name].append(run())
                print(f"{turn + 1}: {name} {times[name][-1]:.2f} s", file=sys.stderr, flush=True)
        stack.close()
        lines = [line(name, args.rows, times, night) for name in times]
    write(lines)
    print(shown(lines))


def line(name: str, rows: int, times: dict[str, list[float]], night: Night) -> dict[str, Any]:
    """One engine's line; its ratio is against one worker of the same engine, round by round."""
    kind, _, workers = name.partition(" ")
    cpu = night.cpu.get(name, [])[1:]  # the first round only warms
    one = times[f"{kind} 1" if workers else name]
    return {
        "engine": name,
        "rows": rows,
        "seconds": round(statistics.median(times[name]), 3),
        "rows_per_second": round(rows / statistics.median(times[name])),
        "cpu_seconds": round(statistics.median(cpu), 2) if cpu else "",
        "rows_per_core_second": round(rows / statistics.median(cpu)) if cpu else "",
        "speed_up": round(
            statistics.median(a / b for a, b in zip(one, times[name], strict=True)), 3
        ),
        "speed_ups": json.dumps([round(a / b, 2) for a, b in zip(one, times[name], strict=True)]),
        "ingest_rows_per_core_second": round(night.ingest_rate),
        "train_seconds": round(night.train_seconds, 1),
        "ingested_bytes": round(night.bytes["ingested"], 1),
        "score_bytes": round(night.bytes["scores"], 1),
        "worker_peak_mib": round(night.peak_mib),
        "load": round(os.getloadavg()[1], 1),
    }


def write(lines: list[dict[str, Any]]) -> None:
    with RESULTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def shown(lines: list[dict[str, Any]]) -> str:
    header = [
        "engine",
        "rows a second",
        "rows a core second",
        "against one worker of its kind",
        "each round",
    ]
    rows = [
        [
            each["engine"],
            f"{each['rows_per_second']:,}",
            f"{each['rows_per_core_second']:,}" if each["rows_per_core_second"] else "",
            f"{each['speed_up']:.2f}",
            str(each["speed_ups"]).strip("[]") if each["engine"].endswith("2") else "",
        ]
        for each in lines
    ]
    two = next(each["speed_up"] for each in lines if each["engine"] == "dask 2")
    verdict = "goal met" if two >= GOAL else "floor holds" if two >= FLOOR else "floor missed"
    told = f"Two Dask workers against one: {two:.2f} (floor {FLOOR}, goal {GOAL}): {verdict}."
    return "\n".join([*markdown.table(header, rows), told])


if __name__ == "__main__":
    main()
