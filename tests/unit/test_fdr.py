"""Benjamini–Hochberg from a histogram agrees with the procedure on sorted p-values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.fdr import count_p_values, cut_off_rank, fewest_alerts, ranks


def textbook(p: np.ndarray, q: float) -> np.ndarray:
    """Benjamini and Hochberg (1995), procedure (1), on the sorted values themselves."""
    m = len(p)
    in_order = np.sort(p)
    passed = np.flatnonzero(in_order <= q * np.arange(1, m + 1) / m + 1e-12)
    return p <= in_order[passed[-1]] + 1e-12 if len(passed) else np.zeros(m, bool)


@given(
    n=st.integers(1, 60),
    seeds=st.lists(st.floats(0, 1), min_size=1, max_size=80),
    q=st.floats(0.01, 0.9),
)
def test_same_selection_as_the_textbook(n: int, seeds: list[float], q: float) -> None:
    j = np.array([1 + int(s * n) for s in seeds])
    p = j / (n + 1)
    cut = cut_off_rank(count_p_values(p, n), q)
    np.testing.assert_array_equal(ranks(p, n) <= cut, textbook(p, q))


@given(n=st.integers(1, 60), m=st.integers(1, 80), q=st.floats(0.01, 0.9))
def test_fewer_rows_than_it_takes_are_never_selected(n: int, m: int, q: float) -> None:
    fewest = fewest_alerts(m, n, q)
    for extreme in range(m + 1):  # as many rows score higher than all calibration rows
        counts = np.zeros(n + 1, dtype=np.int64)
        counts[0], counts[-1] = extreme, m - extreme
        assert (cut_off_rank(counts, q) >= 1) == (extreme >= fewest)


def test_histograms_of_pieces_add_up() -> None:
    rng = np.random.default_rng(0)
    p = rng.integers(1, 501, 1000) / 500
    whole = count_p_values(p, 499)
    parts = sum(count_p_values(piece, 499) for piece in np.array_split(p, 7))
    np.testing.assert_array_equal(whole, parts)
    assert whole.sum() == 1000


def test_holds_the_false_discovery_rate() -> None:
    rng = np.random.default_rng(1)
    q, n, shares = 0.1, 999, []
    for _ in range(200):
        calibration = np.sort(rng.normal(size=n))
        scores = np.concatenate([rng.normal(size=450), rng.normal(4.0, 1.0, size=50)])
        above = n - np.searchsorted(calibration, scores, side="left")
        p = (1 + above) / (n + 1)
        chosen = ranks(p, n) <= cut_off_rank(count_p_values(p, n), q)
        shares.append(chosen[:450].sum() / max(1, chosen.sum()))
    assert np.mean(shares) <= q + 0.01


def test_nothing_and_nonsense() -> None:
    assert cut_off_rank(np.zeros(10, int), 0.1) == 0
    assert cut_off_rank(np.array([0, 0, 0, 5]), 0.1) == 0
    with pytest.raises(ValueError, match="q must"):
        cut_off_rank(np.ones(3, int), 1.0)
    with pytest.raises(ValueError, match="not conformal"):
        count_p_values(np.array([0.013]), 9)
    with pytest.raises(ValueError, match="not conformal"):
        count_p_values(np.array([0.0]), 9)
