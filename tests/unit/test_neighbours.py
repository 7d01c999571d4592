"""The latent distance: exact, the same in every batch, finite for every row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import ModelConfig, Neighbours, Scorer, TrainConfig
from vae_core.neighbours import GROUPS, LEAST, MOST_CODES, WIDE
from vae_core.scores import row_terms

MEMBERS = 2


def codes_of(rows: int, latents: int, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    """(G, N, L) standard normal codes around a point."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(MEMBERS, rows, latents, generator=generator) + offset


def expected(points: torch.Tensor, queries: torch.Tensor) -> np.ndarray:
    """(N, 2) distances of one member's queries, double precision: a search tree for each group."""
    rows = queries.double().numpy()
    groups = [points[g::GROUPS].double().numpy() for g in range(min(GROUPS, len(points)))]
    nearest = np.sort([cKDTree(group).query(rows)[0] for group in groups], axis=0)
    return np.stack([nearest[0], nearest[min(WIDE, len(points)) - 1]], axis=1)


def in_typical(codes: Neighbours, g: int, distances: np.ndarray) -> np.ndarray:
    return (distances / codes.typical[g].double().numpy()).max(1)


@pytest.mark.parametrize("latents", [1, 3, 8, 24])
@pytest.mark.parametrize("rows", [1, 2, 10, 20, 50, 129, 1000, 5000])
def test_distances_are_those_of_search_trees(rows: int, latents: int) -> None:
    train, queries = codes_of(rows, latents), 3 * codes_of(200, latents, seed=1)
    codes = Neighbours.of(train)
    kept = min(rows, MOST_CODES)
    assert codes.points.shape == (MEMBERS, kept, latents)
    found = codes.distance(queries).double().numpy()
    for g in range(MEMBERS):
        everyone = {tuple(row) for row in train[g].numpy()}
        assert len({tuple(row) for row in codes.points[g].numpy()} & everyone) == kept
        wanted = in_typical(codes, g, expected(codes.points[g], queries[g]))
        np.testing.assert_allclose(found[g], wanted, rtol=1e-5, atol=1e-6)


def test_the_wide_distance_is_about_that_to_the_22nd() -> None:
    kept, queries = Neighbours.of(codes_of(3000, 6)), codes_of(300, 6, seed=1)
    wide = Neighbours(kept.points, torch.tensor([[torch.inf, 1.0]] * MEMBERS)).distance(queries)
    for g in range(MEMBERS):
        tree = cKDTree(kept.points[g].double().numpy())
        below, above = tree.query(queries[g].double().numpy(), k=[20, 24])[0].T
        found = wide[g].double().numpy()
        assert (found >= below - 1e-5).all()
        assert np.mean(found <= above) > 0.85


@pytest.mark.parametrize("rows", [100, 2000, 9000])
def test_a_new_row_lies_at_about_1(rows: int) -> None:
    """Typical distances are those of training rows to each other, themselves left out."""
    distance = Neighbours.of(codes_of(rows, 5)).distance(codes_of(2000, 5, seed=1))
    assert 0.9 < distance.median() < 1.25


@pytest.mark.parametrize("twins", [2, 40])
def test_rows_that_repeat_do_not_shrink_the_scale(twins: int) -> None:
    """A typical distance of 0, of the nearest or of twenty, is a share of the spread instead."""
    codes = Neighbours.of(codes_of(2000 // twins, 3).repeat(1, twins, 1))
    near, wide = codes.typical.unbind(1)
    radius = (codes.points - codes.points.mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt()
    torch.testing.assert_close(near, LEAST * radius)
    assert ((wide / near < 1.001) == (twins > WIDE + 2)).all()
    assert torch.isfinite(codes.distance(codes_of(50, 3, seed=1))).all()


def test_on_a_line_the_last_digits_do_not_decide() -> None:
    """2,000 codes on a line lie so near each other that single precision cannot tell."""
    line, queries = codes_of(2000, 1), codes_of(300, 1, seed=1)
    distance = Neighbours.of(line).distance(queries)
    jitter = 1 + 1e-7 * torch.randn(queries.shape, generator=torch.Generator().manual_seed(2))
    moved = Neighbours.of(line).distance(queries * jitter)
    torch.testing.assert_close(distance, moved, rtol=1e-5, atol=5e-5)


def test_members_keep_codes_of_the_same_rows() -> None:
    rows = torch.arange(3000.0)
    points = Neighbours.of(torch.stack([rows, -rows])[..., None]).points
    torch.testing.assert_close(points[0], -points[1], rtol=0, atol=0)


def test_the_draw_follows_the_seed() -> None:
    train = codes_of(4000, 3)
    assert torch.equal(Neighbours.of(train, seed=1).points, Neighbours.of(train, seed=1).points)
    assert not torch.equal(Neighbours.of(train, seed=1).points, Neighbours.of(train, seed=2).points)


@pytest.mark.parametrize(("like", "vouched_for"), [(10, False), (30, True)])
def test_a_few_anomalies_in_training_do_not_vouch_for_their_like(
    like: int, vouched_for: bool
) -> None:
    train = codes_of(1000, 2)
    train[:, :like] = codes_of(like, 2, seed=1) / 100 + 20.0
    distance = Neighbours.of(train).distance(torch.full((MEMBERS, 1, 2), 20.0))
    assert (distance < 2).all() if vouched_for else (distance > 20).all()


def test_codes_far_from_the_origin_lose_no_precision() -> None:
    train, queries = codes_of(500, 4, offset=1000.0), codes_of(100, 4, seed=1, offset=1000.0)
    codes = Neighbours.of(train)
    found = codes.distance(queries).double().numpy()
    for g in range(MEMBERS):
        wanted = in_typical(codes, g, expected(codes.points[g], queries[g]))
        np.testing.assert_allclose(found[g], wanted, rtol=1e-5, atol=1e-3)


def test_equal_codes_lie_at_distance_zero() -> None:
    train = torch.ones(MEMBERS, 20, 3)
    assert (Neighbours.of(train).distance(train) == 0).all()


def test_far_codes_are_far_and_finite() -> None:
    codes = Neighbours.of(codes_of(300, 24))
    sizes = torch.tensor([1e2, 1e6, 1e12, 1e17])
    found = codes.distance(sizes[None, :, None].expand(MEMBERS, -1, 24))
    assert torch.isfinite(found).all()
    scale = codes.typical.amin(1, keepdim=True)
    np.testing.assert_allclose(found, sizes * 24**0.5 / scale, rtol=0.01)


KINDS = {name: ColumnKind("numeric", name == "a") for name in "abcde"}


def table(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(rows, 5))
    return dict(zip("abcde", x.T.copy(), strict=True))


@pytest.fixture(scope="module", params=[3, 8, 13])
def scorer(request: pytest.FixtureRequest, device: str) -> Scorer:
    config = ModelConfig(members=3, denoisers=1, hidden=(16,), latent_dim=request.param)
    training = TrainConfig(max_steps=40)
    return fit_scorer(
        table(700, 0), table(100, 1), KINDS, model=config, training=training, device=device
    ).scorer


def test_the_place_in_the_batch_does_not_matter(scorer: Scorer) -> None:
    data = table(1100, 2)
    whole = scorer.raw_scores(data).latent_distance
    order = np.random.default_rng(0).permutation(1100)
    shuffled = scorer.raw_scores({k: v[order] for k, v in data.items()}).latent_distance
    np.testing.assert_array_equal(whole[order], shuffled)
    for place in (0, 511, 512, 1099):
        alone = scorer.raw_scores({k: v[place : place + 1] for k, v in data.items()})
        assert alone.latent_distance[0] == whole[place]


def test_saved_and_loaded_distances_are_identical(
    scorer: Scorer, tmp_path: Path, device: str
) -> None:
    data = table(600, 2)
    scorer.save(tmp_path)
    loaded = Scorer.load(tmp_path, device=device)
    assert torch.equal(loaded.references.codes.typical, scorer.references.codes.typical)
    assert torch.equal(loaded.references.codes.points, scorer.references.codes.points)
    np.testing.assert_array_equal(
        loaded.raw_scores(data).latent_distance, scorer.raw_scores(data).latent_distance
    )


def test_the_score_is_the_mean_distance_over_the_generative_members(scorer: Scorer) -> None:
    data = table(300, 2)
    x = torch.from_numpy(scorer.encoding.encode(data)[0])
    with torch.no_grad():
        means = scorer.model.encode(x[None].to(scorer.device)).mu[:2].cpu()
    codes = scorer.references.codes.to(torch.device("cpu"))
    assert len(codes.points) == 2
    wanted = np.mean(
        [in_typical(codes, g, expected(codes.points[g], means[g])) for g in range(2)], axis=0
    )
    found = row_terms(scorer.model, scorer.references, x).latent_distance.numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found, scorer.raw_scores(data).latent_distance)


def test_absurd_rows_are_finite_and_farther_than_any_usual_one(scorer: Scorer) -> None:
    data = table(400, 2)
    usual = scorer.raw_scores(data).latent_distance.max()
    for size in (1e3, 1e6, 1e17, -1e17, 1e300):
        odd = {name: np.full(3, size) for name in data}
        found = scorer.raw_scores(odd)
        assert np.isfinite(found.latent_distance).all()
        assert np.isfinite(found.anomaly_score).all()
        assert (found.latent_distance > usual).all()


ELSEWHERE = """
import sys, numpy as np
from vae_core import Scorer
scores = Scorer.load(sys.argv[1], device="cpu").raw_scores(dict(np.load(sys.argv[2])))
np.savez(sys.argv[3], score=scores.anomaly_score, distance=scores.latent_distance)
"""


def test_a_processor_without_vector_instructions_gives_the_same_scores(
    scorer: Scorer, tmp_path: Path
) -> None:
    data = table(500, 3)
    here = scorer.raw_scores(data)
    scorer.save(tmp_path / "model")
    np.savez(tmp_path / "rows.npz", **data)
    old = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}
    files = [tmp_path / "model", tmp_path / "rows.npz", tmp_path / "found.npz"]
    subprocess.run([sys.executable, "-c", ELSEWHERE, *files], check=True, env=os.environ | old)
    found = np.load(tmp_path / "found.npz")
    np.testing.assert_allclose(found["score"], here.anomaly_score, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["distance"], here.latent_distance, rtol=1e-5, atol=1e-5)
    if torch.backends.cpu.get_cpu_capability() != "DEFAULT":  # other sums: it did run elsewhere
        assert not np.array_equal(found["score"], here.anomaly_score)
