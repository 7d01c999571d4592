"""Pictures in every form that callers have them."""

from __future__ import annotations

import numpy as np
import pytest

from vae_core import read_pictures

GREY, COLOUR = (2, 3, 1), (2, 3, 3)


def _nested_objects(picture: np.ndarray) -> np.ndarray:
    """As pandas gives a nested list of Parquet: an array of arrays."""
    lines = np.empty(len(picture), dtype=object)
    lines[:] = list(picture)
    return lines


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_all_forms_give_the_same_pictures(shape: tuple[int, int, int]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    forms = [
        pictures,
        pictures.reshape(4, -1),
        pictures.astype(np.float64),
        pictures.tolist(),
        list(pictures),
        pictures.reshape(4, -1).tolist(),
        [p.tobytes() for p in pictures],
    ]
    if shape == GREY:
        forms += [pictures[..., 0], [_nested_objects(p[..., 0]) for p in pictures]]
    for form in forms:
        values, wrong = read_pictures(form, shape)
        assert not wrong
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, pictures)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (None, "missing"),
        (float("nan"), "missing"),
        (b"12345", "5 bytes, no picture of 2 × 3 pixels"),
        (np.zeros((3, 2)), "a picture of 3 × 2 pixels instead of 2 × 3 pixels"),
        (np.zeros((2, 3, 3)), "2 × 3 pixels of 3 channels instead of 2 × 3 pixels"),
        ([1, 2, 3], "3 values"),
        ([[1, 2, 3], [4, 5]], "no picture"),
        ("text", "no picture"),
        (7, "1 values"),
        (np.full((2, 3), 256), "whole numbers from 0 to 255"),
        (np.full((2, 3), -1), "whole numbers from 0 to 255"),
        (np.full((2, 3), 0.5), "whole numbers from 0 to 255"),
        (np.full((2, 3), np.nan), "whole numbers from 0 to 255"),
    ],
)
def test_what_is_no_picture_is_said(cell: object, why: str) -> None:
    values, wrong = read_pictures([np.ones((2, 3)), cell], GREY)
    assert list(wrong) == [1]
    assert why in wrong[1]
    assert (values[0] == 1).all() and (values[1] == 0).all()
