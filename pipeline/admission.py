"""A new version before its gates: on which rows, and against which detectors, it is judged.

`pipeline.gates` judges; here is gathered what it judges by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline import gates, registry, tracking
from pipeline.errors import NotEnoughRows, RegistryError, ThresholdError
from pipeline.frames import inputs
from pipeline.gates import Gate
from pipeline.sampling import Rows, read_rows
from pipeline.split import Split

if TYPE_CHECKING:
    from pipeline.home import Home
    from pipeline.lake import Lake
    from vae_core import Scorer, Threshold

__all__ = ["hold"]

CHECK_ROWS = 1000
TRAINING_SAMPLE = 20_000


def hold(lake: Lake, scorer: Scorer, version: int, data: Rows, run: tracking.Run) -> list[Gate]:
    """Run every gate of a version that has just been registered.

    Args:
        lake: of the data set; the rows that trained and stopped the model are read from it.
        scorer: calibrated, as it was registered.
        version: its number.
        data: the rows that calibrated it, with labels where there are some.
        run: the calibrating run, which is told the comparison with other detectors.

    Returns:
        What each gate saw, in order.
    """
    few = data.take(np.arange(min(len(data), CHECK_ROWS)))
    return [
        _reloads(lake.home, lake.config.name, version, scorer, few),
        gates.has_not_collapsed(scorer),
        *_rates(lake, scorer, data),
        *_comparisons(lake, scorer, data, run),
    ]


def _reloads(home: Home, name: str, version: int, scorer: Scorer, few: Rows) -> Gate:
    try:
        reloaded = registry.load_scorer(home, name, version, device="cpu")
        model = tracking.pyfunc().load_model(f"models:/{name}/{version}")
        return gates.reproduces(scorer, reloaded, model, few)
    except Exception as error:  # whatever keeps it from loading here keeps it from loading there
        return Gate("reproduces", False, f"it cannot be loaded again: {error}")


def _rates(lake: Lake, scorer: Scorer, data: Rows) -> list[Gate]:
    config = lake.config

    def threshold_on(rows: Rows) -> Threshold:
        from pipeline.fitting import calibrate_scorer

        settings = config.threshold.model_dump(exclude={"score"})
        fitted = calibrate_scorer(
            scorer, rows.columns, labels=rows.labels, labelled=rows.labelled, **settings
        )
        return fitted.thresholds["anomaly_score"]

    def normal_scores(rows: Rows) -> tuple[np.ndarray, float]:
        """Of rows that are not known to be anomalies, and the share of anomalies among them."""
        normal = rows if rows.labels is None else rows.take(~rows.labels)
        scores = scorer.raw_scores(normal.columns).anomaly_score
        return scores, config.alerts.expected_anomaly_share * _share_unlabelled(normal)

    split = Split.from_dict(scorer.metadata["split"])
    if scorer.metadata["calibration"] == split.calibration.to_dict():
        # Early stopping saw these rows, the thresholds did not.
        other = read_rows(lake, config, split.validation, labels=True, seed=config.seed)
        threshold = scorer.thresholds["anomaly_score"]
        scores, expected = normal_scores(other)
        rate = gates.holds_its_rate(scores, threshold, expected, "validation rows")
    else:
        # The validation rows are of another time: every other new row checks the rest.
        even = np.arange(len(data)) % 2 == 0
        try:
            threshold = threshold_on(data.take(even))
        except (NotEnoughRows, ThresholdError) as error:
            return [Gate("false-positive rate", True, f"not checked: {error}", blocking=False)]
        scores, expected = normal_scores(data.take(~even))
        rate = gates.holds_its_rate(scores, threshold, expected, "held-back calibration rows")
    earlier = np.arange(len(data)) < len(data) // 2
    try:
        threshold = threshold_on(data.take(earlier))
    except (NotEnoughRows, ThresholdError):
        return [rate]
    scores, expected = normal_scores(data.take(~earlier))
    return [rate, gates.is_steady(scores, threshold, expected)]


def _share_unlabelled(rows: Rows) -> float:
    """Share of the rows without a label, which alone can hide anomalies."""
    if rows.labels is None or rows.labelled is None:
        return float(rows.labels is None)
    return float(1 - rows.labelled.mean()) if len(rows) else 0.0


def _comparisons(lake: Lake, scorer: Scorer, data: Rows, run: tracking.Run) -> list[Gate]:
    from pipeline.comparison import compare

    config = lake.config
    scorers, found = {"version": scorer}, []
    present = registry.champion(lake.home, config.name)
    if present is not None:
        try:
            champion = registry.load_scorer(lake.home, config.name, present.version)
        except RegistryError as error:
            found.append(Gate("no worse than the champion", True, str(error), blocking=False))
        else:
            # One that reads columns which are no longer there cannot be compared.
            if set(inputs(champion.encoding)) <= set(data.columns):
                scorers["champion"] = champion
    split = Split.from_dict(scorer.metadata["split"])
    training = read_rows(lake, config, split.train, most=TRAINING_SAMPLE, seed=config.seed)
    quality = compare(scorers, training, data, config.seed)
    run.log_json(quality, "quality/comparison.json")
    run.log_metrics(
        {f"auroc/{kind}/{name}": v for name, kinds in quality.items() for kind, v in kinds.items()}
    )
    found.append(gates.beats_baselines(quality))
    if "champion" in scorers:
        found.append(gates.is_no_worse(quality))
    return found
