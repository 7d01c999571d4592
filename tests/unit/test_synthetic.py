"""Synthetic anomalies: each kind breaks its own thing, and only that."""

import numpy as np
import pytest

from pipeline.quality.tables import correlation_similarity, ks_complement, tv_complement
from pipeline.synthetic import KINDS, synthesise


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 3000
    x = rng.normal(size=n)
    category = np.empty(n, dtype=object)
    category[:] = np.where(x > 0, "up", "down")
    category[:20] = None
    y = 3 * x + 0.1 * rng.normal(size=n)
    y[::10] = np.nan
    return {"x": x, "category": category, "y": y, "constant": np.full(n, 7.0)}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_keep_columns_and_types(kind, data):
    rows = synthesise(kind, data, 250, seed=1)
    assert list(rows) == list(data)
    for name, values in rows.items():
        assert values.shape == (250,)
        assert values.dtype == data[name].dtype
        assert not np.isinf(values[~np.isnan(values)] if name != "category" else 0.0).any()
    assert set(rows["category"]) <= {"up", "down", None}


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_rows(kind, data):
    first, second = synthesise(kind, data, 50, seed=3), synthesise(kind, data, 50, seed=3)
    other = synthesise(kind, data, 50, seed=4)
    for name in data:
        np.testing.assert_array_equal(first[name], second[name])
    assert any(not np.array_equal(first[n], other[n], equal_nan=True) for n in ("x", "y"))


def test_dependency_keeps_columns_and_breaks_what_binds_them(data):
    rows = synthesise("dependency", data, 3000)
    assert ks_complement(data["x"], rows["x"]) > 0.95
    assert ks_complement(data["y"], rows["y"]) > 0.95
    assert tv_complement(data["category"], rows["category"]) > 0.95
    assert correlation_similarity(data, rows) < 0.6


def test_global_spreads_over_the_range(data):
    rows = synthesise("global", data, 3000)
    low, high = data["x"].min(), data["x"].max()
    assert rows["x"].min() < low and rows["x"].max() > high
    assert np.all(np.abs(rows["x"]) <= 1.1 * max(abs(low), abs(high)) * 1.2)
    assert 0.02 < np.mean(np.isnan(rows["y"])) < 0.2


def test_local_lies_further_from_its_neighbourhood(data):
    rows = synthesise("local", data, 3000)
    gap = np.abs(rows["y"] - 3 * rows["x"])
    normal = np.abs(data["y"] - 3 * data["x"])
    assert np.nanmedian(gap) > 2 * np.nanmedian(normal)
    assert ks_complement(data["x"], rows["x"]) > 0.6


def test_clusters_are_tight_and_far(data):
    rows = synthesise("cluster", data, 300)
    assert len(np.unique(np.round(rows["x"]))) <= 9
    assert np.median(np.abs(rows["x"])) > 2 * np.median(np.abs(data["x"]))


@pytest.mark.parametrize("kind", KINDS)
def test_categories_alone_and_two_rows(kind):
    column = np.empty(2, dtype=object)
    column[:] = ["a", "b"]
    assert len(synthesise(kind, {"c": column}, 5)["c"]) == 5
    assert synthesise(kind, {"x": np.array([1.0, 2.0])}, 1)["x"].shape == (1,)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="known are: local, global, dependency, cluster"):
        synthesise("strange", {"x": np.zeros(3)}, 1)
    with pytest.raises(ValueError, match="at least two rows"):
        synthesise("local", {"x": np.zeros(1)}, 1)
