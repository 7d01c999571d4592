"""Disentanglement at its known extremes, and the sprites it is measured on."""

import numpy as np
import pytest

from benchmarks.sprites import FACTORS, SIDE, sprites
from pipeline.quality.disentanglement import disentanglement, mutual_information_gap

RNG = np.random.default_rng(0)
FACTOR_ROWS = RNG.integers(0, 6, size=(3000, 3))


def test_one_latent_a_factor_is_the_most_whatever_order_sign_and_scale() -> None:
    codes = FACTOR_ROWS[:, [2, 0, 1]] * np.array([-3.0, 0.01, 50.0])
    for name, value in disentanglement(codes, FACTOR_ROWS).items():
        assert value == pytest.approx(1.0, abs=0.02), name


def test_noise_is_nothing() -> None:
    for name, value in disentanglement(RNG.normal(size=(3000, 4)), FACTOR_ROWS).items():
        assert value == pytest.approx(0.0, abs=0.05), name


def test_a_rotation_hides_the_factors_but_not_the_information() -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    seen = disentanglement((FACTOR_ROWS - 2.5) @ rotation, FACTOR_ROWS)
    assert seen["mig"] < 0.35
    assert seen["dci_disentanglement"] < 0.6
    assert seen["dci_informativeness"] > 0.6


def test_a_factor_in_two_latents_has_no_gap() -> None:
    twice = np.repeat(FACTOR_ROWS, 2, axis=1).astype(float)
    seen = disentanglement(twice, FACTOR_ROWS)
    assert seen["mig"] == pytest.approx(0.0, abs=1e-9)
    assert seen["sap"] == pytest.approx(0.0, abs=1e-9)
    assert seen["dci_disentanglement"] > 0.9
    assert seen["dci_completeness"] < 0.8


def test_a_latent_that_never_moves_is_no_harm() -> None:
    codes = np.column_stack([FACTOR_ROWS, np.ones(3000)])
    assert disentanglement(codes, FACTOR_ROWS)["sap"] == pytest.approx(1.0, abs=0.01)
    assert mutual_information_gap(codes, FACTOR_ROWS) == pytest.approx(1.0, abs=0.01)


def test_sprites_are_what_their_factors_say() -> None:
    drawn, again = sprites(4000, seed=1), sprites(4000, seed=1)
    np.testing.assert_array_equal(drawn.pictures, again.pictures)
    assert drawn.pictures.shape == (4000, SIDE, SIDE, 1)
    assert drawn.pictures.dtype == np.uint8
    assert drawn.factors.max(axis=0).tolist() == [count - 1 for count in FACTORS.values()]
    # the same picture only where all factors agree: none is hidden
    flat = drawn.pictures.reshape(4000, -1)
    kinds = len(np.unique(drawn.factors, axis=0))
    assert len(np.unique(flat, axis=0)) == kinds
    # nothing is cut off at the edges, and the centre of mass follows x and y
    assert drawn.pictures[:, [0, -1]].max() == 0
    assert drawn.pictures[:, :, [0, -1]].max() == 0
    mass = drawn.pictures[..., 0].astype(float)
    across = (mass.sum(1) @ np.arange(SIDE)) / mass.sum((1, 2))
    down = (mass.sum(2) @ np.arange(SIDE)) / mass.sum((1, 2))
    assert np.corrcoef(across, drawn.factors[:, 3])[0, 1] > 0.95
    assert np.corrcoef(down, drawn.factors[:, 4])[0, 1] > 0.95
    area = [mass.sum((1, 2))[drawn.factors[:, 1] == size].mean() for size in range(4)]
    assert area == sorted(area)
