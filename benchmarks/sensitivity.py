"""How much the default VAEDetector loses against one that is tuned on each data set.

    python -m benchmarks.sensitivity                 # 20 trials a set, seed 0
    python -m benchmarks.sensitivity --trials 50 --sets 45_wine 43_WDBC

On ADBench's one-class splits latent size, width and β are searched as `vae-anomaly tune` does, on
training rows alone and without labels. Then the default and the best settings are fitted on all
training rows and scored on the test rows. Trials are scored there as well, to see their spread and
what other ways of choosing would bring; the search never sees that. Lines go to
benchmarks/results/sensitivity.csv, the page to docs/sensitivity.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks import adbench, markdown, runs
from benchmarks.markdown import signed
from pipeline import VAEDetector
from pipeline.detector import CALIBRATION_SHARE, VALIDATION_SHARE, ColumnKind
from pipeline.fitting import fit_scorer
from pipeline.preprocess import fit_encoding
from pipeline.sampling import Rows
from pipeline.tuning.criterion import judge, mean_ranks, objectives
from pipeline.tuning.search import Trial, best_of, search
from pipeline.tuning.space import BETA, LATENT, WIDTH, Settings, space
from pipeline.tuning.study import JUDGING_SHARE
from vae_core import ModelConfig, Scorer, TrainConfig

FILE = "sensitivity.csv"
DOCS = Path(__file__).parents[1] / "docs"
OBJECTIVES = objectives(has_elbo=True)
SCORE = VAEDetector().get_params()["score"]
SETTINGS = {LATENT: "latent_dim", WIDTH: "width", BETA: "beta"}


def main() -> None:
    parser = runs.parser(__doc__, runs.DATA / "adbench", seeds=(0,))
    parser.add_argument("--trials", type=int, default=20, help="for each set, the default included")
    args = parser.parse_args()
    wanted = [
        {"dataset": dataset, "seed": seed, "trials": args.trials}
        for dataset in adbench.chosen(parser, args.data, args.sets)
        for seed in args.seeds
    ]
    results = args.results / FILE
    with runs.single_threaded():
        for key in runs.pending(results, wanted, args.fresh):
            started = time.perf_counter()
            lines = study(adbench.split(args.data, key["dataset"], key["seed"]), **key)
            runs.append(results, [{**key, **line} for line in lines])
            final = {line["what"]: line["auroc"] for line in lines if line["what"] != "trial"}
            runs.say(key, [final | {"seconds": time.perf_counter() - started}])
    here = args.results.resolve() == runs.RESULTS.resolve()
    (DOCS if here else args.results).joinpath("sensitivity.md").write_text(
        page(runs.read(results)), encoding="utf-8"
    )


def study(split: adbench.Split, dataset: str, seed: int, trials: int) -> list[dict[str, Any]]:
    """A line for each finished trial, one for the default settings, and one for the best."""
    order = np.random.default_rng(seed).permutation(len(split.train))
    # set aside as the detector sets them aside for calibration: they play no part here
    order = order[int(CALIBRATION_SHARE * len(order)) :]
    stopping, training = np.split(order, [max(1, round(VALIDATION_SHARE * len(split.train)))])
    cut = len(training) - max(2, round(JUDGING_SHARE * len(training)))
    rows = {name: adbench.columns(split.train[part]) for name, part in [("all", training)]}
    rows |= {"fit": take(rows["all"], slice(cut)), "judge": take(rows["all"], slice(cut, None))}
    stop = adbench.columns(split.train[stopping])
    test = adbench.columns(split.test)
    kinds = {name: ColumnKind("numeric", False) for name in rows["all"]}
    layout = fit_encoding(rows["all"], kinds).encoding.layout
    default, rule = ModelConfig(), TrainConfig()
    own = {
        LATENT: default.latent_dim_for(layout),
        WIDTH: default.hidden[0],
        BETA: rule.beta,
    }

    def fit(settings: Settings, part: Mapping[str, np.ndarray]) -> Scorer:
        model, training = default, rule
        if settings is not own:
            hidden = (int(settings[WIDTH]),) * len(default.hidden)
            model = replace(default, latent_dim=int(settings[LATENT]), hidden=hidden)
            training = replace(rule, beta=settings[BETA])
        return fit_scorer(
            part, stop, kinds, model=model, training=training, score=SCORE, seed=seed
        ).scorer

    def tested(scorer: Scorer) -> dict[str, float]:
        scores = scorer.raw_scores(test).anomaly_score
        return {
            "auroc": roc_auc_score(split.labels, scores),
            "average_precision": average_precision_score(split.labels, scores),
        }

    on_test: dict[int, dict[str, float]] = {}

    def attempt(number: int, settings: Settings) -> dict[str, float]:
        scorer = fit(settings, rows["fit"])
        on_test[number] = tested(scorer)
        return judge(scorer, Rows(dict(rows["judge"]), None), seed)

    bounds = space(len(default.hidden), layout.mask.stop, has_elbo=True)
    done = search(attempt, bounds, own, OBJECTIVES, trials=trials, seed=seed)
    best = best_of(done, OBJECTIVES)
    assert best is not None, f"every trial of {dataset} failed: {done[-1].failure}"
    finished = [trial for trial in done if trial.failure is None]
    lines = [line("trial", trial, on_test[trial.number]) for trial in finished]
    lines.append(line("default", done[0], tested(fit(own, rows["all"]))))
    chosen = own if best.number == 0 else best.settings
    lines.append(line("tuned", best, tested(fit(chosen, rows["all"]))))
    return lines


def line(what: str, trial: Trial, on_test: Mapping[str, float]) -> dict[str, Any]:
    """One line of the file; test rows had no part in any choice."""
    measured = {name: trial.metrics.get(name, float("nan")) for name in OBJECTIVES}
    settings = {SETTINGS[name]: value for name, value in trial.settings.items()}
    return {"what": what, "number": trial.number, **settings, **measured, **on_test}


def take(data: Mapping[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in data.items()}


def choices(trials: pd.DataFrame) -> dict[str, float]:
    """Test AUROC of the trial that each way of choosing takes, on one data set."""
    measured = trials[list(OBJECTIVES)].to_dict("records")

    def chosen(names: tuple[str, ...]) -> float:
        return float(trials.auroc.iloc[int(mean_ranks(measured, names).argmin())])

    return {
        "default": float(trials.auroc[trials.number == 0].iloc[0]),
        "held-out ELBO and synthetic anomalies": chosen(OBJECTIVES),
        "held-out ELBO alone": chosen(("elbo",)),
        "synthetic anomalies alone": chosen(("detection",)),
        "any (mean of the trials)": float(trials.auroc.mean()),
        "with the test labels (best trial)": float(trials.auroc.max()),
    }


def page(done: pd.DataFrame) -> str:
    """Per set: default, tuned, and the spread over all settings tried; ways of choosing."""
    lines = ["# Sensitivity", ""]
    if done.empty:
        return "# Sensitivity\n"
    most = done.groupby(["dataset", "seed"]).trials.transform("max")
    done = done[done.trials == most]
    by_set = dict(list(done.groupby(["dataset", "seed"], sort=False)))
    rows, differences = [], []
    for (dataset, _), part in by_set.items():
        final = part[part.what != "trial"].set_index("what")
        tried = part[part.what == "trial"].auroc
        difference = final.auroc["tuned"] - final.auroc["default"]
        differences.append(difference)
        found = final.loc["tuned"]
        rows.append(
            [
                str(dataset),
                f"{final.auroc['default']:.3f}",
                f"{final.auroc['tuned']:.3f}",
                signed(difference),
                f"{tried.min():.3f} – {tried.median():.3f} – {tried.max():.3f}",
                f"{found.latent_dim:.0f}, {found.width:.0f}, {found.beta:.3g}",
            ]
        )
    final = done[done.what != "trial"].pivot_table(
        index=["dataset", "seed"], columns="what", values=["auroc", "average_precision"]
    )
    means = final.mean()
    gain = float(np.mean(differences))
    error = float(np.std(differences, ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else np.nan
    rows.append(
        [
            "**mean**",
            f"**{means['auroc', 'default']:.3f}**",
            f"**{means['auroc', 'tuned']:.3f}**",
            f"**{signed(gain)}**",
            "",
            "",
        ]
    )
    header = ["set", "default", "tuned", "difference", "tried: worst – median – best"]
    ways = pd.DataFrame([choices(part[part.what == "trial"]) for part in by_set.values()]).mean()
    lines += [
        *markdown.paragraph(
            "Made by `python -m benchmarks.sensitivity`: ADBench's one-class splits, latent size,",
            "width and β searched on training rows alone, without labels, as `vae-anomaly tune`",
            f"does, in {markdown.listed(sorted(done.trials.unique()))} trials a set; seeds",
            f"{markdown.listed(sorted(done.seed.unique()))}. Default and tuned settings are fitted",
            "on all training rows; AUROC on the test rows.",
        ),
        *markdown.paragraph(
            f"Tuning changes the mean AUROC by {signed(gain)} (standard error {error:.3f} over",
            f"{len(by_set)} sets) and the mean average precision by",
            signed(means["average_precision", "tuned"] - means["average_precision", "default"])
            + ".",
        ),
        *markdown.table([*header, "latent, width, β"], rows),
        "## Ways of choosing",
        "",
        *markdown.paragraph(
            "Mean test AUROC of the trial that each way takes, trials as they were fitted, on four",
            "fifths of the training rows.",
        ),
        *markdown.table(
            ["chosen by", "mean AUROC"], [[name, f"{value:.3f}"] for name, value in ways.items()]
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
