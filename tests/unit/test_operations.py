"""What a trained model makes: walks, fillings, draws and codes keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import VAEDetector
from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import MODELS, ModelConfig, Scorer, TrainConfig

KINDS = {f"c{i}": ColumnKind("numeric", False) for i in range(6)} | {
    "kind": ColumnKind("categorical", False),
    "flag": ColumnKind("binary", False),
}


def table(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Eight columns that follow two numbers."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(2, 6))
    x = rng.normal(size=(rows, 2)) @ mix + 0.2 * rng.normal(size=(rows, 6))
    columns = {f"c{i}": x[:, i] for i in range(6)}
    lean = x[:, 0] / np.linalg.norm(mix[:, 0])
    low, high = lean < -0.43, lean > 0.43
    columns["kind"] = np.where(high, "a", np.where(low, "b", "c")).astype(object)
    columns["flag"] = (x[:, 1] > 0).astype(int).astype(object)
    return columns


def blanked(data: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    rng, out = np.random.default_rng(5), {}
    for name, values in data.items():
        out[name] = values.copy()
        out[name][rng.random(len(values)) < share] = None if values.dtype == object else np.nan
    return out


def take(data: dict[str, np.ndarray], rows: slice) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in data.items()}


def fit(
    variant: str = "vae",
    members: int = 2,
    steps: int = 400,
    kinds: dict[str, ColumnKind] = KINDS,
    **config: object,
) -> Scorer:
    return fit_scorer(
        table(1500, 1), table(200, 2), kinds,
        model=ModelConfig(variant=variant, members=members, hidden=(32,), **config),  # type: ignore[arg-type]
        training=TrainConfig(max_steps=steps),
        score="reconstruction_error", device="cpu",
    ).scorer  # fmt: skip


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return fit(latent_dim=4)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_the_ends_of_an_interpolation_are_the_rows_reconstructions(
    scorer: Scorer, path: str
) -> None:
    start, end = take(table(5, 3), slice(5)), table(5, 4)
    rows = scorer.interpolate(start, end, steps=7, path=path)
    same(take(rows, slice(0, None, 7)), scorer.decode(scorer.embed(start)))
    same(take(rows, slice(6, None, 7)), scorer.decode(scorer.embed(end)))
    middle = take(rows, slice(3, None, 7))
    assert any((middle[n] != take(rows, slice(0, None, 7))[n]).any() for n in middle)


def test_one_member_decodes_what_it_reconstructs() -> None:
    alone, data = fit(members=1, steps=50), table(40, 3)
    same(alone.decode(alone.embed(data)), alone.reconstruct(data))


def test_walks_refuse_what_makes_no_sense(scorer: Scorer) -> None:
    with pytest.raises(ValueError, match="at least 2 steps"):
        scorer.interpolate(table(1, 0), table(1, 1), steps=1)
    with pytest.raises(ValueError, match="unknown path 'curly'"):
        scorer.interpolate(table(1, 0), table(1, 1), path="curly")
    with pytest.raises(ValueError, match="from one row, got 2"):
        scorer.traverse(table(2, 0))
    with pytest.raises(ValueError, match="4 numbers each"):
        scorer.decode(np.zeros((3, 5)))


def test_a_dead_latent_moves_nothing_and_comes_last(scorer: Scorer) -> None:
    """The two numbers behind the table need two latents; the other two carry nothing."""
    walk = scorer.traverse(latents=None, steps=5)
    moved = np.ptp(np.stack([walk.rows[f"c{i}"] for i in range(6)]).reshape(6, 4, 5), axis=2)
    span = moved.max(axis=0)
    assert sorted(walk.latents) == [0, 1, 2, 3]
    assert span[3] < 0.1 * span[:2].min()
    decoder = scorer.model.decoder.layers[0].weight
    dead = walk.latents[3]
    before = decoder.data[:, dead].clone()
    decoder.data[:, dead] = 0.0
    still = scorer.traverse(latents=None, steps=5).rows
    decoder.data[:, dead] = before
    for values in still.values():
        assert len(set(values[15:].tolist())) == 1


@pytest.mark.parametrize("variant", list(MODELS))
def test_every_walk_changes_something(variant: str) -> None:
    kinds = KINDS | {"kind": ColumnKind("condition", False)} if variant == "conditional" else KINDS
    model = fit(variant, 1, 20, kinds, latent_dim=3, categories=4)
    for base in (None, table(1, 8)):
        walk = model.traverse(base, latents=None, steps=5)
        assert sorted(walk.latents) == [0, 1, 2]
        cells = np.stack([walk.rows[f"c{i}"] for i in range(6)])
        assert (np.ptp(cells.reshape(6, 3, len(walk.values)), axis=2) > 0).any(axis=0).all()
    with pytest.raises(ValueError, match="from one row, got 2"):
        model.traverse(table(2, 8))


def test_a_categorical_latent_walks_through_its_categories() -> None:
    model, one = fit("discrete", 1, 20, latent_dim=3, categories=4), table(1, 8)
    walk = model.traverse(one, latents=2, steps=9, reach=9.0)
    assert walk.categorical and walk.values.tolist() == [0, 1, 2, 3]
    codes = np.repeat(model.embed(one), 8, axis=0)
    for i, latent in enumerate(walk.latents):
        codes[4 * i : 4 * i + 4, 4 * latent : 4 * latent + 4] = np.eye(4)
    same(walk.rows, model.decode(codes))
    # a scorer whose order is one of cells, not of latents
    model.diagnostics["latent_order"] = list(range(12))
    assert sorted(model.traverse(latents=None).latents) == [0, 1, 2]


def test_layers_that_decoding_does_not_read_cost_no_bits() -> None:
    model, data = fit("hierarchical", 1, 20, ladder=(3, 2)), table(50, 3)
    done = model.compress(data, step=0.25)
    assert (done.codes[:, 3:] == 0).all()
    same(done.rows, model.decode(done.codes * np.float32(0.25)))
    model.references.codes.points[..., 3:] += 100.0
    np.testing.assert_array_equal(model.compress(data, step=0.25).bits, done.bits)


def test_a_walk_from_a_row_passes_through_it(scorer: Scorer) -> None:
    one = table(1, 8)
    codes = scorer.embed(one)
    walk = scorer.traverse(one, latents=1, steps=3, reach=0.0)
    moved = codes.copy()
    moved[0, walk.latents[0]] = 0.0
    same(take(walk.rows, slice(0, 1)), scorer.decode(moved))


def test_filling_in_leaves_observed_cells_and_beats_the_mean(scorer: Scorer) -> None:
    data = table(800, 3)
    holes = blanked(data, 0.3)
    filled = scorer.impute(holes)
    same(filled, scorer.impute(holes))
    ratios = []
    for name, values in data.items():
        missing = np.array([v is None or v != v for v in holes[name].tolist()])
        np.testing.assert_array_equal(filled[name][~missing], values[~missing])
        if values.dtype != object:
            error = np.mean((filled[name] - values)[missing] ** 2)
            ratios.append(error / np.mean((values.mean() - values)[missing] ** 2))
    assert max(ratios) < 0.6
    assert not any(v is None for v in filled["kind"])
    agree = filled["kind"] == data["kind"]
    commonest = max((data["kind"] == v).mean() for v in "abc")
    gaps = np.array([v is None for v in holes["kind"]])
    assert all(isinstance(v, int) for v in filled["flag"])
    assert agree[gaps].mean() > commonest + 0.2


def test_a_whole_column_may_be_missing(scorer: Scorer) -> None:
    data = table(300, 3)
    filled = scorer.impute({name: values for name, values in data.items() if name != "c1"})
    assert np.corrcoef(filled["c1"], data["c1"])[0, 1] > 0.8


def test_drawn_fillings_differ_and_repeat_with_their_seed(scorer: Scorer) -> None:
    holes = blanked(table(60, 3), 0.3)
    first, second, third = scorer.impute_draws(holes, 3, seed=1)
    gaps = np.isnan(holes["c0"])
    assert (first["c0"][gaps] != second["c0"][gaps]).all()
    assert (first["c0"][gaps] != third["c0"][gaps]).all()
    np.testing.assert_array_equal(first["c0"][~gaps], holes["c0"][~gaps])
    same(scorer.impute_draws(holes, 3, seed=1)[2], third)


def test_draws_repeat_with_their_seed_and_follow_the_codes(scorer: Scorer) -> None:
    same(scorer.generate(50, 3), scorer.generate(50, 3))
    mixed = scorer.generate(2000, 3, how="mixture")
    assert mixed["c0"].tolist() != scorer.generate(2000, 3)["c0"].tolist()
    np.testing.assert_allclose(mixed["c0"].std(), table(2000, 4)["c0"].std(), rtol=0.25)
    with pytest.raises(ValueError, match="unknown way"):
        scorer.generate(3, how="magic")
    with pytest.raises(ValueError, match="there is no condition 'kind'; this model reads none"):
        scorer.generate(3, condition={"kind": "a"})


def test_an_autoencoder_draws_from_a_mixture_only() -> None:
    plain = fit("autoencoder", steps=100)
    with pytest.raises(ValueError, match=r"no prior.*mixture"):
        plain.generate(5)
    assert len(plain.generate(5, how="mixture")["c0"]) == 5
    assert np.isnan(plain.compress(table(9, 0)).rate).all()
    assert len(plain.traverse(latents=2, steps=3).rows["c0"]) == 6


def test_conditions_choose_what_is_drawn() -> None:
    kinds = KINDS | {"kind": ColumnKind("condition", False)}
    model = fit_scorer(
        table(1500, 1), table(200, 2), kinds,
        model=ModelConfig(variant="conditional", members=2, hidden=(32,)),
        training=TrainConfig(max_steps=300), device="cpu",
    ).scorer  # fmt: skip
    high = model.generate(300, condition={"kind": "a"})["c0"]
    low = model.generate(300, condition={"kind": "b"})["c0"]
    assert high.mean() > low.mean() + 0.5
    walks = [model.traverse(latents=1, condition={"kind": kind}).rows["c0"] for kind in "ab"]
    assert walks[0].mean() > walks[1].mean() + 0.5
    with pytest.raises(ValueError, match="one or the other"):
        model.traverse(table(1, 0), condition={"kind": "a"})
    mixed = model.generate(4, condition={"kind": np.array(["a", "b", "a", "b"], dtype=object)})
    assert len(mixed["c0"]) == 4
    with pytest.raises(ValueError, match="has no 'z'; known: a, b, c"):
        model.generate(3, condition={"kind": "z"})


def test_noise_is_taken_out_by_those_who_learned_to(scorer: Scorer) -> None:
    data = table(500, 3)
    rng = np.random.default_rng(0)
    noisy = {
        n: v + 0.5 * v.std() * rng.normal(size=len(v)) if v.dtype != object else v
        for n, v in data.items()
    }
    clean = scorer.denoise(noisy)
    for i in range(6):
        name = f"c{i}"
        assert np.mean((clean[name] - data[name]) ** 2) < np.mean((noisy[name] - data[name]) ** 2)
    with pytest.raises(ValueError, match="undo noise"):
        fit(members=1, steps=20).denoise(noisy)


def test_finer_steps_cost_more_bits_and_lose_less(scorer: Scorer) -> None:
    data = table(400, 3)
    coarse, fine = scorer.compress(data, step=2.0), scorer.compress(data, step=0.1)
    assert fine.bits.mean() > coarse.bits.mean() > 0
    assert fine.distortion.mean() < coarse.distortion.mean()
    np.testing.assert_allclose(fine.codes * 0.1, scorer.embed(data), atol=0.0501)
    same(fine.rows, scorer.decode(fine.codes * np.float32(0.1)))
    assert (fine.rate > 0).all()
    with pytest.raises(ValueError, match="step must be positive"):
        scorer.compress(data, step=0)


def test_code_lengths_are_those_of_the_best_code() -> None:
    """Bits of quantised normal numbers lie at their entropy, which no code beats."""
    from vae_core.operations.compression import code_lengths

    rng = np.random.default_rng(0)
    training, codes = rng.normal(size=(4000, 2)), np.rint(rng.normal(size=(20_000, 2)) / 0.25)
    bits = code_lengths(codes.astype(np.int32), 0.25, training).mean()
    entropy = 0.0
    for column in codes.T:
        share = np.unique(column, return_counts=True)[1] / len(column)
        entropy -= float((share * np.log2(share)).sum())
    assert entropy - 0.01 < bits < entropy * 1.01


def test_half_a_picture_is_filled_in() -> None:
    rng = np.random.default_rng(0)
    bright = rng.random(400) < 0.5
    shades = np.where(bright, 220, 30)[:, None, None]
    pictures = np.clip(shades + rng.normal(0, 5, (400, 8, 8)), 0, 255).astype(np.uint8)
    model = fit_scorer(
        {"image": pictures[:300]}, {"image": pictures[300:]}, {"image": ColumnKind("image", False)},
        model=ModelConfig(members=2, hidden=(16,), latent_dim=2),
        training=TrainConfig(max_steps=200), device="cpu",
    ).scorer  # fmt: skip
    holes = pictures[:20].astype(float)
    holes[:, 4:] = np.nan
    filled = model.impute({"image": holes})["image"]
    assert filled.shape == (20, 8, 8) and filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[:, :4], pictures[:20, :4])
    assert np.abs(filled[:, 4:].astype(float) - shades[:20]).mean() < 25


def test_the_estimator_gives_what_it_was_given() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) @ np.array([[1, 2, 0.0], [0, 1, 3]])
    X = X + 0.1 * rng.normal(size=X.shape)
    detector = VAEDetector(members=2, max_epochs=60, random_state=0).fit(X)
    holes = X[:40].copy()
    holes[::2, 1] = np.nan
    filled = detector.impute(holes)
    np.testing.assert_array_equal(filled[1::2], X[1:40:2])
    assert np.isfinite(filled).all()
    assert [f.shape for f in detector.impute(holes, draws=3)] == [(40, 3)] * 3
    assert detector.interpolate(X[:2], X[2:4], steps=5).shape == (10, 3)
    walk = detector.traverse(X[:1], latents=2, steps=4)
    assert [rows.shape for rows in walk.values()] == [(4, 3)] * 2
    assert detector.denoise(X[:5]).shape == detector.decode(detector.embed(X[:5])).shape == (5, 3)
    np.testing.assert_array_equal(detector.generate(7, seed=1), detector.generate(7, seed=1))
    assert len(detector.compress(X[:5]).bits) == 5
