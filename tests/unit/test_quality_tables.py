"""Quality of generated and reconstructed rows, against known answers."""

import numpy as np
import pytest
from scipy import stats

from pipeline.quality import METRICS, generation_quality, reconstruction_quality, tables


def objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_ks_complement_agrees_with_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=500), rng.normal(0.5, 1.0, size=300)
    assert tables.ks_complement(a, b) == pytest.approx(1 - stats.ks_2samp(a, b).statistic)
    assert tables.ks_complement(a, a) == 1.0
    assert tables.ks_complement(a, a + 100) == 0.0


def test_missing_values_count_as_a_difference():
    full, half = np.zeros(100), np.where(np.arange(100) < 50, np.nan, 0.0)
    assert tables.ks_complement(full, half) == pytest.approx(0.5)
    assert tables.tv_complement(objects(["a"] * 4), objects(["a", "a", None, None])) == 0.5


def test_tv_complement_by_hand():
    real = objects(["a", "a", "b", "c"])
    assert tables.tv_complement(real, real) == pytest.approx(1.0)
    assert tables.tv_complement(real, objects(["a", "b", "b", "d"])) == pytest.approx(0.5)
    assert tables.tv_complement(real, objects([True, False])) == pytest.approx(0.0)


def test_correlation_similarity_sees_what_shapes_do_not():
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000)
    real = {"x": x, "y": x + 0.1 * rng.normal(size=3000)}
    shuffled = {"x": x, "y": rng.permutation(real["y"])}
    assert tables.shape_similarity(real, shuffled) == 1.0
    assert tables.correlation_similarity(real, real) == pytest.approx(1.0)
    assert tables.correlation_similarity(real, shuffled) == pytest.approx(0.5, abs=0.02)


def test_correlation_leaves_out_constants_and_handles_missing():
    rng = np.random.default_rng(2)
    x = rng.normal(size=400)
    x[:50] = np.nan
    real = {"x": x, "y": rng.normal(size=400), "constant": np.ones(400)}
    assert tables.correlation_similarity(real, real) == pytest.approx(1.0)
    flat = {**real, "y": np.ones(400)}
    assert 0.9 < tables.correlation_similarity(real, flat) <= 1.0
    assert np.isnan(tables.correlation_similarity({"x": x}, {"x": x}))
    assert np.isnan(tables.correlation_similarity({"c": objects(["a"])}, {"c": objects(["a"])}))


def test_generation_quality_stands_beside_its_ceiling():
    rng = np.random.default_rng(3)

    def draw(n):
        x = rng.normal(size=n)
        return {"x": x, "y": x + rng.normal(size=n), "c": objects(rng.choice(list("ab"), n))}

    bad = {"x": rng.normal(2, 1, 500), "y": rng.normal(size=500), "c": objects(["a"] * 500)}
    result = generation_quality(bad, draw(500), draw(500))
    assert set(result["metrics"]) == set(METRICS)
    for values in result["metrics"].values():
        assert values["generated"] < values["ceiling"] <= 1.0
    assert result["columns"]["c"]["metric"] == "tv_complement"
    assert result["columns"]["x"]["metric"] == "ks_complement"
    assert result["columns"]["x"]["ceiling"] > 0.9


def test_reconstruction_quality_by_hand():
    real = {"x": np.array([0.0, 2.0, 4.0, np.nan]), "c": objects(["a", "b", None, "a"])}
    reconstructed = {"x": np.array([1.0, 2.0, 3.0, 0.0]), "c": objects(["a", "a", "a", "a"])}
    result = reconstruction_quality(real, reconstructed, {"c": np.array([0.5, 0.0, 0.1, 1.0])})
    assert result["x"]["mean_absolute_error"] == pytest.approx(2 / 3)
    # t = asinh((x - 2) / 2): -asinh(1), 0, asinh(1) against -asinh(1/2), 0, asinh(1/2)
    one, half = np.arcsinh(1.0), np.arcsinh(0.5)
    assert result["x"]["explained"] == pytest.approx(1 - (one - half) ** 2 / one**2)
    assert result["c"]["accuracy"] == pytest.approx(2 / 3)
    assert np.isfinite(result["c"]["mean_log_probability"])


def test_reconstruction_of_empty_and_constant_columns():
    real = {"x": np.full(3, np.nan), "k": np.ones(3), "c": objects([None] * 3)}
    result = reconstruction_quality(real, real, {"c": np.ones(3)})
    assert np.isnan(result["x"]["explained"])
    assert result["k"]["mean_absolute_error"] == 0.0
    assert np.isnan(result["c"]["accuracy"])
