"""Missing cells: masked in the ELBO, against filled with the mean.

    python -m benchmarks.missing

A share of all cells is blanked at random, in training and in test rows alike. The detector gets
them as they are; filled with the training rows' mean they go to the same detector, to kNN and to
an isolation forest. Lines go to benchmarks/results/missing.csv.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import adbench, markdown, runs, statistics
from benchmarks.adbench import Split
from benchmarks.markdown import Floor, Section, listed
from benchmarks.methods import METHODS, OURS, Method, Scores

FILE = "missing.csv"
SHARES = (0.05, 0.2, 0.4)
MASKED = f"{OURS}, masked"


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", seeds=(0, 1, 2))
    parser.add_argument("--methods", nargs="+", choices=list(COMPARED), default=list(COMPARED))
    args = parser.parse_args()
    wanted = [
        {"dataset": dataset, "share": share, "method": method, "seed": seed}
        for dataset in adbench.chosen(parser, args.data, args.sets)
        for seed in args.seeds
        for share in SHARES
        for method in args.methods
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        split = adbench.split(args.data, key["dataset"], key["seed"])
        return [COMPARED[key["method"]](blank(split, key["share"], key["seed"]), key["seed"])]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def blank(split: Split, share: float, seed: int) -> Split:
    """Cells made NaN at random; at least one of each training column, so that all may miss."""
    rng = np.random.default_rng([seed, 1])
    train, test = split.train.copy(), split.test.copy()
    for rows in (train, test):
        rows[rng.random(rows.shape) < share] = np.nan
    whole = np.flatnonzero(~np.isnan(train).any(0))
    train[rng.integers(len(train), size=len(whole)), whole] = np.nan
    return Split(train, test, split.labels)


def masked(split: Split, seed: int) -> dict[str, float]:
    """The detector as it is, with the mean p-values of anomalies and of normal test rows."""
    from pipeline import VAEDetector

    frame = VAEDetector(random_state=seed).fit(split.train).score_frame(split.test)
    odd = split.labels == 1
    return {
        "auroc": roc_auc_score(split.labels, frame.anomaly_score),
        "average_precision": average_precision_score(split.labels, frame.anomaly_score),
        "p_anomalies": frame.p_value[odd].mean(),
        "p_normal": frame.p_value[~odd].mean(),
    }


def filled(method: Method) -> Any:
    """A method on rows whose missing cells have the training rows' mean."""

    def fit(train: np.ndarray, seed: int) -> Scores:
        means = SimpleImputer(keep_empty_features=True).fit(train)
        scorer = method(means.transform(train), seed)
        return lambda rows: scorer(means.transform(rows))

    def run(split: Split, seed: int) -> dict[str, float]:
        measured = runs.measure(split, fit, seed)
        kept = {name: measured[name] for name in ("auroc", "average_precision")}
        return {**kept, "p_anomalies": np.nan, "p_normal": np.nan}

    return run


COMPARED = {
    MASKED: masked,
    f"{OURS}, mean": filled(METHODS[OURS]),
    "kNN, mean": filled(METHODS["kNN"]),
    "IForest, mean": filled(METHODS["IForest"]),
}


def section(results: Path, images: Path) -> Section:
    """Mean AUROC per share, and whether blanked anomalies keep the smaller p-values."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    done = statistics.shared(done, ["share", "dataset", "seed"])
    per_set = done.groupby(["share", "dataset", "method"]).auroc.mean().unstack("method")
    per_set = per_set[[m for m in COMPARED if m in per_set]].dropna()
    rows = [
        [markdown.percent(share), str(len(part)), *markdown.best_bold(part.mean())]
        for share, part in per_set.groupby("share")
    ]
    lines = [
        "## Missing cells",
        "",
        *markdown.paragraph(
            "Made by `python -m benchmarks.missing`: a share of all cells blanked at random in",
            "the training and test rows of the one-class splits. Masked: the detector gets the",
            "holes as they are; mean: they are filled with the training rows' mean. Mean AUROC",
            f"over sets and seeds {listed(sorted(done.seed.unique()))}.",
        ),
        *markdown.table(["share", "sets", *per_set.columns], rows),
    ]
    more, floor = p_values(done[done.method == MASKED])
    return Section(lines + more, floor)


def p_values(done: pd.DataFrame) -> tuple[list[str], list[Floor]]:
    """Mean p-values of blanked anomalies and of equally blanked normal rows."""
    if done.empty:
        return [], []
    columns = ["p_anomalies", "p_normal", "auroc"]
    means = done.groupby(["dataset", "share"], sort=False)[columns].mean()
    broken = means[means.p_anomalies > means.p_normal]
    by_share = means.groupby("share")[["p_anomalies", "p_normal"]].mean()
    by_share["holds"] = (means.p_anomalies <= means.p_normal).groupby("share").sum()
    rows = [
        [
            markdown.percent(share),
            f"{row.p_anomalies:.3f}",
            f"{row.p_normal:.3f}",
            f"{row.holds:.0f}",
        ]
        for share, row in by_share.iterrows()
    ]
    lines = [
        *markdown.paragraph(
            "Mean p-values of blanked anomalies and of equally blanked normal test rows (masked),",
            f"over {means.index.unique('dataset').size} sets, and on how many sets the anomalies'",
            "are not larger:",
        ),
        *markdown.table(["share", "anomalies", "normal rows", "sets"], rows),
    ]
    if len(broken):
        cases = [
            f"{n} at {markdown.percent(s)} (AUROC {row.auroc:.2f})"
            for (n, s), row in broken.iterrows()
        ]
        lines += markdown.paragraph(f"They are larger on {', '.join(cases)}.")
    measured = f"{len(means) - len(broken)} of {len(means)} sets and shares"
    law = bool((by_share.p_anomalies <= by_share.p_normal).all())
    what = "mean p-value of blanked anomalies ≤ that of equally blanked normal rows, mean over sets"
    return lines, [Floor(what, "at every share", "on every set", measured, law, not len(broken))]


if __name__ == "__main__":
    main()
