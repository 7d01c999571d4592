"""Explanations of pictures, on handwritten digits: trained on zeros, shown damaged ones."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline import VAEDetector
from pipeline.explain import reasons
from pipeline.heatmap import draw_explanation, explain_images, figure_uri
from pipeline.sentences import say_picture

PATCH = (slice(None), slice(0, 3), slice(0, 3))
CHANCE = 9 / 64


@pytest.fixture(scope="module")
def zeros() -> tuple[np.ndarray, np.ndarray]:
    digits, names = load_digits(return_X_y=True)
    own = (digits[names == 0] * 15).astype(np.uint8).reshape(-1, 8, 8)
    return own[:140], own[140:]


@pytest.fixture(scope="module")
def detector(zeros: tuple[np.ndarray, np.ndarray]) -> VAEDetector:
    return VAEDetector(members=2, max_epochs=200, random_state=0).fit(zeros[0])


def damaged(pictures: np.ndarray) -> np.ndarray:
    """The same pictures with noise in the upper left."""
    out = pictures.copy()
    out[PATCH] = np.random.default_rng(0).integers(0, 256, (len(out), 3, 3))
    return out


def test_the_heat_lies_on_the_damage(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    broken = explain_images(detector, damaged(zeros[1]))
    share = broken.heat[PATCH].sum((1, 2)) / broken.heat.sum((1, 2))
    assert np.median(share) > 4 * CHANCE
    whole = explain_images(detector, zeros[1])
    usual = whole.heat[PATCH].sum((1, 2)) / whole.heat.sum((1, 2))
    assert np.median(usual) < CHANCE, "where nothing is damaged"


def test_it_is_the_reconstruction_error(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    explained = explain_images(detector, zeros[1])
    assert explained.images.shape == explained.expected.shape == (len(zeros[1]), 8, 8, 1)
    error = detector.score_frame(zeros[1])["reconstruction_error"]
    np.testing.assert_allclose(explained.heat.mean((1, 2)), error, rtol=1e-5)


def test_a_scorer_and_its_columns_do_as_well(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    scorer = detector.scorer_
    assert scorer.encoding.image is not None
    name = scorer.encoding.image.name
    one = explain_images(scorer, {name: zeros[1]})
    np.testing.assert_array_equal(one.heat, explain_images(detector, zeros[1]).heat)


def test_the_place_is_said_in_words(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray]
) -> None:
    scorer = detector.scorer_
    assert scorer.encoding.image is not None
    name = scorer.encoding.image.name
    wanted = f"{name} is unlike the training pictures, most in the upper left"
    said = reasons(scorer, {name: damaged(zeros[1])})
    assert np.mean([told[0].startswith(wanted) for told in said if told]) > 0.8
    white = zeros[1].copy()
    white[PATCH] = 255
    said = reasons(scorer, {name: white})
    wanted += ", where it is brighter than expected"
    assert np.mean([wanted in told for told in said]) > 0.8


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (1.0, "most on the right, where it is brighter than expected"),
        (-1.0, "most on the right, where it is darker than expected"),
        (np.array([1.0, -1.0]), "most on the right"),
    ],
)
def test_brighter_or_darker(difference: float | np.ndarray, said: str) -> None:
    beyond = np.zeros((9, 6))
    beyond[3:6, 4:6] = difference
    told = say_picture("scan", np.square(beyond), beyond, {"kind": "left hand", "size": None})
    assert told == f"scan is unlike the training pictures of kind 'left hand', {said}"
    whole = say_picture("scan", np.ones((9, 6)), np.ones((9, 6)), {})
    assert whole == (
        "scan is unlike the training pictures, all over, where it is brighter than expected"
    )


@pytest.mark.parametrize("rows", [1, 3])
def test_it_is_drawn(
    detector: VAEDetector, zeros: tuple[np.ndarray, np.ndarray], rows: int
) -> None:
    figure = draw_explanation(detector, damaged(zeros[1][:rows]))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["picture", "expected", "squared error"]
    assert len(figure.axes) == 3 * rows + 1, "one colour bar for all maps"
    kind, content = figure_uri(figure).split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content).startswith(b"\x89PNG")


def test_columns_have_no_heat_map() -> None:
    table = np.random.default_rng(0).normal(size=(40, 3))
    fitted = VAEDetector(members=1, max_epochs=5, random_state=0).fit(table)
    with pytest.raises(ValueError, match="of pictures"):
        explain_images(fitted, table)
