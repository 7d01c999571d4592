"""The search itself: Optuna proposes settings, each is tried, and the best by rank is chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.training import TrainingError
from pipeline.tuning.criterion import mean_ranks
from pipeline.tuning.space import Bounds, Settings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

__all__ = ["FAILURES", "Trial", "best_of", "search"]

MOST_PROPOSALS = 20  # until one of them is new
Attempt = Callable[[int, Settings], Mapping[str, float]]

# What settings can bring about: too large for the device, never a finite loss, … Any other error
# (a store that is down) has nothing to do with them and ends the study.
FAILURES = (TrainingError, ValueError, ArithmeticError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Trial:
    """One tried combination of settings.

    Attributes:
        number: 0 for the config's own settings, then 1, 2, ….
        settings: as tried.
        metrics: of ``criterion.judge``; empty where the trial failed.
        failure: what went wrong, or None.
    """

    number: int
    settings: Settings
    metrics: Mapping[str, float]
    failure: str | None = None


def search(
    attempt: Attempt,
    bounds: Mapping[str, Bounds],
    own: Settings,
    objectives: Sequence[str],
    *,
    trials: int,
    timeout: float | None = None,
    seed: int = 0,
    known: Sequence[Trial] = (),
) -> list[Trial]:
    """Try settings until there are `trials` of them or the time is over; the own ones come first.

    A trial that fails is kept as such and the next one goes on; settings that were tried before are
    not tried again, as far as others are to be had.

    Args:
        attempt: takes a trial's number and settings, gives its metrics; raises one of
            `FAILURES` where they cannot be used.
        bounds: of each setting.
        own: the config's own settings, tried as they are even outside the bounds.
        objectives: metrics to maximise.
        trials: in all, those known included.
        timeout: seconds after which no further trial begins; the first one always does.
        seed: of the proposals.
        known: trials of an earlier search of the same kind.

    Returns:
        Known and new trials, by number.

    Reference:
        Ozaki, Tanigaki, Watanabe, Onishi: Multiobjective Tree-Structured Parzen Estimator, 2022.
    """
    started = time.monotonic()
    done = sorted(known, key=lambda trial: trial.number)
    study = _study(len(objectives), seed + len(done))
    for trial in done:
        _tell(study, bounds, trial, objectives)
    if not done or done[0].number > 0:
        done.insert(0, _try(attempt, 0, own))
        _tell(study, bounds, done[0], objectives)
    while len(done) < trials and (timeout is None or time.monotonic() - started < timeout):
        proposed = _propose(study, bounds, [trial.settings for trial in done])
        done.append(_try(attempt, done[-1].number + 1, proposed))
        _tell(study, bounds, done[-1], objectives)
    return done


def _try(attempt: Attempt, number: int, settings: Settings) -> Trial:
    try:
        return Trial(number, settings, attempt(number, settings))
    except FAILURES as error:
        return Trial(number, settings, {}, f"{type(error).__name__}: {error}")


def best_of(trials: Sequence[Trial], objectives: Sequence[str]) -> Trial | None:
    """The trial of the lowest mean rank, the earlier one of equals; None where all failed."""
    finished = [trial for trial in trials if trial.failure is None]
    if not finished:
        return None
    return finished[int(mean_ranks([t.metrics for t in finished], objectives).argmin())]


def _study(objectives: int, seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    return optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)


def _propose(
    study: Study, bounds: Mapping[str, Bounds], tried: Sequence[Settings]
) -> dict[str, float]:
    """The next settings; they are told back by `_tell`, at the values that were really used."""
    import optuna

    proposed: dict[str, float] = {}
    for _ in range(MOST_PROPOSALS):
        asked = study.ask(_distributions(bounds))
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
        proposed = {name: bounds[name].round(value) for name, value in asked.params.items()}
        if proposed not in tried:
            break
    return proposed


def _tell(
    study: Study, bounds: Mapping[str, Bounds], trial: Trial, objectives: Sequence[str]
) -> None:
    import optuna

    if trial.failure is not None:
        return
    within = {
        name: min(max(trial.settings[name], limits.low), limits.high)
        for name, limits in bounds.items()
    }
    study.add_trial(
        optuna.trial.create_trial(
            params=within,
            distributions=_distributions(bounds),
            values=[trial.metrics[name] for name in objectives],
        )
    )


def _distributions(bounds: Mapping[str, Bounds]) -> dict[str, BaseDistribution]:
    from optuna.distributions import FloatDistribution

    return {name: FloatDistribution(b.low, b.high, log=True) for name, b in bounds.items()}
