"""The night that `benchmarks.scale_out` has scored again and again, and what scores it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.memory import most_held

HISTORY, PIECES = 20_000, 8
NUMBERS = [f"x{i}" for i in range(8)]
CONFIG = """
name: night
source: {{path: inbox}}
columns:
{columns}
  kind: {{role: categorical}}
  paid: {{role: binary, values: ["0", "1"]}}
split: {{until: {history}}}
training: {{max_steps: 200}}
device: cpu
"""
SPARK = """
import json, sys, time
import mlflow.pyfunc
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct
uri, data, out, threads = sys.argv[1:]
mlflow.set_tracking_uri(uri)
spark = (
    SparkSession.builder.master(f"local[{threads}]").config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.executorEnv.OMP_NUM_THREADS", "1")
    .config("spark.sql.execution.arrow.maxRecordsPerBatch", "20000").getOrCreate()
)
kinds = "anomaly_score double, reconstruction_error double, elbo double, latent double, " \\
    "p_value double, p_value_reconstruction_error double, p_value_elbo double, is_anomaly boolean"
model = "models:/night@champion"
score = mlflow.pyfunc.spark_udf(spark, model, env_manager="local", result_type=kinds)
frame = spark.read.parquet(data)
columns = [name for name in frame.columns if name != "row"]
def run(rows):
    rows.select("row", score(struct(*columns)).alias("s")).select("row", "s.*").write.mode(
        "overwrite").parquet(out)
run(frame.limit(1000))
print("ready", flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    run(frame)
    print(time.perf_counter() - began, flush=True)
"""


class Night:
    """A home with a champion and rows that wait; scored again and again from nothing."""

    def __init__(self, folder: Path, rows: int) -> None:
        from pipeline.calibration import calibrate
        from pipeline.config import load_config
        from pipeline.home import Home
        from pipeline.ingest import ingest
        from pipeline.lake import Lake
        from pipeline.training import train

        self.rows, self.folder = rows, folder
        (folder / "inbox").mkdir()
        columns = "\n".join(f"  {name}: {{role: numeric}}" for name in NUMBERS)
        path = folder / "night.yaml"
        path.write_text(CONFIG.format(columns=columns, history=HISTORY), encoding="utf-8")
        self.home, self.config = Home(folder / "home"), load_config(path)
        self.lake = Lake(self.config, self.home)
        self.lake.create()
        drawn(HISTORY, 0).to_parquet(folder / "inbox" / "history.parquet")
        ingest(self.home, self.config)
        began = time.perf_counter()
        train(self.home, self.config)
        calibrate(self.home, self.config)
        self.train_seconds = time.perf_counter() - began
        frame = drawn(rows, 1)
        frame.to_parquet(folder / "inbox" / "night.parquet")
        began = time.process_time()
        ingest(self.home, self.config)
        self.ingest_rate = rows / (time.process_time() - began)
        self.cpu: dict[str, list[float]] = {}
        self.frame = frame
        self.expected: np.ndarray | None = None
        self.bytes = {"ingested": self.size("ingested") / (rows + HISTORY)}
        self.peak_mib = 0.0

    def size(self, table: str) -> int:
        """Bytes of a table's files."""
        place = self.folder / "home" / "tables" / "night" / table
        return sum(file.stat().st_size for file in place.glob("*.parquet"))

    @property
    def piece(self) -> int:
        return -(-self.rows // PIECES)

    def opened(self) -> Any:
        """Scores and nights thrown away, and the night opened anew."""
        from pipeline import nights

        for table in ("scores", "nights"):
            shutil.rmtree(self.folder / "home" / "tables" / "night" / table)
        self.lake.create()
        night = nights.resume_or_open(
            self.lake, version=lambda: 1, stream_start=lambda: HISTORY + 1
        )
        assert night is not None
        return night

    def plain(self) -> float:
        from pipeline import nights, registry
        from pipeline.scoring import score_rows

        scorer = registry.load_scorer(self.home, "night")
        night = self.opened()

        def rows(first: int, last: int) -> Any:
            return score_rows(self.lake, scorer, 1, first, last, None)

        began = time.process_time()
        seconds = self.timed(lambda: nights.score_pieces(self.lake, night, rows, self.piece))
        self.cpu.setdefault("plain", []).append(time.process_time() - began)
        return seconds

    def timed(self, steps: Callable[[], Iterator[int]]) -> float:
        began = time.perf_counter()
        for _ in steps():
            pass
        seconds = time.perf_counter() - began
        found = self.lake.read("scores", ["_row_id", "anomaly_score"]).sort_by("_row_id")
        self.bytes["scores"] = self.size("scores") / self.rows
        self.check(found.column("anomaly_score").to_numpy())
        return seconds

    def check(self, scores: np.ndarray) -> None:
        if self.expected is None:
            self.expected = scores
        assert len(scores) == self.rows
        np.testing.assert_array_equal(scores, self.expected)


def drawn(rows: int, seed: int) -> pd.DataFrame:
    """Ten columns that depend on three hidden ones."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(rows, 3))
    weights = np.random.default_rng(99).normal(size=(3, len(NUMBERS)))
    values = hidden @ weights + 0.3 * draw.normal(size=(rows, len(NUMBERS)))
    frame = pd.DataFrame(values, columns=NUMBERS)
    frame["kind"] = np.array([f"kind {i}" for i in range(8)])[
        (hidden[:, 0] > 0) * 4 + draw.integers(0, 4, rows)
    ]
    frame["paid"] = (hidden[:, 1] + 0.2 * draw.normal(size=rows) > 0).astype(int).astype(str)
    return frame


@contextmanager
def prefect_server(folder: Path) -> Iterator[None]:
    from flows.servers import Children, clean_environment, free_port
    from flows.servers import prefect_server as start

    environment = clean_environment() | {"PREFECT_HOME": str(folder / "prefect")}
    with Children() as children:
        api = start(children, environment, "127.0.0.1", free_port(), folder / "prefect.log")
        children.wait_until_healthy(f"{api}/health")
        os.environ |= {
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(folder / "prefect"),
        }
        yield


@contextmanager
def on_dask(night: Night, workers: int) -> Iterator[Callable[[], float]]:
    import dask.config
    from distributed import Client, LocalCluster

    from flows.dask_engine import MEMORY, on_workers
    from pipeline.staging import commit_staged

    with (
        dask.config.set(MEMORY),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
    ):
        engine = night.config.engine.model_copy(
            update={"kind": "dask", "address": cluster.scheduler_address}
        )
        config = night.config.model_copy(update={"engine": engine})

        with on_workers(night.home, config, None) as (stage, _):

            def run() -> float:
                opened = night.opened()
                with Client(cluster, set_as_default=False) as client:
                    before = sum(client.run(time.process_time).values())
                    seconds = night.timed(
                        lambda: commit_staged(night.lake, opened, stage, night.piece)
                    )
                    used = sum(client.run(time.process_time).values()) - before
                    night.peak_mib = max(*client.run(peak_mib).values(), night.peak_mib)
                night.cpu.setdefault(f"dask {workers}", []).append(used)
                return seconds

            yield run


def peak_mib() -> float:
    """Largest resident memory of this process."""
    return most_held() / 2**20


@contextmanager
def on_spark(night: Night, packages: Path, threads: int) -> Iterator[Callable[[], float]]:
    data, out = night.folder / "spark-rows", night.folder / f"spark-out-{threads}"
    if not data.exists():
        data.mkdir()
        frame = night.frame.assign(row=np.arange(night.rows))
        for part in range(PIECES):
            frame.iloc[part::PIECES].to_parquet(data / f"{part}.parquet")
    environment = {**os.environ, "PYTHONPATH": str(packages), "PYSPARK_PYTHON": sys.executable}
    child = subprocess.Popen(
        [sys.executable, "-c", SPARK, night.home.mlflow_uri, str(data), str(out), str(threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=environment,
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n", "Spark did not start"

        def run() -> float:
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write("go\n")
            child.stdin.flush()
            seconds = float(child.stdout.readline())
            scored = pd.read_parquet(out, columns=["row", "anomaly_score"]).sort_values("row")
            night.check(scored["anomaly_score"].to_numpy())
            return seconds

        yield run
    finally:
        child.stdin.close()
        child.wait(60)
