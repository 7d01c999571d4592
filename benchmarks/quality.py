"""Detection quality of the default VAEDetector and its peers on the same splits.

    python -m benchmarks.quality                      # both protocols, five seeds, all methods
    python -m benchmarks.quality --fixed-split        # five model seeds on the split of seed 0
    python -m benchmarks.quality --methods VAEDetector --fresh

Every finished run is a line of benchmarks/results/quality.csv; a repeated call runs only what is
missing and rewrites docs/benchmarks.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks import adbench, markdown, runs, statistics, summary
from benchmarks.markdown import Floor, Section, signed
from benchmarks.methods import METHODS, OURS, WARY

FILE = "quality.csv"
PEER = "PyOD_VAE"
FIXED = "oneclass-fixed-split"
CONTAMINATED = (
    "All rows train, anomalies among them, and all test. kNN and LOF leave a row out of its own "
    "neighbours; LUNAR, as PyOD ships it, does not."
)
CHOSEN_BY = 0  # the seed at which the detector's defaults were chosen, on these very sets


class Protocol(NamedTuple):
    """Which rows train, and the seed of the split where it is not the run's own."""

    rows: str
    split_seed: int | None = None


PROTOCOLS = {
    "oneclass": Protocol("oneclass"),
    "contaminated": Protocol("contaminated"),
    FIXED: Protocol("oneclass", split_seed=0),
}
PEERS = {
    "oneclass": [method for method in METHODS if method != WARY],
    "contaminated": list(METHODS),
}


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench")
    parser.add_argument("--protocol", nargs="+", choices=("oneclass", "contaminated"))
    parser.add_argument(
        "--fixed-split", action="store_true", help="vary the model's seed only, ours and PyOD's VAE"
    )
    parser.add_argument("--methods", nargs="+", choices=list(METHODS))
    args = parser.parse_args()
    sets = adbench.chosen(parser, args.data, args.sets)
    protocols = [FIXED] if args.fixed_split else args.protocol or ["oneclass", "contaminated"]
    methods = args.methods or ([OURS, PEER] if args.fixed_split else list(METHODS))
    wanted = [
        {"protocol": protocol, "dataset": dataset, "method": method, "seed": seed}
        for protocol in protocols
        for dataset in sets
        for seed in args.seeds
        for method in methods
        if protocol == FIXED or method in PEERS[protocol]
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        rows, split_seed = PROTOCOLS[key["protocol"]]
        seed = key["seed"]
        split = adbench.split(
            args.data, key["dataset"], seed if split_seed is None else split_seed, rows
        )
        return [runs.measure(split, METHODS[key["method"]], seed)]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def section(results: Path, images: Path) -> Section:
    """Both protocols, and the spread over model seeds."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    lines = [
        "## ADBench sets",
        "",
        *markdown.paragraph(
            "Made by `python -m benchmarks.quality`. AUROC and average precision (AP) are means",
            "over seeds; a seed decides the split and the methods' own randomness. The detector",
            "takes its validation and calibration rows out of the training half. Its defaults, one",
            f"setting for all, were chosen by looking at these sets with seed {CHOSEN_BY}: the",
            "floors say what is left of the lead over the best peer without it.",
        ),
    ]
    floors: list[Floor] = []
    for protocol, title, text in (
        ("oneclass", "One-class", "Half of the normal rows train, all other rows test."),
        ("contaminated", "Contaminated", CONTAMINATED),
    ):
        part = done[done.protocol == protocol]
        if len(part):
            lines += [f"### {title}", "", *markdown.paragraph(text)]
            picture = images / f"critical-difference-{protocol}.png"
            lines += summary.comparison(part, OURS, PEERS[protocol], picture)
            floors += (oneclass_floors if protocol == "oneclass" else contaminated_floors)(part)
    part = done[done.protocol == FIXED]
    if len(part):
        more, floor = spread(part)
        lines, floors = lines + more, floors + floor
    return Section(lines, floors)


def oneclass_floors(done: pd.DataFrame) -> list[Floor]:
    kept, _ = statistics.complete(done, OURS)
    if OURS not in set(kept.method) or kept.method.nunique() == 1:
        return []
    auroc = statistics.per_set(kept, "auroc")
    floors = []
    for metric, ahead in (("auroc", 0.015), ("average_precision", 0.03)):
        means = statistics.per_set(kept, metric).mean()
        best = means.drop(OURS).idxmax()
        lead, over_knn = means[OURS] - means[best], means[OURS] - means.get("kNN", float("nan"))
        met, goal = over_knn >= ahead, f"≥ {ahead} above kNN"
        measured = f"{means[OURS]:.3f}; {signed(lead)} to {best}, {signed(over_knn)} to kNN"
        if metric == "auroc":
            ranks = statistics.mean_ranks(auroc)
            met, goal = met and ranks.idxmin() == OURS, f"{goal}; best mean rank"
            place = int((ranks < ranks[OURS]).sum()) + 1
            measured += f"; mean rank {ranks[OURS]:.2f}, place {place} of {len(ranks)}"
        unseen = statistics.per_set(kept[kept.seed != CHOSEN_BY], metric).mean()
        if len(unseen):
            lead_unseen = unseen[OURS] - unseen.drop(OURS).max()
            measured += f"; {signed(lead_unseen)} without seed {CHOSEN_BY}"
        what = f"one-class, mean {summary.NAMES[metric]}"
        floors.append(Floor(what, "≥ every peer", goal, measured, lead >= 0, lead >= 0 and met))
    return floors


def contaminated_floors(done: pd.DataFrame) -> list[Floor]:
    kept, _ = statistics.complete(done, OURS)
    if not {OURS, PEER, "IForest"} <= set(kept.method):
        return []
    means = statistics.per_set(kept, "auroc").mean()
    lead, over_forest = means[OURS] - means[PEER], means[OURS] - means["IForest"]
    measured = f"{means[OURS]:.3f}; {signed(lead)} to {PEER}, {signed(over_forest)} to IForest"
    if WARY in means:
        wary = means[WARY] - means["IForest"]
        measured += f"; told of dirty rows (trim 0.1) {signed(wary)} to IForest"
    holds = lead >= 0.03
    return [
        Floor(
            "contaminated, mean AUROC",
            f"≥ {PEER} + 0.03",
            "above IForest",
            measured,
            holds,
            holds and over_forest > 0,
        )
    ]


def spread(done: pd.DataFrame) -> tuple[list[str], list[Floor]]:
    """Standard deviation of AUROC over model seeds on one split."""
    kept, _ = statistics.complete(done, OURS)
    table = statistics.seed_spread(kept).reindex(columns=[OURS, PEER])
    if table.isna().to_numpy().any():
        return [], []
    ours, peer = table.median()
    lines = [
        "### Spread over model seeds",
        "",
        *markdown.paragraph(
            "Made by `python -m benchmarks.quality --fixed-split`: standard deviation of AUROC",
            f"over {kept.seed.nunique()} seeds of the model on the one-class split of seed 0.",
        ),
        *markdown.table(
            ["set", *table.columns],
            [[name, *(f"{v:.4f}" for v in row)] for name, row in table.iterrows()]
            + [["**median**", f"{ours:.4f}", f"{peer:.4f}"]],
        ),
    ]
    measured = f"{ours:.4f} against {peer:.4f}"
    what = f"spread of AUROC over model seeds, median over {len(table)} sets"
    return lines, [Floor(what, f"≤ {PEER}'s", "≤ half", measured, ours <= peer, ours <= peer / 2)]


if __name__ == "__main__":
    main()
