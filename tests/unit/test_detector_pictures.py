"""VAEDetector fitted to pictures: as arrays, and in a column of a data frame."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits

from pipeline import VAEDetector

QUICK = VAEDetector(members=2, hidden=(32,), max_epochs=40, random_state=0)


def drawn(count: int, colours: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits (N, 8, 8[, 3]) uint8 and what they show."""
    values, digits = load_digits(return_X_y=True)
    pictures = np.rint(values[:count] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
    return (np.stack([pictures] * 3, axis=-1) if colours else pictures), digits[:count]


def png(picture: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "PNG")
    return held.getvalue()


@pytest.fixture(scope="module")
def fitted() -> VAEDetector:
    return clone(QUICK).fit(drawn(600)[0])


@pytest.fixture(scope="module")
def conditional() -> tuple[VAEDetector, pd.DataFrame]:
    pictures, digits = drawn(600)
    frame = pd.DataFrame({"picture": list(pictures), "digit": digits})
    detector = clone(QUICK).set_params(conditions=["digit"], max_epochs=100)
    return detector.fit(frame), frame


def test_it_finds_what_is_no_digit(fitted: VAEDetector) -> None:
    pictures, _ = drawn(900)
    normal, odd = pictures[600:], np.random.default_rng(0).permuted(pictures[600:], axis=2)
    assert fitted.guarantee_
    assert (fitted.predict(normal) == -1).mean() < 0.15
    assert (fitted.predict(odd) == -1).mean() > 0.6
    assert fitted.p_values(odd).mean() < fitted.p_values(normal).mean()
    assert fitted.n_features_in_ == 64


def test_scores_do_not_depend_on_the_batch_or_the_form(fitted: VAEDetector) -> None:
    pictures, _ = drawn(40)
    whole = fitted.score_samples(pictures)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(whole[7:8], fitted.score_samples(pictures[7:8]))
    for form in (pictures[..., None], pictures.tolist(), pictures.reshape(40, -1), pictures * 1.0):
        np.testing.assert_array_equal(fitted.score_samples(form), whole)


@pytest.mark.parametrize("score", ["combined", "elbo", "reconstruction_error", "either"])
@pytest.mark.parametrize("colours", [False, True])
def test_pixels_add_up_to_the_score(score: str, colours: bool) -> None:
    pictures, _ = drawn(200, colours)
    detector = clone(QUICK).set_params(score=score, max_epochs=5).fit(pictures)
    heat = detector.explain(pictures[:30])
    assert heat.shape == (30, 8, 8)
    frame = detector.score_frame(pictures[:30])
    total = heat.sum((1, 2)) + frame["latent"] + detector.expected_
    np.testing.assert_allclose(total, frame["anomaly_score"], rtol=1e-6, atol=1e-6)


def test_the_damaged_place_explains(fitted: VAEDetector) -> None:
    pictures = drawn(700)[0][600:]
    damaged = pictures.copy()
    damaged[:, :3, :3] = 255
    more = fitted.explain(damaged) - fitted.explain(pictures)
    assert (more[:, :3, :3].sum((1, 2)) > more[:, 3:, 3:].sum((1, 2))).mean() > 0.9
    error = fitted.heat(damaged)
    assert error.shape == (100, 8, 8)
    assert np.median(error[:, :3, :3].sum((1, 2)) / error.sum((1, 2))) > 0.4


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3)])
def test_what_it_makes_has_the_form_of_what_was_fitted(shape: tuple[int, ...]) -> None:
    pictures, _ = drawn(60, colours=shape[2:] == (3,))
    pictures = pictures.reshape(60, *shape)
    detector = clone(QUICK).set_params(max_epochs=3).fit(pictures)
    some = pictures[:5]
    for made in (
        detector.generate(5),
        detector.generate(5, how="mixture"),
        detector.reconstruct(some),
        detector.denoise(some),
        detector.decode(detector.embed(some)),
        detector.interpolate(some[:1], some[1:2], steps=5),
        detector.traverse(some[:1], steps=5)[int(next(iter(detector.traverse(some[:1]))))],
    ):
        assert made.shape == (5, *shape)
        assert made.dtype == np.uint8
    holes = some.astype(float)
    holes[:, 2:5, 2:5] = np.nan
    filled = detector.impute(holes)
    kept = ~np.isnan(holes)
    np.testing.assert_array_equal(np.asarray(filled)[kept], holes[kept])
    np.testing.assert_array_equal(detector.impute(holes.reshape(5, -1)), filled)
    assert len(detector.impute(holes, draws=2)) == 2
    assert detector.compress(some).codes.shape[0] == 5


def test_a_data_frame_of_pictures_with_a_condition(
    conditional: tuple[VAEDetector, pd.DataFrame],
) -> None:
    detector, frame = conditional
    assert detector.scorer_.config.variant == "conditional"
    assert detector.scorer_.names == ("picture",)
    some = frame[:20]
    whole = detector.score_samples(some)
    as_lists = some.assign(picture=[p.tolist() for p in some["picture"]])
    as_files = some.assign(picture=[png(p) for p in some["picture"]])
    for form in (as_lists, as_files, some.assign(digit=some["digit"].astype(str))):
        np.testing.assert_array_equal(detector.score_samples(form), whole)
    unknown = detector.score_samples(some.assign(digit=None))
    assert (unknown != whole).all()
    assert detector.explain(some).shape == (20, 8, 8)
    rebuilt = detector.reconstruct(some)
    assert list(rebuilt) == ["picture", "digit"]
    assert rebuilt["picture"][0].shape == (8, 8)
    drawn_rows = detector.generate(12, condition={"digit": "3"})
    assert set(drawn_rows["digit"]) == {"3"}
    assert set(detector.generate(50)["digit"]) <= {str(d) for d in range(10)}
    ones, threes = (detector.traverse(latents=1, condition={"digit": digit}) for digit in "13")
    (latent,) = ones
    assert not np.array_equal(ones[latent]["picture"][4], threes[latent]["picture"][4])
    codes = detector.embed(some)
    assert not np.array_equal(
        detector.decode(codes, {"digit": "1"})["picture"][0],
        detector.decode(codes)["picture"][0],
    )


def test_a_wrong_label_raises_the_score(conditional: tuple[VAEDetector, pd.DataFrame]) -> None:
    detector, frame = conditional
    wrong = frame.assign(digit=(frame["digit"] + 5) % 10)
    assert (detector.score_samples(wrong) < detector.score_samples(frame)).mean() > 0.75


def test_further_settings_are_reached_by_name() -> None:
    pictures, _ = drawn(40)
    detector = clone(QUICK).set_params(
        variant="discrete",
        model={"network": "conv", "channels": [8], "categories": 4, "latent_dim": 6},
        training={"max_steps": 2},
    )
    config = detector.fit(pictures).scorer_.config
    assert (config.variant, config.network, config.channels) == ("discrete", "conv", (8,))
    assert (config.categories, config.members) == (4, 2)
    for name, given, said in (
        ("model", {"netwrok": "conv"}, "did you mean 'network'"),
        ("training", {"betta": 2}, "did you mean 'beta'"),
        ("variant", "veae", "unknown model 'veae'"),
        ("conditions", ["digit"], "conditions must be columns of a data frame"),
    ):
        with pytest.raises(ValueError, match=said):
            clone(QUICK).set_params(**{name: given}).fit(pictures)


def test_what_are_no_pictures_is_said() -> None:
    pictures, digits = drawn(40)
    quick = clone(QUICK).set_params(max_epochs=1)
    with pytest.raises(ValueError, match=r"40 of 40 do not.*255 \* X"):
        quick.fit(pictures / 255)
    detector = quick.fit(pictures)
    with pytest.raises(ValueError, match="a picture of 6 × 8 pixels instead of 8 × 8 pixels"):
        detector.predict(pictures[:, :6])
    with pytest.raises(ValueError, match="0 rows"):
        detector.predict(pictures[:0])
    frame = pd.DataFrame({"picture": list(pictures), "digit": digits})
    with pytest.raises(ValueError, match="leave out 'digit', or name it in `conditions`"):
        clone(QUICK).fit(frame)
    holes = pictures[:4].astype(float)
    holes[:, 2:5, 2:5] = np.nan
    for small in (holes[:, :4, :4], holes.reshape(16, 4, 4)):
        with pytest.raises(ValueError, match="a picture of 4 × 4 pixels instead of 8 × 8 pixels"):
            detector.impute(small)
    with pytest.raises(ValueError, match=r"4 of 4 do not, .*whole numbers.*255 \* X"):
        detector.impute(holes / 255)
    torn = frame[["picture"]].copy()
    torn.at[3, "picture"] = None
    with pytest.raises(ValueError, match=r"column 'picture'.* 1 of 40 .*row 4: missing"):
        clone(QUICK).fit(torn)


def test_few_pictures_are_calibrated_by_cross_fitting() -> None:
    detector = clone(QUICK).set_params(max_epochs=2, alpha=0.01).fit(drawn(30)[0])
    assert not detector.guarantee_
    assert detector.predict(drawn(30)[0]).shape == (30,)
