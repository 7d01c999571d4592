"""What each part of the default is worth: one change at a time, one-class protocol.

    python -m benchmarks.ablation

Every change is fitted once and gives all the kinds of scores, so the table shows training and
joining apart. Lines go to benchmarks/results/ablation.csv.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import adbench, markdown, runs
from benchmarks.adbench import Split
from benchmarks.markdown import Section

FILE = "ablation.csv"
HELD_OUT = 0.2  # calibration rows, as in the detector: kept from training, not used here
VALIDATION = 0.1


@dataclass(frozen=True)
class Change:
    """What differs from the default: fields of ModelConfig and of TrainConfig."""

    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


CHANGES: dict[str, Change] = {
    "default": Change(),
    "no denoisers: four plain VAEs": Change(model={"denoisers": 0}),
    "denoisers without noise": Change(training={"denoiser_noise": 0.0}),
    "denoisers at β = 1": Change(training={"denoiser_beta": 1.0}),
    "noise 0.3 for every member": Change(training={"noise": 0.3}),
    "one pair of members": Change(model={"members": 2}),
    "latent of 2": Change(model={"latent_dim": 2}),
    "variance fixed at 1": Change(model={"learned_variance": False}),
    "oddest 15 % of the codes forgotten": Change(training={"forget": 0.15}),
    "worst 10 % of each batch left out": Change(training={"trim": 0.1}),
    "2,000 steps": Change(training={"max_steps": 2000}),
}


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", seeds=(0,))
    parser.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    args = parser.parse_args()
    wanted = [
        {"dataset": dataset, "change": change, "seed": seed}
        for change in args.changes
        for dataset in adbench.chosen(parser, args.data, args.sets)
        for seed in args.seeds
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        split = adbench.split(args.data, key["dataset"], key["seed"])
        return [
            {"score": kind, **measured}
            for kind, measured in measure(split, CHANGES[key["change"]], key["seed"])
        ]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def measure(split: Split, change: Change, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """AUROC and average precision of every kind of score of one fit."""
    from pipeline.detector import ColumnKind
    from pipeline.fitting import fit_scorer
    from vae_core import SCORE_KINDS, ModelConfig, TrainConfig

    order = np.random.default_rng(seed).permutation(len(split.train))[
        int(HELD_OUT * len(split.train)) :
    ]
    first = max(1, round(VALIDATION * len(split.train)))
    scorer = fit_scorer(
        _columns(split.train[order[first:]]),
        _columns(split.train[order[:first]]),
        {name: ColumnKind("numeric", False) for name in _columns(split.train)},
        model=ModelConfig(**change.model),
        training=TrainConfig(**change.training),
        seed=seed,
    ).scorer
    for kind in SCORE_KINDS:
        scores = replace(scorer, score_kind=kind).raw_scores(_columns(split.test)).anomaly_score
        yield (
            kind,
            {
                "auroc": roc_auc_score(split.labels, scores),
                "average_precision": average_precision_score(split.labels, scores),
            },
        )


def _columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    return {str(i): rows[:, i].astype(np.float64) for i in range(rows.shape[1])}


def section(results: Path, images: Path) -> Section:
    """Mean AUROC by change and kind of score, on the sets that every change was run on."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    sets_of = done.groupby("change").dataset.agg(set)
    common = set.intersection(*sets_of)
    done = done[done.dataset.isin(common)]
    auroc = done.groupby(["change", "score"]).auroc.mean().unstack("score")
    precision = done.groupby(["change", "score"]).average_precision.mean().unstack("score")
    changes = [change for change in CHANGES if change in auroc.index]
    kinds = list(auroc.columns)
    lines = ["## Ablation", ""]
    lines += markdown.paragraph(
        "`python -m benchmarks.ablation`: one change at a time, every kind of score from the same",
        f"fit; mean AUROC / average precision over {len(common)} sets",
        f"(one-class, seeds {', '.join(map(str, sorted(done.seed.unique())))}).",
        "The detector's default is `combined` in the first line.",
    )
    rows = [
        [change, *(f"{auroc.loc[change, k]:.3f} / {precision.loc[change, k]:.3f}" for k in kinds)]
        for change in changes
    ]
    return Section([*lines, *markdown.table(["change", *(f"`{k}`" for k in kinds)], rows)], [])


if __name__ == "__main__":
    main()
