"""Detection quality of the default VAEDetector and its peers on the same splits.

    python -m benchmarks.quality                      # all sets, seed 0, the methods below
    python -m benchmarks.quality --seeds 0 1 2 --methods VAEDetector PyOD_VAE

Every finished run is a line of benchmarks/results/quality.csv; a repeated call runs only what is
missing (--fresh starts over) and rewrites the table in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks import adbench

ROOT = Path(__file__).parent
RESULTS = ROOT / "results" / "quality.csv"
TABLE = ROOT.parent / "docs" / "benchmarks.md"
COLUMNS = ["protocol", "dataset", "method", "seed", "auroc", "average_precision", "seconds"]

Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def vae_detector(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    from pipeline import VAEDetector

    return -VAEDetector(random_state=seed).fit(train).score_samples(test)


def pyod_vae(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    from pyod.models.vae import VAE

    torch.manual_seed(seed)
    np.random.seed(seed)
    # its progress bar and its own warnings are not ours to show
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VAE(verbose=0, random_state=seed).fit(train).decision_function(test)


def knn(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0][:, -1]


def isolation_forest(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


METHODS: dict[str, Method] = {
    "VAEDetector": vae_detector,
    "PyOD_VAE": pyod_vae,
    "kNN": knn,
    "IForest": isolation_forest,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/adbench"))
    parser.add_argument("--protocol", choices=("oneclass", "contaminated"), default="oneclass")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--fresh", action="store_true", help="forget earlier runs")
    args = parser.parse_args()
    sets = adbench.names(args.data)
    if not sets:
        parser.error(f"no .npz files in {args.data}: give the ADBench folder with --data")
    if args.fresh:
        args.results.unlink(missing_ok=True)
    # the peers' batches are too small for two threads to help, and on a busy machine they hinder
    torch.set_num_threads(1)
    for dataset in sets:
        for seed in args.seeds:
            for method in args.methods:
                run(args.results, args.data, args.protocol, dataset, method, seed)
    done = pd.read_csv(args.results)
    done = done[done.protocol == args.protocol]
    print(summary(done))
    if args.results == RESULTS:
        TABLE.write_text(page(done), encoding="utf-8")


def run(results: Path, data: Path, protocol: str, dataset: str, method: str, seed: int) -> None:
    """One line of results, unless it is there."""
    key = (protocol, dataset, method, seed)
    if results.exists():
        known = pd.read_csv(results)
        if key in set(known[COLUMNS[:4]].itertuples(index=False, name=None)):
            return
    part = adbench.split(data, dataset, seed, protocol)
    started = time.perf_counter()
    scores = METHODS[method](part.train, part.test, seed)
    seconds = time.perf_counter() - started
    auroc = roc_auc_score(part.labels, scores)
    precision = average_precision_score(part.labels, scores)
    results.parent.mkdir(parents=True, exist_ok=True)
    line = pd.DataFrame([[*key, auroc, precision, seconds]], columns=COLUMNS)
    line.round(5).to_csv(results, mode="a", header=not results.exists(), index=False)
    print(f"{dataset:20} {method:14} seed {seed}  AUROC {auroc:.3f}  {seconds:6.1f} s", flush=True)


def summary(done: pd.DataFrame) -> str:
    """Means over sets, and where the detector stands to PyOD's VAE."""
    table = done.groupby(["method", "dataset"])[["auroc", "average_precision"]].mean()
    means = table.groupby("method").mean().sort_values("auroc", ascending=False)
    text = means.round(4).to_string()
    per_set = table.auroc.unstack("method")
    if {"VAEDetector", "PyOD_VAE"} <= set(per_set):
        behind = per_set.VAEDetector < per_set.PyOD_VAE - 0.03
        text += f"\nsets more than 0.03 AUROC below PyOD's VAE: {int(behind.sum())}"
        text += f" of {len(per_set)} ({', '.join(per_set.index[behind]) or 'none'})"
    return text


def page(done: pd.DataFrame) -> str:
    """The table as Markdown."""
    table = done.groupby(["dataset", "method"]).auroc.mean().unstack("method")
    table = table[[m for m in METHODS if m in table]]
    table = table.loc[sorted(table.index, key=lambda s: int(s.split("_")[0]))]
    precision = done.groupby(["dataset", "method"]).average_precision.mean().unstack("method")
    lines = [
        "# Detection quality",
        "",
        "Made by `python -m benchmarks.quality`: ADBench's one-class protocol (half of the normal",
        "rows train, all other rows test), default settings, seeds "
        + ", ".join(str(s) for s in sorted(done.seed.unique()))
        + "; AUROC per set.",
        "The detector takes its validation and calibration rows out of the training half.",
        "",
        "| set | " + " | ".join(table.columns) + " |",
        "|---|" + "---|" * len(table.columns),
    ]
    for name, row in table.iterrows():
        best = row.max()
        cells = [f"**{v:.3f}**" if v == best else f"{v:.3f}" for v in row]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("| **mean AUROC** | " + " | ".join(f"{v:.3f}" for v in table.mean()) + " |")
    means = precision[table.columns].mean()
    lines.append("| **mean average precision** | " + " | ".join(f"{v:.3f}" for v in means) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
