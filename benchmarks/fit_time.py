"""Fit time of the default VAEDetector beside PyOD's VAE.

    python -m benchmarks.fit_time

Both fit the same training rows in one process, pinned to one core, in turns: a busy moment of the
machine then meets both. Lines go to benchmarks/results/fit_time.csv.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks import adbench, markdown, runs
from benchmarks.markdown import Floor, Section
from benchmarks.methods import METHODS, OURS
from benchmarks.quality import PEER

FILE = "fit_time.csv"
REPETITIONS = 3


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", seeds=tuple(range(REPETITIONS)))
    args = parser.parse_args()
    sets = adbench.chosen(parser, args.data, args.sets)
    wanted = [{"dataset": name, "repetition": turn} for name in sets for turn in args.seeds]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    def run(key: runs.Key) -> list[runs.Line]:
        warm_up()
        train = adbench.split(args.data, key["dataset"], seed=0).train
        lines = []
        for method in (OURS, PEER):
            started = time.perf_counter(), time.process_time()
            METHODS[method](train, key["repetition"])
            wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
            lines.append({"method": method, "fit_seconds": wall, "cpu_seconds": cpu})
        return lines

    runs.complete(args.results / FILE, wanted, run, args.fresh)


@cache
def warm_up() -> None:
    """Imports and first calls are not fitting."""
    rows = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    for method in (OURS, PEER):
        METHODS[method](rows, 0)


def section(results: Path, images: Path) -> Section:
    """Medians over repetitions, and their sum over sets."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    wall, cpu = (
        done.groupby(["dataset", "method"], sort=False)[clock].median().unstack("method")
        for clock in ("fit_seconds", "cpu_seconds")
    )
    table = wall[[OURS, PEER]]
    total, cpu_total = table.sum(), cpu.sum()
    ratio = total[OURS] / total[PEER]
    cpu_ratio = cpu_total[OURS] / cpu_total[PEER]
    rows = [[name, *(f"{v:.2f}" for v in row)] for name, row in table.iterrows()]
    rows.append(["**all**", *(f"**{v:.1f}**" for v in total)])
    lines = [
        "## Fit time",
        "",
        *markdown.paragraph(
            "Made by `python -m benchmarks.fit_time`: seconds to fit the one-class training rows",
            f"of split seed 0 on one core, medians of {done.repetition.nunique()} repetitions in",
            "turns. Wall time; the ratio of processor times, which other work on the machine does",
            f"not touch, is {cpu_ratio:.2f}.",
        ),
        *markdown.table(["set", *table.columns], rows),
    ]
    measured = f"{total[OURS]:.0f} s against {total[PEER]:.0f} s, ratio {ratio:.2f}"
    what = f"fit time, sum over {len(table)} sets"
    return Section(
        lines, [Floor(what, f"≤ {PEER}'s", "≤ 1/3", measured, ratio <= 1, ratio <= 1 / 3)]
    )


if __name__ == "__main__":
    main()
