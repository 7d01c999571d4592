"""Methods compared over data sets.

Legend: a table is a data frame of sets (rows) × methods (columns), higher is better.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def complete(done: pd.DataFrame, ours: str) -> tuple[pd.DataFrame, list[str]]:
    """The runs that can be compared: same sets and same seeds for every method.

    Args:
        done: finished runs with columns dataset, seed and method.
        ours: the method that the others are compared with, and whose seeds count; where it has no
            run, those of the method that has most.

    Returns:
        the runs, and the methods left out because they have not all sets at each of these seeds.
    """
    whole = whole_seeds(done)
    if not any(whole.values()):
        return done.iloc[:0], list(whole)
    common = whole.get(ours) or max(whole.values(), key=len)
    left_out = [method for method, seeds in whole.items() if not seeds >= common]
    return done[done.seed.isin(common) & ~done.method.isin(left_out)], left_out


def shared(done: pd.DataFrame, case: list[str], method: str = "method") -> pd.DataFrame:
    """The runs of cases (columns `case`) that every method has run."""
    present = done.groupby(case)[method].transform("nunique")
    return done[present == done[method].nunique()]


def whole_seeds(done: pd.DataFrame) -> dict[str, set[int]]:
    """The seeds at which each method has all sets."""
    counts = done.groupby(["method", "seed"]).dataset.nunique()
    whole = counts[counts == done.dataset.nunique()].index
    return {m: {seed for method, seed in whole if method == m} for m in done.method.unique()}


def per_set(done: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The table of a metric, means over seeds."""
    table = done.pivot_table(index="dataset", columns="method", values=metric, sort=False)
    return table.loc[sorted(table.index, key=_by_number)]


def mean_ranks(table: pd.DataFrame) -> pd.Series:
    """(methods,) mean over sets of the rank within a set, 1 = best; ties share their mean rank."""
    return table.rank(axis=1, ascending=False).mean()


def bootstrap(differences: pd.Series, seed: int = 0) -> Interval:
    """Mean of paired differences with the percentile interval over resampled sets.

    Args:
        differences: (sets,) of one method minus another.
    """
    values = differences.to_numpy(dtype=float)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def friedman(table: pd.DataFrame) -> float:
    """p-value of the hypothesis that all methods (three or more) rank alike."""
    return float(stats.friedmanchisquare(*(table[m] for m in table)).pvalue)


def critical_difference(methods: int, sets: int, alpha: float = 0.05) -> float:
    """Mean ranks further apart than this differ, by the Nemenyi test.

    Reference:
        Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006:
        q_alpha · sqrt(k (k + 1) / (6 N)), q_alpha of the studentized range divided by √2.
    """
    q = stats.studentized_range.ppf(1 - alpha, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * sets)))


def seed_spread(done: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Table of the standard deviation over seeds (n − 1 in the denominator)."""
    table = done.groupby(["dataset", "method"])[metric].std().unstack("method")
    return table.loc[sorted(table.index, key=_by_number)]


class Standing(NamedTuple):
    """One method's lead over another on one set.

    Attributes:
        lead: mean over seeds of the paired difference.
        clear: a paired t-test over seeds tells it from zero at the 5 % level; False with one
            seed.
    """

    lead: float
    clear: bool


def standings(
    done: pd.DataFrame, ours: str, peer: str, metric: str = "auroc"
) -> dict[str, Standing]:
    """`ours` against `peer` on each set, paired by seed."""
    runs = done.pivot_table(index=["dataset", "seed"], columns="method", values=metric)
    leads = (runs[ours] - runs[peer]).groupby("dataset")
    mean, error = leads.mean(), leads.sem()
    limit = stats.t.ppf(0.975, leads.count() - 1) * error
    return {
        name: Standing(float(mean[name]), bool(abs(mean[name]) > limit[name]))
        for name in sorted(mean.index, key=_by_number)
    }


def _by_number(name: str) -> tuple[int, str]:
    head = name.split("_")[0]
    return (int(head) if head.isdigit() else 0, name)
