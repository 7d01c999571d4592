"""What a training on millions of rows takes in memory: all of them streamed, or a sample.

    python -m benchmarks.streaming                       # 10⁶ and 10⁷ rows, about 10 minutes
    python -m benchmarks.streaming --rows 600000 --steps 100

Writes tables of synthetic rows with the product's own writer, then trains in processes of their own
and prints the largest memory that each has held. `training.rows` is 500,000 throughout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

IN_MEMORY = 500_000
NUMBERS = 12
PIECE = 131_072
CONFIG = """
name: many
source: {{path: inbox}}
columns:
{columns}
  kind: {{role: categorical}}
split: {{train: 0.98, validation: 0.01, calibration: 0.01}}
model: {{members: 2, hidden: [64]}}
training: {{rows: {in_memory}, stream: {stream}, max_steps: {steps}, batch_size: 1024}}
device: cpu
"""
CHILD = """
import json, sys, time
from benchmarks.memory import most_held
from pipeline.config import load_config
from pipeline.home import Home
from pipeline.lake import Lake
from pipeline.material import read_material
from pipeline.split import make_split
from pipeline.training import fit_model
config, home = load_config(sys.argv[1]), Home.resolve(sys.argv[2])
lake = Lake(config, home)
def held():
    return most_held() / 2**20
import pipeline.fitting
imported, started = held(), time.monotonic()
material = read_material(lake, make_split(lake, config))
read = time.monotonic() - started
fit = fit_model(config, material.rows, material.held_out, stream=material.stream)
print(json.dumps({
    "imported": imported, "peak": held(), "reading": read, "training": fit.seconds,
    "rows": fit.training.rows, "elbo": fit.training.history[-1]["validation_elbo"],
}))
"""


def config(folder: Path, stream: bool, steps: int) -> Path:
    columns = "\n".join(f"  x{i}: {{role: numeric}}" for i in range(NUMBERS))
    text = CONFIG.format(
        columns=columns, in_memory=IN_MEMORY, stream=str(stream).lower(), steps=steps
    )
    (folder / "inbox").mkdir(exist_ok=True)
    path = folder / f"many-{stream}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def pieces(rows: int) -> Iterator[pa.RecordBatch]:
    """Rows whose factors drift slowly with time, as real ones do."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, NUMBERS))
    stamp = pa.scalar(0, pa.timestamp("us", "UTC"))
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        z = rng.normal(size=(count, 3)) + 2 * start / rows
        x = z @ mixing + 0.3 * rng.normal(size=(count, NUMBERS))
        columns = {f"x{i}": pa.array(x[:, i]) for i in range(NUMBERS)}
        columns["kind"] = pa.array(np.where(z[:, 0] > 1, "high", "low"))
        columns |= {
            "_source": pa.array(["synthetic"] * count),
            "_source_hash": pa.array(["0"] * count),
            "_source_row": pa.array(np.arange(start, start + count)),
            "_ingested_at": pa.array([stamp.as_py()] * count, stamp.type),
        }
        yield pa.RecordBatch.from_pydict(columns)


def fill(folder: Path, rows: int) -> None:
    from pipeline.config import load_config
    from pipeline.home import Home
    from pipeline.lake import Lake

    lake = Lake(load_config(config(folder, False, 1)), Home.resolve(folder / "home"))
    lake.create()
    lake.append_numbered(lambda: pieces(rows), rows, {"synthetic": 1})


def trained(folder: Path, stream: bool, steps: int) -> dict[str, float]:
    path = config(folder, stream, steps)
    command = [sys.executable, "-c", CHILD, str(path), str(folder / "home")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--steps", type=int, default=600)
    given = parser.parse_args()
    print("rows in the table | trains on | MiB in all | MiB above imports | s reading | s training")
    for rows in given.rows:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            started = time.monotonic()
            fill(folder, rows)
            size = sum(f.stat().st_size for f in folder.rglob("*.parquet")) / 2**20
            print(f"{rows:,} rows written in {time.monotonic() - started:.0f} s, {size:.0f} MiB")
            for stream in (False, True):
                r = trained(folder, stream, given.steps)
                print(
                    f"{rows:,} | {'all, streamed' if stream else 'a sample'} ({r['rows']:,.0f}) | "
                    f"{r['peak']:,.0f} | {r['peak'] - r['imported']:,.0f} | {r['reading']:.0f} | "
                    f"{r['training']:.0f} | elbo {r['elbo']:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
