"""What a new version must show before it scores nights.

Safety gates decide alone about the first champion: the version reloads, scores as it did, keeps
its promise on rows that calibrated nothing, and has not collapsed. Comparisons with PCA and kNN
inform; a comparison with the present champion blocks a version that is worse.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.explain import reasons
from pipeline.frames import inputs, to_frame
from pipeline.guarantee import beta_binomial_interval

if TYPE_CHECKING:
    from pipeline.sampling import Rows
    from vae_core import Scorer, Threshold

__all__ = [
    "Gate",
    "beats_baselines",
    "has_not_collapsed",
    "holds_its_rate",
    "is_no_worse",
    "is_steady",
    "reproduces",
]

# AUROC by which a version may lie below the champion before it counts as worse.
WORSE_BY = 0.01
CONFIDENCE = 0.999
# of normal rows: a flag on more of them tells nothing
MOST_FLAGGED = 0.5


@dataclass(frozen=True)
class Gate:
    """One check of a version.

    Attributes:
        name: of the check.
        passed: whether it held.
        detail: what was seen, in a sentence.
        blocking: whether a failure keeps the version from becoming champion.
    """

    name: str
    passed: bool
    detail: str
    blocking: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Its attributes, for JSON."""
        return asdict(self)


def reproduces(scorer: Scorer, reloaded: Scorer, model: Any, rows: Rows) -> Gate:
    """The registered version, loaded anew and by MLflow, gives the scores that were calibrated, and
    reasons.

    Args:
        scorer: as calibrated, in memory.
        reloaded: the version by its own packaged core, on the CPU.
        model: the version by ``mlflow.pyfunc.load_model``.
        rows: some rows.
    """
    reasons(reloaded, rows.columns)  # a night cannot end with a version that fails at this
    here = scorer.score(rows.columns)
    loaded = reloaded.score(rows.columns)
    predicted = model.predict(to_frame(rows.columns, inputs(scorer.encoding)))
    served = {name: predicted[name].to_numpy() for name in predicted.columns}
    differing = [n for n in here if n not in served or not _same(loaded[n], served[n])]
    if list(served) != list(here) or differing:
        which = ", ".join(differing) or "the columns"
        return Gate("reproduces", False, f"MLflow's model gives other values in {which}")
    if scorer.device.type == "cpu":
        differing = [name for name in here if not _same(here[name], loaded[name])]
        if differing:
            return Gate("reproduces", False, f"other values in {', '.join(differing)} once loaded")
        return Gate("reproduces", True, f"{len(rows):,} rows score bit-identically once loaded")
    scores, again = here["anomaly_score"], loaded["anomaly_score"]
    worst = float(np.max(np.abs(scores - again) / np.maximum(1.0, np.abs(scores))))
    return Gate(
        "reproduces",
        worst <= 1e-5,
        f"{len(rows):,} rows score within {worst:.1e} on the CPU of {scorer.device.type}",
    )


def has_not_collapsed(scorer: Scorer) -> Gate:
    """The latent is used: posterior collapse leaves a model that scores by averages alone."""
    if not scorer.model.has_elbo:
        return Gate("no collapse", True, "an autoencoder has no posterior to collapse")
    seen = scorer.diagnostics
    active = round(seen.get("active_units", float("nan")), 1)
    used = f"{active:g} of {seen.get('latent_dim', '?')} latents"
    collapsed = bool(seen.get("collapsed", False))
    detail = f"{used} are active" + (", none in some member" if collapsed else "")
    return Gate("no collapse", not collapsed, detail)


def holds_its_rate(
    scores: np.ndarray, threshold: Threshold, expected_share: float, of: str
) -> Gate:
    """Rows that calibrated nothing are flagged no more often than the promise explains.

    Of a threshold that promises nothing: no more often than the calibration rows that it flags
    explain, which says that it is stable, not that its rate is alpha.

    The same rule as for a night: at most the upper end of the 99.9 % beta-binomial interval for
    this many rows, plus the expected share of anomalies. Without a promise no more than half of
    them, since calibration rows may explain any rate.

    Args:
        scores: (N,) of rows that had no part in the threshold; known anomalies left out.
        threshold: the version's.
        expected_share: of anomalies among unlabelled rows, as the config expects them.
        of: what the rows are.
    """
    n, rows = threshold.n, len(scores)
    _, high = beta_binomial_interval(min(threshold.rank, n), n, rows, CONFIDENCE)
    limit = high / max(rows, 1) + expected_share
    if not threshold.guarantee:
        limit = min(limit, MOST_FLAGGED)
    rate = float(np.mean(scores > threshold.value)) if rows else 0.0
    return Gate(
        "false-positive rate",
        rate <= limit,
        f"{rate:.2%} of {rows:,} {of} are flagged; {_explained(threshold, limit)}",
    )


def _explained(threshold: Threshold, limit: float) -> str:
    """What rate passes, and whether it is alpha that explains it."""
    if threshold.guarantee:
        return f"alpha {threshold.alpha:g} explains up to {limit:.2%}"
    # its rank was counted on the calibration rows, wherever the method put the cut-off
    asked = "" if "f_score" in threshold.parameters else f", asked was alpha {threshold.alpha:g}"
    what = "the share of calibration rows above the threshold explains"
    if limit == MOST_FLAGGED:
        what = "flags tell something"
    return f"{what} up to {limit:.2%}; method {threshold.method} promises no rate{asked}"


def is_steady(scores: np.ndarray, threshold: Threshold, expected_share: float) -> Gate:
    """The first half of the calibration rows' threshold, on their second half: drift shows here.

    Args:
        scores: (N,) of the second half of the calibration rows.
        threshold: fitted on the first half.
        expected_share: see ``holds_its_rate``.
    """
    seen = holds_its_rate(scores, threshold, expected_share, "later calibration rows")
    return Gate("steady over time", seen.passed, seen.detail, blocking=False)


def beats_baselines(quality: dict[str, dict[str, float]]) -> Gate:
    """Mean AUROC of the version beside PCA's and kNN's; warns only.

    Args:
        quality: model → kind of anomaly → AUROC, with ``version`` among the models.
    """
    mean = _means(quality)
    others = {name: value for name, value in mean.items() if name not in ("version", "champion")}
    text = ", ".join(f"{name} {value:.3f}" for name, value in others.items())
    return Gate(
        "better than baselines",
        all(mean["version"] >= value - WORSE_BY for value in others.values()),
        f"mean AUROC on {_kinds(quality)}: {mean['version']:.3f}; {text}",
        blocking=False,
    )


def is_no_worse(quality: dict[str, dict[str, float]]) -> Gate:
    """Mean AUROC of the version against the present champion's on the same rows."""
    mean = _means(quality)
    return Gate(
        "no worse than the champion",
        mean["version"] >= mean["champion"] - WORSE_BY,
        f"mean AUROC on {_kinds(quality)}: {mean['version']:.3f}, champion {mean['champion']:.3f}",
    )


def _kinds(quality: dict[str, dict[str, float]]) -> str:
    kinds = list(quality["version"])
    return "labelled anomalies" if kinds == ["labelled"] else f"{', '.join(kinds)} anomalies"


def _means(quality: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean(list(kinds.values()))) for name, kinds in quality.items()}


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype.kind == "f" or other.dtype.kind == "O":
        one, other = one.astype(np.float64), other.astype(np.float64)
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(np.array_equal(one, other))
