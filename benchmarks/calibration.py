"""False-alarm rates: what thresholds promise, on scores of known law and on real data.

    python -m benchmarks.calibration                    # everything; what is done is kept
    python -m benchmarks.calibration --only laws        # the simulations, some minutes
    python -m benchmarks.calibration --only detector    # VAEDetector on ADBench, 20 splits a set

The simulations are those of benchmarks/laws.py. On ADBench's one-class splits a default VAEDetector
is fitted, and its p-values flag normal test rows at several alphas from the same fit. Lines go to
benchmarks/results/calibration_laws.csv and calibration.csv, the page to docs/calibration.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import adbench, calibration_page, laws, runs
from benchmarks.adbench import Split
from pipeline import VAEDetector, fdr
from vae_core import conformal_rank

LAWS, FILE = "calibration_laws.csv", "calibration.csv"
DOCS = Path(__file__).parents[1] / "docs"
ALPHAS = (0.05, 0.01)
SPLITS = tuple(range(20))
# (share of anomalies, their distance in standard deviations, calibration rows)
NIGHTS = [
    (0.05, 3.0, 10_000),
    (0.05, 4.0, 10_000),
    (0.01, 3.0, 10_000),
    (0.01, 4.0, 10_000),
    (0.01, 5.0, 10_000),
    (0.002, 4.0, 10_000),
    (0.002, 4.0, 100_000),
]


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", SPLITS)
    parser.add_argument("--only", choices=("laws", "detector"), help="one half of it")
    args = parser.parse_args()
    with runs.single_threaded():
        if args.only != "detector":
            simulate(args.results / LAWS, args.fresh)
        if args.only != "laws":
            wanted = [
                {"dataset": dataset, "seed": seed}
                for dataset in adbench.chosen(parser, args.data, args.sets)
                for seed in args.seeds
            ]
            results = args.results / FILE
            for key in runs.pending(results, wanted, args.fresh):
                split = adbench.split(args.data, key["dataset"], key["seed"])
                lines = detect(split, key["seed"])
                runs.append(results, [{**key, **line} for line in lines])
                rates = {f"alpha {a['alpha']}": a["flagged"] / a["normal_rows"] for a in lines}
                runs.say(key, [rates | {"seconds": lines[0]["seconds"]}])
    here = args.results.resolve() == runs.RESULTS.resolve()
    (DOCS if here else args.results).joinpath("calibration.md").write_text(
        calibration_page.page(runs.read(args.results / LAWS), runs.read(args.results / FILE)),
        encoding="utf-8",
    )


def simulate(results: Path, fresh: bool) -> None:
    """Every simulation that no line holds yet."""
    todo = {(law, case): run for law, case, run in simulations()}
    keys = [{"law": law, "case": case} for law, case in todo]
    for key in runs.pending(results, keys, fresh):
        started = time.perf_counter()
        found: dict[str, float] = todo[key["law"], key["case"]]()._asdict()
        runs.append(results, [{**key, "figure": name, "value": v} for name, v in found.items()])
        runs.say(key, [found | {"seconds": time.perf_counter() - started}])


def simulations() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Law, case, and what runs it."""
    for law, draws in (("marginal", laws.SCORES), ("marginal, ties", laws.TIED)):
        for name, draw in draws.items():
            for alpha in ALPHAS:
                yield law, f"{name}; {alpha}", lambda d=draw, a=alpha: laws.marginal(d, a)
    for alpha, n in ((0.05, 200), (0.05, 1000), (0.01, 10_000)):
        yield "conditional", f"{alpha}; {n}", lambda a=alpha, n=n: laws.conditional(a, n)
    for share, distance, n in NIGHTS:
        yield (
            "fdr",
            f"{share}; {distance:g}; {n}",
            lambda s=share, d=distance, n=n: laws.false_discoveries(s, d, n=n),
        )
    for name, tail in laws.TAILS.items():
        yield "pot", name, lambda t=tail: laws.extrapolation(t)
    for name, draw in {**laws.SCORES, **laws.TIED}.items():
        yield "drift, no change", name, lambda d=draw: laws.drift_false_alarms(d)
    for name, change in laws.CHANGES.items():
        yield "drift", name, lambda c=change: laws.drift_delay(c)
    for shift in (0.0, 0.5, 1.0, 2.0):
        yield "covariate shift", f"{shift:g} sd", lambda s=shift: laws.covariate_shift(s)


def detect(split: Split, seed: int) -> list[dict[str, Any]]:
    """Flags among the normal test rows, one line per alpha."""
    started = time.perf_counter()
    detector = VAEDetector(random_state=seed).fit(split.train)
    seconds = time.perf_counter() - started
    calibration = detector.scorer_.calibration["anomaly_score"]
    n = len(calibration)
    frame = detector.score_frame(split.test[split.labels == 0])
    ranks = fdr.ranks(frame.p_value.to_numpy(), n)
    scores = np.concatenate([calibration, frame.anomaly_score])
    lines = []
    for alpha in ALPHAS:
        rank = conformal_rank(n, alpha)
        lines.append(
            {
                "alpha": alpha,
                "guarantee": bool(detector.guarantee_ and rank >= 1),
                "calibration_rows": n,
                "rank": rank,
                "normal_rows": len(frame),
                "flagged": int(np.sum(ranks <= rank)),
                "distinct": len(np.unique(scores)) / len(scores),
                "seconds": seconds,
            }
        )
    return lines


if __name__ == "__main__":
    main()
