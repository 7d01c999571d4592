"""What each part of the default is worth, and what was left out: one change at a time.

    python -m benchmarks.ablation

Every change is fitted once and gives all the kinds of scores, so the table shows training and
joining apart. Lines go to benchmarks/results/ablation.csv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import adbench, alternatives, markdown, runs, statistics
from benchmarks.adbench import Split
from benchmarks.markdown import Section, listed

if TYPE_CHECKING:
    from vae_core import Scorer

FILE = "ablation.csv"


@dataclass(frozen=True)
class Change:
    """What differs from the default.

    Attributes:
        model, training: fields of ModelConfig and of TrainConfig.
        beside: of ModelConfig, for a second pair of members of another shape; its scores are added.
        rows: what is done to the rows before.
        during: entered while training, with the training rows.
        fitted: what is done to the scorer afterwards.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] | None = None
    rows: Callable[[Split], Split] = lambda split: split
    during: Callable[[np.ndarray], AbstractContextManager[Any]] = nullcontext
    fitted: Callable[[Scorer], Scorer] = lambda scorer: scorer


CHANGES: dict[str, Change] = {
    "default": Change(),
    "no denoisers: two plain VAEs": Change(model={"denoisers": 0}),
    "denoisers without noise": Change(training={"denoiser_noise": 0.0}),
    "denoisers at β = 1": Change(training={"denoiser_beta": 1.0}),
    "noise 0.3 for every member": Change(training={"noise": 0.3}),
    "two pairs of members": Change(model={"members": 4}),
    "and a pair with a latent of 4": Change(beside={"latent_dim": 4}),
    "and a pair of half the width": Change(beside={"hidden": (64, 64)}),
    "a bootstrap for each member": Change(during=alternatives.bootstraps),
    "latent of 2": Change(model={"latent_dim": 2}),
    "VampPrior": Change(model={"prior": "vamp"}),
    "mixture fitted to the codes as prior": Change(model={"prior": "mixture"}),
    "variance fixed at 1": Change(model={"learned_variance": False}),
    "oddest 15 % of the codes forgotten": Change(training={"forget": 0.15}),
    "worst 10 % of each batch left out": Change(training={"trim": 0.1}),
    "worst 10 % by a slow average left out": Change(during=alternatives.slowly_filtered),
    "worst 10 % left out twice": Change(rows=alternatives.trimmed_twice),
    "2,000 steps": Change(training={"max_steps": 2000}),
    "distance to the nearest code alone": Change(fitted=alternatives.nearest_alone),
    "distance to codes of twenty groups alone": Change(fitted=alternatives.twenty_alone),
    "more noise for heavy-tailed columns": Change(during=alternatives.noise_by_kurtosis(0.25)),
    "less noise for heavy-tailed columns": Change(during=alternatives.noise_by_kurtosis(-0.25)),
    "quantile transform of every column": Change(rows=alternatives.quantiles),
    "near-duplicate columns left out": Change(rows=alternatives.without_duplicates),
}
PROTOCOLS = {"oneclass": "one-class", "contaminated": "contaminated"}
TWO_SIDED = "two-sided"
LARGER = "either + distance"
WITHOUT_ROWS = "combined without rows"
WEIGHTED = "importance_weighted"
DRAWS = 16  # of it; 64 take four times as long


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", seeds=(0,))
    parser.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    parser.add_argument("--protocol", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    args = parser.parse_args()
    wanted = [
        {"protocol": protocol, "dataset": dataset, "change": change, "seed": seed}
        for protocol in args.protocol
        for change in args.changes
        for dataset in adbench.chosen(parser, args.data, args.sets)
        for seed in args.seeds
    ]

    def run(key: runs.Key) -> list[runs.Line]:
        split = adbench.split(args.data, key["dataset"], key["seed"], key["protocol"])
        return [
            {"score": kind, **measured}
            for kind, measured in measure(split, CHANGES[key["change"]], key["seed"])
        ]

    runs.complete(args.results / FILE, wanted, run, args.fresh)


def measure(split: Split, change: Change, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """AUROC and average precision of every kind of score of one fit."""
    from pipeline.detector import CALIBRATION_SHARE, VALIDATION_SHARE, ColumnKind
    from pipeline.fitting import fit_scorer
    from vae_core import ModelConfig, TrainConfig, fit_weighted
    from vae_core.joining import JOINED, JOINS

    split = change.rows(split)
    # calibration rows, as in the detector: kept from training, not used here
    order = np.random.default_rng(seed).permutation(len(split.train))[
        int(CALIBRATION_SHARE * len(split.train)) :
    ]
    first = max(1, round(VALIDATION_SHARE * len(split.train)))
    train, validation = split.train[order[first:]], split.train[order[:first]]
    usual, test = adbench.columns(validation), adbench.columns(split.test)
    scores: dict[str, np.ndarray] = {}
    for model in (change.model, change.beside):
        if model is None:
            continue
        with change.during(train):
            scorer = fit_scorer(
                adbench.columns(train),
                usual,
                {name: ColumnKind("numeric", False) for name in adbench.columns(split.train)},
                model=ModelConfig(**model),
                training=TrainConfig(**change.training),
                seed=seed,
            ).scorer
        scorer = change.fitted(scorer)
        scorer.weighted = fit_weighted(scorer.encoding, scorer.model, usual, DRAWS, seed)
        scorer.fit_scales(usual)
        found = {
            kind: replace(scorer, score_kind=kind).raw_scores(test).anomaly_score
            for kind in (*JOINED, *JOINS, WEIGHTED)
        }
        found[TWO_SIDED] = alternatives.two_sided(scorer, usual, found)
        found[WITHOUT_ROWS] = alternatives.without_rows(scorer, usual, found)
        found[LARGER] = alternatives.larger_and_distance(scorer, usual, found)
        scores = {kind: scores.get(kind, 0.0) + found[kind] for kind in found}
    for kind, found in scores.items():
        yield (
            kind,
            {
                "auroc": roc_auc_score(split.labels, found),
                "average_precision": average_precision_score(split.labels, found),
            },
        )


def section(results: Path, images: Path) -> Section:
    """Mean AUROC by change and kind of score, on the sets that every change was run on."""
    done = runs.read(results / FILE)
    if done.empty:
        return Section([], [])
    lines = ["## Ablation", ""]
    lines += markdown.paragraph(
        "`python -m benchmarks.ablation`: one change at a time, every kind of score from the same",
        f"fit; mean AUROC / average precision, seeds {listed(sorted(done.seed.unique()))}.",
        "The detector's default is `combined` in the first line. Combined without rows: the same",
        "less the distance to training rows. Two-sided: its three scores by their absolute values,",
        "so that lower than usual is abnormal as well. Either + distance: the larger of the first",
        "two, and the third beside it. –: the score came after the change had been run.",
    )
    for protocol, title in PROTOCOLS.items():
        part = done[done.protocol == protocol]
        if len(part):
            lines += _table(part, title)
    return Section(lines, [])


def _table(done: pd.DataFrame, title: str) -> list[str]:
    done = statistics.shared(done, ["dataset", "seed"], "change")
    auroc = done.groupby(["change", "score"]).auroc.mean().unstack("score")
    precision = done.groupby(["change", "score"]).average_precision.mean().unstack("score")
    kinds = list(auroc.columns)
    means = auroc.map("{:.3f}".format) + " / " + precision.map("{:.3f}".format)
    means = means.where(auroc.notna(), "–")  # kinds that came after a change was run
    rows = [[change, *means.loc[change]] for change in CHANGES if change in means.index]
    first = f"{title}, {done.dataset.nunique()} sets"
    return markdown.table([first, *(f"`{k}`" for k in kinds)], rows)


if __name__ == "__main__":
    main()
