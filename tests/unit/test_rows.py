"""The distance to training rows: of narrow rows exact, of wide ones close, of every row finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from pipeline import VAEDetector
from pipeline.explain import LATENT, reasons
from vae_core.bending import bend
from vae_core.columns import Layout
from vae_core.neighbours import WIDE, Neighbours
from vae_core.rows import DIRECTIONS, MOST_ROWS, Rows
from vae_core.scorer import Scorer, check_score_of

FAST = {"max_steps": 60}


def layout(numeric: int) -> Layout:
    return Layout(numeric=numeric, binary=0, categories=(), nullable=())


def normal(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """(N, W): W is what a layout of so many numbers is wide."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randn(rows, columns, generator=generator)
    return torch.nn.functional.pad(cells, (0, layout(columns).width - columns))


def test_narrow_rows_are_kept_as_the_networks_read_them() -> None:
    train, others = 30 * normal(500, 5), 30 * normal(50, 5, seed=1)
    rows, exact = Rows.of(train, layout(5)), Neighbours.of(bend(train, 5, few=0)[None])
    assert rows.directions is None
    wanted = exact.distance(bend(others, 5, few=0)[None])[0]
    np.testing.assert_array_equal(rows.distance(others), wanted)


@pytest.mark.parametrize("columns", [40, 500])
def test_wide_rows_lie_about_as_far_apart_along_directions(columns: int) -> None:
    train = normal(1000, columns)
    rows = Rows.of(train, layout(columns))
    assert rows.neighbours.points.shape[-1] == DIRECTIONS
    here, away = (bend(x, columns)[None] for x in (train, normal(50, columns, seed=1) + 0.5))
    along = torch.cdist(away @ rows.directions, here @ rows.directions) / torch.cdist(away, here)
    assert 0.9 < along.mean() < 1.1
    assert along.std() < 0.16  # 1 / √(2 · 32) by the theory, and 0.125 of each pair's own


def test_a_bounded_number_is_kept_drawn_by_the_seed() -> None:
    train = normal(3000, 4)
    first, same, other = (Rows.of(train, layout(4), seed).kept for seed in (1, 1, 2))
    assert first.shape == (MOST_ROWS, layout(4).width)
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_absurd_rows_are_far_and_finite() -> None:
    for columns in (4, 100):
        rows = Rows.of(normal(300, columns), layout(columns))
        usual = rows.distance(normal(300, columns, seed=1)).max()
        for size in (1e3, 1e8, 1e17, -1e17):
            found = rows.distance(torch.full((1, layout(columns).width), size))
            assert torch.isfinite(found).all() and (found > usual).all()


@pytest.mark.parametrize("columns", [6, 60])
def test_saved_and_loaded_distances_are_identical(columns: int, tmp_path: Path) -> None:
    train, others = (normal(n, columns, n).numpy()[:, :columns] for n in (400, 90))
    detector = VAEDetector(training=FAST, score="row_distance", random_state=0).fit(train)
    data = detector.columns_of(others)
    before = detector.scorer_.raw_scores(data)
    detector.scorer_.save(tmp_path)
    after = Scorer.load(tmp_path).raw_scores(data)
    np.testing.assert_array_equal(before.row_distance, after.row_distance)
    np.testing.assert_array_equal(before.anomaly_score, before.row_distance)
    order = np.random.default_rng(0).permutation(len(others))
    shuffled = detector.scorer_.raw_scores({n: v[order] for n, v in data.items()})
    np.testing.assert_array_equal(before.row_distance[order], shuffled.row_distance)


def test_a_hole_between_pockets_is_found_though_no_column_is_odd_there() -> None:
    rng = np.random.default_rng(0)
    ring = rng.normal(size=(2000, 2))
    ring /= np.linalg.norm(ring, axis=1, keepdims=True)
    ring += 0.02 * rng.normal(size=ring.shape)
    detector = VAEDetector(training=FAST, score="row_distance", random_state=0).fit(ring)
    assert detector.p_values(np.zeros((1, 2)))[0] < 0.01
    assert detector.p_values(ring).mean() > 0.4
    (told,) = reasons(detector.scorer_, detector.columns_of(np.zeros((1, 2))))
    assert told[-1] == LATENT
    (told,) = reasons(detector.scorer_, detector.columns_of(np.array([[9.0, 0.0]])))
    assert LATENT not in told


@pytest.mark.parametrize("columns", [5, 60])
def test_columns_share_the_distance_by_how_they_differ_from_rows_nearby(columns: int) -> None:
    train, others = normal(800, columns), normal(40, columns, seed=1)
    rows = Rows.of(train, layout(columns))
    found = rows.shares(others)
    assert found.shape == (40, columns)
    here, away = (bend(x, columns).double().numpy() for x in (train, others))
    along = np.eye(here.shape[1]) if rows.directions is None else rows.directions.double().numpy()
    near = here[cKDTree(here @ along).query(away @ along, k=WIDE)[1]]
    wanted = np.abs(away[:, None] - near).mean(1)[:, :columns]
    np.testing.assert_allclose(found, wanted / wanted.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
    same = Rows.of(train[:1].expand(30, -1), layout(columns)).shares(train[:1])
    torch.testing.assert_close(same, torch.full((1, columns), 1.0 / columns).double())


@pytest.mark.parametrize("columns", [6, 60])
def test_shares_do_not_depend_on_the_batch(columns: int) -> None:
    """Many rows of few values lie equally far: the same ones have to count."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 3, (900, columns)).astype(float)
    train[:300] = train[0]
    detector = VAEDetector(score="row_distance", max_epochs=1, random_state=0).fit(train)
    odd = train[200:800] + np.eye(columns)[np.arange(600) % columns]
    whole = detector.explain(odd)
    for part in (slice(0, 1), slice(99, 101), slice(100, 400), slice(599, 600)):
        np.testing.assert_array_equal(detector.explain(odd[part]), whole[part])
    np.testing.assert_array_equal(detector.explain(odd[::-1])[::-1], whole)


@pytest.mark.parametrize("rows", [1, 600])
def test_a_row_that_training_repeats_differs_in_no_column(rows: int) -> None:
    train = normal(1000, 6)
    train[:900] = train[0]
    shares = Rows.of(train, layout(6)).shares(train[:1].expand(rows, -1))
    torch.testing.assert_close(shares, torch.full((rows, 6), 1 / 6).double())


def test_cells_of_a_column_are_counted_together() -> None:
    """Two numbers, a binary column, one of three categories; the second number may be missing."""
    wide = Layout(numeric=2, binary=1, categories=(3,), nullable=(1,))
    assert wide.column_of_cell.tolist() == [0, 1, 2, 3, 3, 3, 1, 4]
    train = torch.zeros(30, wide.width)
    train[:, 3] = train[:, 6] = 1.0
    odd = train[:1].clone()
    odd[0, 3:5] = torch.tensor([0.0, 1.0])  # another category: two cells differ by 1
    odd[0, 6] = 0.0  # missing: one
    torch.testing.assert_close(
        Rows.of(train, wide).shares(odd), torch.tensor([[0.0, 1.0, 0.0, 2.0]]).double() / 3
    )


@pytest.mark.parametrize("score", ["row_distance", "combined"])
def test_explanations_add_up_and_name_the_odd_column(score: str) -> None:
    x = np.random.default_rng(0).normal(size=(600, 4))
    x = np.c_[x, np.full(600, 7.0)]  # a constant column
    detector = VAEDetector(training=FAST, score=score, random_state=0).fit(x)
    odd = x[:50].copy()
    odd[:, 2] += 8.0
    shares, frame = detector.explain(odd), detector.score_frame(odd)
    total = shares.sum(1) + frame["latent"] + detector.expected_
    np.testing.assert_allclose(total, frame["anomaly_score"], rtol=1e-9)
    assert (shares.argmax(1) == 2).mean() > 0.9
    if score == "row_distance":
        assert not frame["latent"].any()
        np.testing.assert_allclose(detector.explain(x).mean(0), 0.0, atol=0.2)


def test_missing_cells_are_a_part_of_the_row() -> None:
    """A blanked cell lies at the mean; its mask cell tells that it is missing."""
    x = np.random.default_rng(0).normal(size=(1000, 6))
    x[:50, 0] = np.nan
    x[50:100, 1] = np.nan
    detector = VAEDetector(training=FAST, score="row_distance", random_state=0).fit(x)
    odd = np.zeros((1, 6))
    odd[0, :2] = np.nan
    assert detector.score_samples(odd)[0] < detector.score_samples(np.zeros((1, 6)))[0]


def test_pictures_and_rows_with_conditions_have_none() -> None:
    pictures = Layout(numeric=0, binary=0, categories=(), nullable=(), image=(1, 8, 8))
    given = Layout(numeric=3, binary=0, categories=(), nullable=(), conditions=(4,))
    for one in (pictures, given):
        assert not Rows.fit(one)
        with pytest.raises(ValueError, match="of tables without conditions"):
            check_score_of("row_distance", one)
    detector = VAEDetector(training=FAST, random_state=0)
    detector.fit(np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    assert detector.scorer_.references.rows is None
    with pytest.raises(ValueError, match="of tables without conditions"):
        VAEDetector(score="row_distance").fit(np.zeros((20, 8, 8), dtype=np.uint8))
