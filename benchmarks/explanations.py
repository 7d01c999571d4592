"""Whether explanations name the feature that was changed.

    python -m benchmarks.explanations

In normal test rows one feature each is moved by six standard deviations of the training rows,
up or down; it should contribute most to the score. PCA's squared residual per column is the
baseline. Lines go to benchmarks/results/explanations.csv.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from benchmarks import adbench, markdown, runs, statistics
from benchmarks.markdown import Floor, Section, listed
from benchmarks.methods import OURS

FILE = "explanations.csv"
CHANGE = 6.0  # standard deviations
MOST_ROWS = 500
FEWEST_COLUMNS = 5


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", seeds=(0, 1, 2))
    parser.add_argument("--methods", nargs="+", choices=list(EXPLAINERS), default=list(EXPLAINERS))
    args = parser.parse_args()
    wanted = [
        {"dataset": dataset, "method": method, "seed": seed}
        for dataset in adbench.chosen(parser, args.data, args.sets)
        for seed in args.seeds
        for method in args.methods
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        split = adbench.split(args.data, key["dataset"], key["seed"])
        varying = np.flatnonzero(np.ptp(split.train, axis=0) > 0)
        if len(varying) < FEWEST_COLUMNS:
            return []
        rows, changed = change(split.test[split.labels == 0], varying, key["seed"])
        place = places(EXPLAINERS[key["method"]](split.train, key["seed"])(rows), changed)
        top = {"top_1": float((place == 0).mean()), "top_3": float((place < 3).mean())}
        return [{"rows": len(rows), **top}]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def change(rows: np.ndarray, varying: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Seeded rows, each with one feature moved.

    Args:
        rows: (N, D) standardised with the training rows' deviations.
        varying: columns to choose from.

    Returns:
        (M, D) rows, M ≤ `MOST_ROWS`, and (M,) the changed column of each.
    """
    rng = np.random.default_rng([seed, 2])
    taken = rows[rng.permutation(len(rows))[:MOST_ROWS]].copy()
    columns = rng.choice(varying, len(taken))
    taken[np.arange(len(taken)), columns] += CHANGE * rng.choice([-1.0, 1.0], len(taken))
    return taken, columns


def places(contributions: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(M,) how many other columns contribute at least as much: 0 = named first."""
    own = contributions[np.arange(len(columns)), columns]
    return (contributions >= own[:, None]).sum(1) - 1


def detector(train: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    from pipeline import VAEDetector

    return VAEDetector(random_state=seed).fit(train).explain


def pca_residual(train: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Squared residual per column, components holding 90 % of the variance."""
    model = PCA(n_components=0.9, svd_solver="full").fit(train)
    return lambda rows: np.square(rows - model.inverse_transform(model.transform(rows)))


EXPLAINERS = {OURS: detector, "PCA residual": pca_residual}


def section(results: Path, images: Path) -> Section:
    """Shares of rows whose changed feature comes first, or among the first three."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    done = statistics.shared(done, ["dataset", "seed"])
    table = done.groupby(["dataset", "method"], sort=False)[["top_1", "top_3"]].mean()
    table = table.unstack("method").swaplevel(axis=1).dropna()
    columns = [(m, top) for m in EXPLAINERS for top in ("top_1", "top_3") if (m, top) in table]
    table = table[columns]
    means = table.mean()
    header = [f"{method}, {top.replace('_', ' ')}" for method, top in columns]
    rows = [[name, *(markdown.percent(v, 1) for v in row)] for name, row in table.iterrows()]
    rows.append(["**mean**", *(f"**{markdown.percent(v, 1)}**" for v in means)])
    lines = [
        "## Explanations",
        "",
        *markdown.paragraph(
            f"Made by `python -m benchmarks.explanations`: up to {MOST_ROWS} normal test rows of",
            f"each set with at least {FEWEST_COLUMNS} columns that vary, one feature moved by",
            f"{CHANGE:.0f} standard deviations, up or down; the share of rows where it contributes",
            "most to the score, or is one of the first three. Seeds",
            f"{listed(sorted(done.seed.unique()))}.",
        ),
        *markdown.table(["set", *header], rows),
    ]
    if OURS not in table:
        return Section(lines, [])
    first, third = means[OURS]["top_1"], means[OURS]["top_3"]
    measured = f"{markdown.percent(first, 1)} / {markdown.percent(third, 1)}"
    holds, met = first >= 0.85 and third >= 0.97, first >= 0.95 and third >= 0.99
    what = "explanations, changed feature first / among three, mean over sets"
    return Section(lines, [Floor(what, "85 % / 97 %", "95 % / 99 %", measured, holds, met)])


if __name__ == "__main__":
    main()
