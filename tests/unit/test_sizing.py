"""Sizes follow from rates; the shipped rates are there."""

from __future__ import annotations

import pytest

from benchmarks.sizing import Rates, hours, measured, size

RATES = Rates(score=36_000, ingest=72_000, ingested=64, scored=64, worker_gib=0.5)


def test_a_small_night_takes_one_worker() -> None:
    one = size(36_000 * 3600, RATES, window=1, cores=16, price=2, efficiency=0.8)
    assert (one.machines, one.workers, one.score_hours, one.ingest_hours) == (1, 1, 1, 0.5)
    assert one.memory_gib == 4.5
    assert one.money == pytest.approx(2 * 1.5)
    assert one.storage_gib == pytest.approx(36_000 * 3600 * 128 / 2**30)


@pytest.mark.parametrize("rows", [10**9, 3 * 10**9, 10**10])
def test_a_large_night_fits_into_its_window_on_the_fewest_machines(rows: int) -> None:
    found = size(rows, RATES, window=4, cores=16, price=1, efficiency=0.8)
    assert found.score_hours <= 4
    assert found.workers == 16 * found.machines
    fewer = rows / RATES.score / 3600 / 0.8 / (16 * max(found.machines - 1, 1))
    assert found.machines == 1 or fewer > 4


def test_measured_rates_are_there() -> None:
    rates = measured()
    assert min(rates) > 0


def test_hours_are_said_in_the_unit_that_suits() -> None:
    assert [hours(x) for x in (0.001, 0.5, 2000)] == ["4 s", "30 min", "2,000.0 h"]
