"""Explanations of images, on handwritten digits: trained on zeros, shown damaged ones."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from pipeline import VAEDetector
from pipeline.heatmap import as_data_uri, draw_explanation, explain_images

SHAPE = (8, 8)
PATCH = (slice(2, 5), slice(4, 7))
CHANCE = 9 / 64


@pytest.fixture(scope="module")
def zeros() -> tuple[np.ndarray, np.ndarray]:
    digits, names = load_digits(return_X_y=True)
    own = digits[names == 0]
    return own[:140], own[140:]


@pytest.fixture(scope="module", params=["elbo", "reconstruction_error"])
def detector(request: pytest.FixtureRequest, zeros: tuple[np.ndarray, np.ndarray]) -> VAEDetector:
    return VAEDetector(score=request.param, members=2, random_state=0).fit(zeros[0])


def damaged(images: np.ndarray) -> np.ndarray:
    """The same images with noise in a patch of 3 × 3 pixels."""
    out = images.copy()
    noise = np.random.default_rng(0).integers(0, 17, (len(images), 3, 3))
    out.reshape(-1, *SHAPE)[:, PATCH[0], PATCH[1]] = noise
    return out


def share_on_patch(heat: np.ndarray) -> np.ndarray:
    """(N,) of all that raises each score, the share that lies on the patch."""
    raised = np.maximum(heat, 0.0)
    return raised[:, PATCH[0], PATCH[1]].sum((1, 2)) / raised.sum((1, 2))


def test_the_heat_lies_on_the_damage(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    whole = explain_images(detector, zeros[1], SHAPE)
    broken = explain_images(detector, damaged(zeros[1]), SHAPE)
    assert np.median(share_on_patch(broken.heat)) > 4 * CHANCE
    hottest = broken.heat.reshape(-1, 64).argmax(1)
    lines, columns = np.unravel_index(hottest, SHAPE)
    inside = (lines >= 2) & (lines < 5) & (columns >= 4) & (columns < 7)
    assert inside.mean() > 5 * CHANCE
    assert np.median(share_on_patch(whole.heat)) < 2 * CHANCE, "where nothing is damaged"


def test_it_adds_up_to_the_score(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    rows = damaged(zeros[1])
    explained = explain_images(detector, rows, SHAPE)
    frame = detector.score_frame(rows)
    summed = explained.heat.sum((1, 2)) + frame["latent"] + detector.expected_
    np.testing.assert_allclose(summed, frame["anomaly_score"])
    np.testing.assert_array_equal(explained.images.reshape(len(rows), -1), rows)
    dropped = [int(name) for name in detector.dropped_columns_]
    assert dropped, "the rim of these images never varies"
    np.testing.assert_allclose(explained.heat.reshape(-1, 64)[:, dropped], 0, atol=1e-12)
    np.testing.assert_array_equal(
        explained.expected.reshape(-1, 64)[:, dropped], rows[:, dropped] * 0
    )


def test_scorer_detector_and_frame_give_the_same(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    rows = zeros[1][:3]
    by_detector = explain_images(detector, rows, SHAPE)
    columns = {str(i): rows[:, i] for i in range(64)}
    by_scorer = explain_images(detector.scorer_, columns, SHAPE)
    for one, other in zip(by_detector, by_scorer, strict=True):
        np.testing.assert_array_equal(one, other)
    history = pd.DataFrame(zeros[0], columns=list(columns))
    fitted = VAEDetector(members=1, max_epochs=2, random_state=0).fit(history)
    by_frame = explain_images(fitted, pd.DataFrame(columns), SHAPE)
    np.testing.assert_array_equal(
        by_frame.heat, explain_images(fitted.scorer_, columns, SHAPE).heat
    )


def test_channels_of_a_pixel_are_summed(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    rows = zeros[1][:2]
    plain = explain_images(detector, rows, SHAPE)
    pairs = explain_images(detector, rows, (4, 4, 4))
    np.testing.assert_allclose(pairs.heat, plain.heat.reshape(2, 4, 4, 4).sum(-1))
    assert pairs.images.shape == (2, 4, 4, 4)


def test_a_shape_that_does_not_fit_is_said(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=r"64 columns are no image of shape \(8, 9\)"):
        draw_explanation(detector, zeros[1][:1], (8, 9))


def test_the_picture(detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]) -> None:
    figure = draw_explanation(detector, damaged(zeros[1][:2]), SHAPE)
    assert len(figure.axes) == 2 * 3 + 1, "one colour bar"
    *_, heat, bar = figure.axes
    low, high = heat.images[0].get_clim()
    assert low == -high, "white is zero"
    assert "0" in [text.get_text() for text in bar.get_yticklabels()]
    uri = as_data_uri(figure)
    assert base64.b64decode(uri.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert uri == as_data_uri(draw_explanation(detector, damaged(zeros[1][:2]), SHAPE))


def test_a_coloured_image_and_a_missing_pixel() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(size=(60, 4 * 4 * 3))
    rows[5, 7] = np.nan
    detector = VAEDetector(members=1, max_epochs=2, random_state=0).fit(rows)
    figure = draw_explanation(detector, rows[5:6], (4, 4, 3))
    figure.canvas.draw()
