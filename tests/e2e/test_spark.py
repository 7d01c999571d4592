"""A registered version over Parquet on a real local Spark, by MLflow's own `spark_udf`.

Spark (490 MB, and Java beside it) belongs to the consumer's environment, not to this project's; the
tests put it into a folder of its own, that only the consumer's processes see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from registered import register, rows, scorer

from pipeline import registry
from pipeline.home import Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROWS = 3_000
PROGRAM = """
import sys
import mlflow.pyfunc
from pyspark.sql import SparkSession
from pyspark.sql.functions import struct

uri, data, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.sql.execution.arrow.maxRecordsPerBatch", "700")
    .getOrCreate()
)
score = mlflow.pyfunc.spark_udf(
    spark, "models:/shop@champion", env_manager="local",
    result_type="anomaly_score double, reconstruction_error double, elbo double, latent double, "
    "p_value double, p_value_reconstruction_error double, p_value_elbo double, is_anomaly boolean",
)
frame = spark.read.parquet(data)
columns = [name for name in frame.columns if name != "row"]
scored = frame.select("row", score(struct(*columns)).alias("s")).select("row", "s.*")
scored.write.mode("overwrite").parquet(out)
spark.stop()
"""


@pytest.fixture(scope="module")
def spark_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pyspark lies."""
    if shutil.which("java") is None:
        pytest.skip("needs Java 17: apt-get install openjdk-17-jre-headless")
    given = os.environ.get("SPARK_PACKAGES")  # a folder that has it already
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("spark")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--target", str(folder), "pyspark>=4.0,<5", "py4j"),
        ],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"pyspark cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return folder


def on_spark(home: Home, packages: Path, data: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """A consumer's process, which knows MLflow and Spark and stands in another folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MLFLOW", "VAE"))}
    environment = {**kept, "PYTHONPATH": str(packages), "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PYSPARK_PYTHON"] = environment["PYSPARK_DRIVER_PYTHON"] = sys.executable
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, home.mlflow_uri, str(data), str(out)],
        cwd=data.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_spark_scores_parquet_to_the_bit(home: Home, tmp_path: Path, spark_folder: Path) -> None:
    register(home)
    registry.promote(home, "shop")
    frame = pd.DataFrame(rows(ROWS, 8))
    frame["row"] = np.arange(ROWS)
    (tmp_path / "rows").mkdir()
    for part in range(4):
        frame.iloc[part::4].to_parquet(tmp_path / "rows" / f"{part}.parquet")
    done = on_spark(home, spark_folder, tmp_path / "rows", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    scored = pd.read_parquet(tmp_path / "out").sort_values("row", ignore_index=True)
    assert scored["row"].tolist() == list(range(ROWS))
    for name, values in scorer().score(rows(ROWS, 8)).items():
        np.testing.assert_array_equal(scored[name].to_numpy(), values, name)
    frame.loc[7, "amount"] = np.nan
    frame.loc[8, "country"] = "OTHER-SECRET"
    (tmp_path / "bad").mkdir()
    frame.to_parquet(tmp_path / "bad" / "rows.parquet")
    done = on_spark(home, spark_folder, tmp_path / "bad", tmp_path / "bad-out")
    assert done.returncode != 0
    assert "amount" in done.stderr and "missing value" in done.stderr
    assert "OTHER-SECRET" not in done.stderr
