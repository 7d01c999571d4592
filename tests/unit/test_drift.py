"""The bet against exchangeability: its ranks are uniform, it rarely cries wolf, it finds shifts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from pipeline import drift
from pipeline.drift import Drift, watch

Draw = Callable[[np.random.Generator, int], np.ndarray]

SMOOTH: Draw = lambda rng, n: rng.normal(size=n)  # noqa: E731
ROUNDED: Draw = lambda rng, n: np.round(rng.normal(size=n), 1)  # noqa: E731
FEW_VALUES: Draw = lambda rng, n: rng.integers(0, 4, n).astype(float)  # noqa: E731
HEAVY: Draw = lambda rng, n: rng.standard_cauchy(n)  # noqa: E731


def bet(calibration: np.ndarray, scores: np.ndarray, level: float = 0.001, first: int = 1) -> Drift:
    ids = np.arange(first, first + len(scores))
    return watch(calibration, [(ids, scores)], level=level, alpha=0.05)


@pytest.mark.parametrize("draw", [SMOOTH, ROUNDED, FEW_VALUES], ids=["smooth", "ties", "few"])
def test_ranks_of_exchangeable_rows_are_independent_and_uniform(draw: Draw) -> None:
    rng = np.random.default_rng(0)
    bag = drift._Bag(draw(rng, 150))
    ids = np.arange(20_000)
    p = np.concatenate(
        [bag.p_values(draw(rng, 100), drift._lots(ids[i : i + 100])) for i in range(0, 20_000, 100)]
    )
    assert stats.kstest(p, "uniform").pvalue > 0.01
    for lag in (1, 2, 100):
        assert abs(np.corrcoef(p[:-lag], p[lag:])[0, 1]) < 4 / math.sqrt(len(p))
    # ranks among a growing bag: what all rows of a place share is drawn by lot, not repeated
    assert len(np.unique(p)) == len(p)


def test_ranks_by_hand() -> None:
    bag = drift._Bag(np.array([1.0, 2.0, 2.0, 3.0]))
    half = np.full(5, 0.5)
    p = bag.p_values(np.array([2.0, 2.5, 2.7, 9.0, 0.0]), half)
    # 2.0: one above, itself and two beside it; 2.5 and 2.7 share a gap, the order is drawn
    assert p * [5, 6, 7, 8, 9] == pytest.approx([1 + 1.5, 1 + 0.5, 1 + 1.0, 0.5, 8 + 0.5])
    assert bag.counts.tolist() == [1, 1, 0, 3, 2, 1, 1]


@pytest.mark.parametrize("rows", [127, 128, 129, drift.SEVERAL - 1, drift.SEVERAL + 1])
@pytest.mark.parametrize("draw", [SMOOTH, FEW_VALUES], ids=["smooth", "few"])
def test_blocks_at_a_time_do_not_matter(
    draw: Draw, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    calibration, scores = draw(rng, 300), draw(rng, rows) + 0.3
    together = bet(calibration, scores)
    monkeypatch.setattr(drift, "SEVERAL", drift.BLOCK)
    alone = bet(calibration, scores)
    assert together.log10_capital == pytest.approx(alone.log10_capital, rel=1e-12)
    assert (together.row_id, together.rows) == (alone.row_id, alone.rows)


def test_no_bet_gains_on_average() -> None:
    p = (np.arange(100_000) + 0.5) / 100_000
    gains = drift._gains(p)
    np.testing.assert_allclose(gains.mean(axis=1), 1.0, atol=1e-9)
    assert (gains > 0).all()


@pytest.mark.parametrize(
    ("draw", "n", "rows"),
    [(SMOOTH, 200, 300), (ROUNDED, 100, 400), (FEW_VALUES, 200, 300), (HEAVY, 40, 300)],
    ids=["smooth", "ties", "few values", "small calibration"],
)
def test_false_alarms_are_as_rare_as_promised(draw: Draw, n: int, rows: int) -> None:
    level, runs = 0.05, 2000
    rng = np.random.default_rng(1)
    alarms = sum(
        bet(draw(rng, n), draw(rng, rows), level, first=run * rows).row_id is not None
        for run in range(runs)
    )
    assert alarms / runs <= level + 3 * math.sqrt(level * (1 - level) / runs)


def test_against_the_calibration_rows_alone_the_bet_would_cry_wolf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why rows of the night join the bag: what the p-values of `scores` would do."""

    class FixedBag(drift._Bag):
        def p_values(self, scores: np.ndarray, lots: np.ndarray) -> np.ndarray:
            before, p = self.counts, []
            for start in range(0, len(scores), drift.BLOCK):
                block = slice(start, start + drift.BLOCK)
                p.append(super().p_values(scores[block], lots[block]))
                self.counts = before
            return np.concatenate(p)

    alarms = []
    for bag in (drift._Bag, FixedBag):
        monkeypatch.setattr(drift, "_Bag", bag)
        rng = np.random.default_rng(8)
        nights = [bet(rng.normal(size=200), rng.normal(size=3000), 0.05) for _ in range(100)]
        alarms.append(sum(night.row_id is not None for night in nights))
    assert alarms[0] <= 10 and alarms[1] >= 35


@pytest.mark.parametrize(
    ("name", "change", "delay"),
    [
        ("higher", lambda s: s + 0.5, 400),
        ("lower", lambda s: s - 0.5, 400),
        ("wider", lambda s: 1.6 * s, 500),
        ("narrower", lambda s: 0.6 * s, 400),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_shift_is_found_soon_after_it_begins(
    name: str, change: Callable[[np.ndarray], np.ndarray], delay: int
) -> None:
    rng = np.random.default_rng(2)
    before, found = 2000, []
    for _ in range(20):
        scores = rng.normal(size=6000)
        scores[before:] = change(scores[before:])
        verdict = bet(rng.normal(size=2000), scores)
        assert verdict.row_id is not None and verdict.row_id > before
        assert verdict.log10_capital > 6
        found.append(verdict.row_id - before)
    assert np.median(found) < delay


def test_a_night_that_is_other_from_its_first_row_on() -> None:
    rng = np.random.default_rng(3)
    verdict = bet(rng.normal(size=2000), rng.normal(0.4, 1.0, size=3000))
    assert verdict.row_id is not None and verdict.row_id < 1000


def test_anomalies_above_the_cut_suspend_nothing() -> None:
    rng = np.random.default_rng(4)
    scores = rng.normal(size=5000)
    scores[rng.random(5000) < 0.1] += 10.0
    calibration = rng.normal(size=2000)
    verdict = bet(calibration, scores)
    assert verdict.row_id is None
    assert verdict.rows == (scores < np.sort(calibration)[1900]).sum()


def test_nothing_below_the_cut() -> None:
    verdict = bet(np.arange(50.0), np.full(10, 99.0))
    assert verdict == Drift(0.0, None, 0, 0.001)


def test_the_same_however_the_night_is_cut() -> None:
    rng = np.random.default_rng(5)
    calibration, scores, ids = rng.normal(size=500), rng.normal(0.3, 1, size=3000), np.arange(3000)
    whole = watch(calibration, [(ids, scores)], level=0.01, alpha=0.05)
    for size in (1, 100, 999):
        pieces = [(ids[i : i + size], scores[i : i + size]) for i in range(0, 3000, size)]
        assert watch(calibration[::-1], pieces, level=0.01, alpha=0.05) == whole
    assert whole.row_id is not None


def test_an_increasing_map_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    calibration, scores = rng.normal(size=500), rng.normal(0.2, 1, size=2000)
    assert bet(np.exp(calibration), np.exp(scores)) == bet(calibration, scores)


def test_memory_does_not_grow_with_the_calibration() -> None:
    rng = np.random.default_rng(7)
    bag, cut = drift._start(rng.normal(size=100_000), 0.01)
    assert len(bag.counts) <= 2 * drift.MOST_CALIBRATION + 1
    assert bag.edges.max() < cut
    assert stats.norm.sf(cut) == pytest.approx(0.05, abs=0.01)


def test_lots_are_fixed_and_uniform() -> None:
    ids = np.arange(1, 100_001)
    lots = drift._lots(ids)
    assert (lots == drift._lots(ids)).all() and (lots >= 0).all() and (lots < 1).all()
    assert stats.kstest(lots, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(lots[:-1], lots[1:])[0, 1]) < 0.013
