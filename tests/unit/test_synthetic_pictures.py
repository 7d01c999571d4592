"""Made-up anomalies of pictures are what they say, and detectors can be compared by them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.comparison import synthetic_anomalies
from pipeline.synthetic_pictures import PICTURE_KINDS, synthesise_pictures


def pictures(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
@pytest.mark.parametrize("shape", [(8, 6, 1), (7, 9, 3), (2, 2, 1)])
def test_each_kind_changes_pictures_of_any_size(kind: str, shape: tuple[int, ...]) -> None:
    usual = pictures(shape)
    odd = synthesise_pictures(kind, usual, seed=3)
    assert (odd.shape, odd.dtype) == (usual.shape, np.uint8)
    np.testing.assert_array_equal(odd, synthesise_pictures(kind, usual, seed=3))
    changed = (odd != usual).any(axis=(1, 2, 3))
    assert changed.mean() > 0.7
    if kind == "turned":
        np.testing.assert_array_equal(odd[:, ::-1, ::-1], usual)
    if kind in ("inverted", "pasted"):
        places = (odd != usual).any(axis=3)
        most = round(shape[0] / 3) * round(shape[1] / 3)
        assert places.sum((1, 2)).max() <= most
    if kind == "inverted":
        np.testing.assert_array_equal(np.where(odd != usual, 255 - odd, odd), usual)


def test_conditions_stay_with_their_pictures() -> None:
    usual = pictures((4, 4, 1))
    told = usual[:, 0, 0, 0].astype(str).astype(object)
    made = synthetic_anomalies({"picture": usual, "kind": told})
    assert list(made) == list(PICTURE_KINDS)
    turned = made["turned"]
    np.testing.assert_array_equal(turned["picture"][:, -1, -1, 0].astype(str), turned["kind"])


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="unknown kind of anomaly 'torn'; known: noise"):
        synthesise_pictures("torn", pictures((4, 4, 1)))
