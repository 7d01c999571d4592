"""Figures draw on ordinary and on awkward input, and touch no global state."""

import sys

import numpy as np
import pytest

from pipeline import figures
from pipeline.quality import generation_quality, reconstruction_quality
from vae_core import Threshold


@pytest.fixture
def threshold():
    return Threshold(2.0, "conformal", 0.05, 99, 5, (0.02, 0.08), True)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    labels = np.arange(300) < 20
    return labels, rng.normal(size=300) + 3 * labels


@pytest.fixture
def columns():
    rng = np.random.default_rng(1)
    category = np.empty(200, dtype=object)
    category[:] = rng.choice(["a", "b"], 200)
    heavy = np.exp(rng.normal(0, 6, 200))
    gaps = np.where(rng.random(200) < 0.2, np.nan, rng.normal(size=200))
    return {"cost in $ and $": heavy, "gaps": gaps, "constant": np.ones(200), "kind": category}


def drawn(figure):
    figure.canvas.draw()
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_loss_curves_with_and_without_an_elbo():
    entry = {"train_objective": 2.0, "validation_objective": 2.5}
    parts = {"validation_elbo": -3.0, "validation_reconstruction_log_prob": -1.0}
    full = {**entry, **parts, "validation_kl": 2.0}
    assert "Objective" in drawn(figures.loss_curves([{"epoch": 1.0, **full}]))[0]
    drawn(figures.loss_curves([{"epoch": float(i), **entry} for i in range(5)]))
    drawn(figures.loss_curves([]))


def test_score_histogram_shows_the_promise(rows, threshold):
    labels, scores = rows
    (title,) = drawn(figures.score_histogram(scores, threshold))
    assert "alpha 0.05" in title and "2.00–8.00 %" in title
    drawn(figures.score_histogram(scores, threshold, labels=labels))
    drawn(figures.score_histogram(np.ones(5), threshold, labels=np.zeros(5, bool)))


def test_roc_marks_the_threshold(rows):
    labels, scores = rows
    drawn(figures.roc_and_precision(labels, scores, 2.0))
    drawn(figures.roc_and_precision(labels, scores, 1e9))


@pytest.mark.parametrize("latents", [1, 2, 5])
def test_latent_scatter_for_any_size(rows, latents):
    labels, scores = rows
    points = np.random.default_rng(2).normal(size=(300, latents))
    drawn(figures.latent_scatter(points, scores, labels))
    drawn(figures.latent_scatter(points, scores))


def test_reconstruction_and_generation_of_awkward_columns(columns):
    other = {name: np.roll(values, 1) for name, values in columns.items()}
    quality = reconstruction_quality(columns, other, {"kind": np.full(200, 0.5)})
    titles = drawn(figures.reconstruction_scatter(columns, other, quality))
    assert any("Categories" in title for title in titles)
    drawn(figures.generation_chart(generation_quality(other, columns, other)))


def test_only_categories_and_only_numbers(columns):
    for names in (["kind"], ["gaps"]):
        part = {name: columns[name] for name in names}
        quality = reconstruction_quality(part, part, {"kind": np.ones(200)})
        drawn(figures.reconstruction_scatter(part, part, quality))
        drawn(figures.generation_chart(generation_quality(part, part, part)))


def test_a_run_of_figures_can_be_saved(tmp_path, rows, threshold):
    figures.score_histogram(rows[1], threshold).savefig(tmp_path / "histogram.png")
    assert (tmp_path / "histogram.png").stat().st_size > 5000
