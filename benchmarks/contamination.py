"""Detection quality when anomalies hide among the training rows.

    python -m benchmarks.contamination

Half of a set's anomalies are kept for training rows and half test, so that every share is tested
on the same rows. A share of 1, 5 or 10 % of the one-class training rows is then anomalous; 0 is
the clean start. Lines go to benchmarks/results/contamination.csv.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import adbench, markdown, runs, statistics
from benchmarks.adbench import Split
from benchmarks.markdown import Section, listed, signed
from benchmarks.methods import METHODS, OURS, WARY

FILE = "contamination.csv"
SHARES = (0.0, 0.01, 0.05, 0.1)
COMPARED = (OURS, WARY, "kNN", "IForest", "PyOD_VAE")


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", seeds=(0, 1, 2))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(COMPARED))
    args = parser.parse_args()
    wanted = [
        {"dataset": dataset, "share": share, "method": method, "seed": seed}
        for dataset in adbench.chosen(parser, args.data, args.sets)
        for seed in args.seeds
        for share in SHARES
        for method in args.methods
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        clean = adbench.split(args.data, key["dataset"], key["seed"])
        split = contaminate(clean, key["share"], key["seed"])
        return [runs.measure(split, METHODS[key["method"]], key["seed"])] if split else []

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def contaminate(split: Split, share: float, seed: int) -> Split | None:
    """A share of anomalies among the training rows; half of all anomalies are kept to test.

    Args:
        split: a one-class split.
        share: of the training rows, in [0, 1).

    Returns:
        the new split; None where the set has too few anomalies, or none of them would train.
    """
    anomalies = np.random.default_rng(seed).permutation(np.flatnonzero(split.labels == 1))
    kept = anomalies[: -(-len(anomalies) // 2)]
    spare = anomalies[len(kept) :]
    wanted = round(share / (1 - share) * len(split.train))
    if wanted > len(spare) or (share > 0 and wanted == 0):
        return None
    rng = np.random.default_rng(seed + 1)
    train = rng.permutation(np.concatenate([split.train, split.test[spare[:wanted]]]))
    test = np.concatenate([np.flatnonzero(split.labels == 0), kept])
    return Split(train, split.test[test], split.labels[test])


def section(results: Path, images: Path) -> Section:
    """Mean AUROC and AP per share over the sets that allow it, and what the share costs."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    done = statistics.shared(done, ["share", "dataset", "seed"])
    lines = [
        "## Contaminated training rows",
        "",
        *markdown.paragraph(
            "Made by `python -m benchmarks.contamination`: a share of anomalies among the",
            "one-class training rows. Half of each set's anomalies are set aside for that, the",
            "other half test, whatever the share; a set counts at a share that this half can",
            f"fill. Means over sets and seeds {listed(sorted(done.seed.unique()))}; in brackets",
            "the change against the same sets without contamination.",
        ),
    ]
    for metric, title in (("auroc", "AUROC"), ("average_precision", "AP")):
        per_set = done.groupby(["share", "dataset", "method"])[metric].mean().unstack("method")
        per_set = per_set[[m for m in METHODS if m in per_set]].dropna()
        rows = [
            _row(share, per_set) for share in sorted(done.share.unique()) if share in per_set.index
        ]
        lines += markdown.table([f"{title}: share", "sets", *per_set.columns], rows)
    return Section(lines, [])


def _row(share: float, per_set: pd.DataFrame) -> list[str]:
    at = per_set.loc[share]
    clean = per_set.loc[0.0].reindex(at.index)
    means, change = at.mean(), (at - clean).mean()
    cells = [
        cell if share == 0 else f"{cell} ({signed(c)})"
        for cell, c in zip(markdown.best_bold(means), change, strict=True)
    ]
    return [markdown.percent(share), str(len(at)), *cells]


if __name__ == "__main__":
    main()
