"""The latent distance: exact, the same in every batch, finite for every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import Codes, ModelConfig, Scorer, TrainConfig
from vae_core.neighbours import MOST_CODES
from vae_core.scores import row_terms

MEMBERS = 2


def codes_of(rows: int, latents: int, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    """(G, N, L) standard normal codes around a point."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(MEMBERS, rows, latents, generator=generator) + offset


@pytest.mark.parametrize("latents", [1, 3, 8, 24])
@pytest.mark.parametrize("rows", [50, 1000])
def test_distances_are_those_of_a_k_d_tree(rows: int, latents: int) -> None:
    train, queries = codes_of(rows, latents), 3 * codes_of(200, latents, seed=1)
    codes = Codes.of(train)
    assert codes.neighbours == 10
    found = codes.distance(queries).double().numpy()
    for g in range(MEMBERS):
        expected = cKDTree(train[g].double().numpy()).query(queries[g].double().numpy(), k=[10])[0]
        np.testing.assert_allclose(found[g], expected[:, 0], rtol=1e-4, atol=2e-3)


def test_distances_to_a_drawn_subset_are_those_of_scikit_learn() -> None:
    train, queries = codes_of(5000, 6), codes_of(300, 6, seed=1)
    codes = Codes.of(train, seed=3)
    assert codes.points.shape == (MEMBERS, MOST_CODES, 6)
    for g in range(MEMBERS):
        kept = codes.points[g].double().numpy()
        everyone = {tuple(row) for row in train[g].double().numpy()}
        assert len({tuple(row) for row in kept} & everyone) == MOST_CODES
        search = NearestNeighbors(n_neighbors=codes.neighbours).fit(kept)
        expected = search.kneighbors(queries[g].double().numpy())[0][:, -1]
        found = codes.distance(queries)[g].double().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)


def test_members_keep_codes_of_the_same_rows() -> None:
    rows = torch.arange(3000.0)
    points = Codes.of(torch.stack([rows, -rows])[..., None]).points
    torch.testing.assert_close(points[0], -points[1], rtol=0, atol=0)


def test_the_draw_follows_the_seed() -> None:
    train = codes_of(4000, 3)
    assert torch.equal(Codes.of(train, seed=1).points, Codes.of(train, seed=1).points)
    assert not torch.equal(Codes.of(train, seed=1).points, Codes.of(train, seed=2).points)


@pytest.mark.parametrize(
    ("rows", "kept", "neighbours"),
    [
        (1, 1, 1),
        (2, 2, 2),
        (9, 9, 9),
        (10, 10, 10),
        (100, 100, 10),
        (MOST_CODES, MOST_CODES, 10),
        (50_000, MOST_CODES, 10),
    ],
)
def test_ten_neighbours_where_there_are_as_many(rows: int, kept: int, neighbours: int) -> None:
    codes = Codes.of(codes_of(rows, 2))
    assert (codes.points.shape[1], codes.neighbours) == (kept, neighbours)
    assert torch.isfinite(codes.distance(codes_of(9, 2, seed=1))).all()


@pytest.mark.parametrize(("like", "vouched_for"), [(8, False), (12, True)])
def test_a_few_anomalies_in_training_do_not_vouch_for_their_like(
    like: int, vouched_for: bool
) -> None:
    codes = codes_of(1000, 2)
    codes[:, :like] = codes_of(like, 2, seed=1) / 100 + 20.0
    distance = Codes.of(codes).distance(torch.full((MEMBERS, 1, 2), 20.0))
    assert ((distance < 1).all().item(), (distance > 10).all().item()) == (
        vouched_for,
        not vouched_for,
    )


def test_codes_far_from_the_origin_lose_no_precision() -> None:
    train, queries = codes_of(500, 4, offset=1000.0), codes_of(100, 4, seed=1, offset=1000.0)
    found = Codes.of(train).distance(queries).double().numpy()
    for g in range(MEMBERS):
        expected = cKDTree(train[g].double().numpy()).query(queries[g].double().numpy(), k=[10])[0]
        np.testing.assert_allclose(found[g], expected[:, 0], rtol=1e-3, atol=5e-3)


def test_equal_codes_lie_at_distance_zero() -> None:
    train = torch.ones(MEMBERS, 20, 3)
    assert (Codes.of(train).distance(train) == 0).all()


def test_far_codes_are_far_and_finite() -> None:
    codes = Codes.of(codes_of(300, 24))
    sizes = torch.tensor([1e2, 1e6, 1e12, 1e17])
    found = codes.distance(sizes[None, :, None].expand(MEMBERS, -1, 24))
    assert torch.isfinite(found).all()
    np.testing.assert_allclose(found, (sizes * 24**0.5).expand(MEMBERS, -1), rtol=0.01)


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
    assert loaded.codes.neighbours == scorer.codes.neighbours
    assert torch.equal(loaded.codes.points, scorer.codes.points)
    np.testing.assert_array_equal(
        loaded.raw_scores(data).latent_distance, scorer.raw_scores(data).latent_distance
    )


def test_the_score_is_the_mean_distance_over_the_generative_members(scorer: Scorer) -> None:
    data = table(300, 2)
    x = torch.from_numpy(scorer.encoding.encode(data)[0])
    with torch.no_grad():
        means = scorer.model.encode(x[None].to(scorer.device)).mu[:2].double().cpu().numpy()
    points = scorer.codes.points.double().cpu().numpy()
    assert points.shape[0] == 2
    expected = np.mean(
        [cKDTree(points[g]).query(means[g], k=[10])[0][:, 0] for g in range(2)], axis=0
    )
    found = row_terms(scorer.model, scorer.codes, x).distance.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=3e-3)
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


@pytest.mark.parametrize(
    ("codes", "neighbours"), [(2048, 10), (1500, 1), (700, 20), (512, 128), (100, 3)]
)
def test_short_searches_find_what_one_long_search_finds(codes: int, neighbours: int) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, codes, 3, generator=generator)
    points[:, 1::7] = points[:, :1]  # ties
    mu = torch.randn(2, 300, 3, generator=generator)
    expected = torch.cdist(mu, points).topk(neighbours, largest=False).values[..., -1]
    found = Codes(points, neighbours).distance(mu)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-4)
