"""Figures of quality against known answers, and against generators that are bad in a known way."""

import numpy as np
import pytest
from sdmetrics.column_pairs import ContingencySimilarity
from sdmetrics.single_column import KSComplement, TVComplement
from sklearn.datasets import load_digits

from pipeline.quality import pictures, tables
from pipeline.quality.distances import frechet_distance, kernel_distance
from pipeline.quality.extractors import fit_classifier, fit_components
from pipeline.quality.figure import GUIDE, Figure, Quality
from pipeline.quality.modes import fit_clusters, mode_figures
from pipeline.quality.neighbours import copies, manifold, nearer_to_training
from pipeline.quality.two_sample import classifier_auroc

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    grey = (data.images * 255 / 16).astype(np.uint8)[..., None]
    return grey[order], data.target[order]


def test_similarities_agree_with_sdmetrics_where_no_cell_is_missing() -> None:
    import pandas as pd

    def draw(rows: int, shares: list[float]) -> dict[str, np.ndarray]:
        first = RNG.choice(list("abc"), rows, p=shares).astype(object)
        second = np.where(RNG.random(rows) < 0.7, first, "a").astype(object)
        return {"number": RNG.gamma(2.0, size=rows), "first": first, "second": second}

    real, other = draw(400, [0.5, 0.3, 0.2]), draw(300, [0.2, 0.3, 0.5])
    a, b = pd.DataFrame(real), pd.DataFrame(other)
    assert tables.ks_complement(real["number"], other["number"]) == pytest.approx(
        KSComplement.compute(a["number"], b["number"])
    )
    assert tables.tv_complement(real["first"], other["first"]) == pytest.approx(
        TVComplement.compute(a["first"], b["first"])
    )
    pair = ["first", "second"]
    ours = tables.contingency_similarity(*({n: part[n] for n in pair} for part in (real, other)))
    assert ours == pytest.approx(ContingencySimilarity.compute(a[pair], b[pair]), abs=1e-6)


def test_contingency_sees_a_dependence_that_is_not_monotone() -> None:
    x = RNG.normal(size=4000)
    real = {"x": x, "y": x**2}
    broken = {"x": x, "y": RNG.permutation(x**2)}
    assert tables.correlation_similarity(real, broken) > 0.97
    assert tables.contingency_similarity(real, real) == pytest.approx(1.0)
    assert tables.contingency_similarity(real, broken) < 0.5


def test_spread_is_below_one_where_rows_are_drawn_to_the_middle() -> None:
    x = RNG.normal(5.0, 2.0, size=3000)
    assert tables.spread({"x": x}, {"x": x}) == pytest.approx(1.0)
    assert tables.spread({"x": x}, {"x": 5.0 + 0.3 * (x - 5.0)}) < 0.5
    assert np.isnan(tables.spread({"k": np.ones(5)}, {"k": np.ones(5)}))


def test_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    """Samples with exactly the wanted moments: ‖m‖² + Σ (s_i − t_i)² for diagonal covariances."""

    def exactly(middle: np.ndarray, scale: np.ndarray) -> np.ndarray:
        x = RNG.normal(size=(500, 3))
        x -= x.mean(axis=0)
        x = np.linalg.solve(np.linalg.cholesky(np.cov(x.T)), x.T).T
        return middle + x * scale

    m, s, t = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.3]), np.array([1.5, 0.5, 0.3])
    a, b = exactly(np.full(3, 1e3), s), exactly(1e3 + m, t)
    expected = (m**2).sum() + ((s - t) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)


def test_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    same = [
        kernel_distance(RNG.normal(size=(200, 4)), RNG.normal(size=(200, 4))) for _ in range(40)
    ]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(40)
    shifted = kernel_distance(RNG.normal(size=(200, 4)), RNG.normal(1.0, 1.0, size=(200, 4)))
    assert shifted > 10 * np.std(same)


def test_manifold_of_identical_of_foreign_and_of_collapsed_samples() -> None:
    real = RNG.normal(size=(600, 4))
    assert manifold(real, real)["precision"] == 1.0
    assert manifold(real, real)["coverage"] == 1.0
    again = manifold(real, RNG.normal(size=(600, 4)))
    assert all(0.8 < value < 1.2 for value in again.values())
    far = manifold(real, real + 100.0)
    assert set(far.values()) == {0.0}
    narrow = manifold(real, 0.05 * RNG.normal(size=(600, 4)))
    assert narrow["precision"] == 1.0
    assert narrow["coverage"] < 0.3
    assert narrow["recall"] < 0.1


def test_a_classifier_sees_what_differs_and_nothing_where_nothing_does() -> None:
    real = RNG.normal(size=(700, 5))
    assert classifier_auroc(real, RNG.normal(size=(700, 5))) == pytest.approx(0.5, abs=0.06)
    assert classifier_auroc(np.round(real), real) > 0.99


def test_a_memorising_generator_is_caught_although_everything_else_is_perfect() -> None:
    training, held_out = RNG.normal(size=(2000, 6)), RNG.normal(size=(1000, 6))
    copied = training[RNG.permutation(2000)[:1000]] + 1e-3 * RNG.normal(size=(1000, 6))
    honest = RNG.normal(size=(1000, 6))
    assert manifold(held_out, copied)["coverage"] > 0.9
    assert classifier_auroc(held_out, copied) < 0.56
    caught, usual, clean = (copies(rows, training) for rows in (copied, held_out, honest))
    assert caught["copied_share"] > 0.99
    assert usual["copied_share"] < 0.02
    assert clean["copied_share"] < 0.02
    assert caught["nearest_distance"] < 0.1 * usual["nearest_distance"]
    assert nearer_to_training(copied, training, held_out) > 0.7
    assert nearer_to_training(honest, training, held_out) == pytest.approx(0.5, abs=0.06)


def test_an_average_row_is_near_but_no_copy() -> None:
    training = RNG.normal(size=(2000, 6))
    middle = 0.2 * RNG.normal(size=(500, 6))
    found, usual = copies(middle, training), copies(RNG.normal(size=(500, 6)), training)
    assert found["nearest_distance"] < 0.8 * usual["nearest_distance"]
    assert found["copied_share"] < 0.02


def test_a_lost_mode_is_missed() -> None:
    centres = 20.0 * np.eye(5)
    rows = np.repeat(np.arange(5), 200)
    real = centres[rows] + RNG.normal(size=(1000, 5))
    assign = fit_clusters(real)
    whole = mode_figures(assign(real), assign(centres[rows] + RNG.normal(size=(1000, 5))))
    assert whole["modes_covered"] == 1.0
    assert whole["mode_share_similarity"] > 0.8
    lost = rows % 4  # the fifth is never made
    part = mode_figures(assign(real), assign(centres[lost] + RNG.normal(size=(1000, 5))))
    assert part["modes_covered"] < 0.9
    assert part["mode_share_similarity"] == pytest.approx(0.8, abs=0.1)
    by_class = mode_figures(rows, lost)
    assert by_class == pytest.approx({"modes_covered": 0.8, "mode_share_similarity": 0.8})


def test_equal_pictures_reach_the_end_of_the_scale_and_noise_costs_what_it_should(digits) -> None:
    images, _ = digits
    assert pictures.psnr(images, images) == 100.0
    assert pictures.ssim(images, images) == pytest.approx(1.0)
    grey = np.full((4, 16, 16, 1), 100, np.uint8)
    assert pictures.psnr(grey, grey + 10) == pytest.approx(20 * np.log10(255 / 10), abs=1e-4)
    assert pictures.ssim(images, images[::-1]) < 0.6


def test_soft_pictures_are_neither_sharp_nor_fine(digits) -> None:
    images, _ = digits
    soft = (images.astype(float) + np.roll(images, 1, 1) + np.roll(images, 1, 2)) / 3
    assert pictures.sharpness(soft) < 0.5 * pictures.sharpness(images)
    assert pictures.high_frequencies(soft) < 0.7 * pictures.high_frequencies(images)
    assert pictures.sharpness(np.zeros((2, 8, 8, 1))) == 0.0
    assert pictures.high_frequencies(np.zeros((2, 8, 8, 1))) == 0.0
    stripes = np.tile(np.array([0, 255], np.uint8), (2, 16, 8))[..., None]
    assert pictures.high_frequencies(stripes) == pytest.approx(1.0)


def test_a_generator_of_the_mean_picture_has_no_coverage_and_no_edges(digits) -> None:
    images, classes = digits
    train, held, more = images[:800], images[800:1200], images[1200:1600]
    extractor = fit_classifier(train, classes[:800], held, classes[800:1200], "digits")
    assert extractor.name == "cnn-digits"
    assert extractor.facts["accuracy"] > 0.9
    assert extractor.classify is not None
    mean = np.repeat(train.mean(axis=0, keepdims=True), 400, axis=0)
    real, further, bad = (extractor.features(part) for part in (held, more, mean))
    assert manifold(real, further)["coverage"] > 0.85
    assert manifold(real, bad)["coverage"] < 0.05
    assert frechet_distance(real, bad) > 20 * frechet_distance(real, further)
    assert kernel_distance(real, bad) > 20 * abs(kernel_distance(real, further))
    shares = mode_figures(extractor.classify(held), extractor.classify(mean))
    assert shares["modes_covered"] == pytest.approx(0.1)
    assert pictures.sharpness(mean) < 0.3 * pictures.sharpness(held)


def test_components_need_no_classes_and_extractors_are_the_same_twice(digits) -> None:
    images, classes = digits
    first, again = fit_components(images[:300]), fit_components(images[:300])
    assert first.name == "pca-64"
    assert first.classify is None
    np.testing.assert_array_equal(first.features(images[300:310]), again.features(images[300:310]))
    import torch

    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = (
        fit_classifier(images[:100], classes[:100], images[:50], classes[:50], "d", seed=3, steps=5)
        for _ in range(2)
    )
    assert one.facts["weights"] == two.facts["weights"]
    assert torch.equal(before, torch.get_rng_state())


def test_names_of_figures_as_metrics() -> None:
    quality = Quality(
        (
            Figure("generation_frechet_distance[cnn-digits]", 3.0, 1.0),
            Figure("elbo", -5.0, -4.0, "training_rows"),
            Figure("active_units", 3.0, 8.0, "bound"),
        )
    )
    assert quality.metrics() == {
        "generation_frechet_distance.cnn-digits": 3.0,
        "generation_frechet_distance_ceiling.cnn-digits": 1.0,
        "elbo": -5.0,
        "elbo_training_rows": -4.0,
        "active_units": 3.0,
    }
    assert quality.rows()[0]["better"] == "lower"
    assert all(guide.better in {"higher", "lower", "equal", "–"} for guide in GUIDE.values())
