"""One battery over every model variant and mix of columns."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pipeline.detector import ColumnKind
from pipeline.fitting import calibrate_scorer, fit_scorer
from vae_core import (
    MODELS,
    SCORE_KINDS,
    ModelConfig,
    NotCalibratedError,
    Scorer,
    TrainConfig,
    build_model,
    fit_weighted,
)
from vae_core.columns import Layout
from vae_core.latents import DiagonalGaussian
from vae_core.objectives import elbo_parts, objective
from vae_core.priors import PRIORS

TRAINING = TrainConfig(max_steps=60)
MIXES = {
    "numeric": ("a", "b", "heavy"),
    "mixed": ("a", "heavy", "flag", "service", "note"),
    "categorical": ("flag", "service"),
    "picture": ("picture",),
    "conv": ("picture",),
    "tails": ("a", "b", "heavy", "service"),
}
KINDS = {
    "picture": ColumnKind("image", False),
    "sort": ColumnKind("condition", False),
    "a": ColumnKind("numeric", True),
    "b": ColumnKind("numeric", False),
    "heavy": ColumnKind("numeric", False),
    "flag": ColumnKind("binary", False),
    "service": ColumnKind("categorical", False),
    "note": ColumnKind("categorical", True),
}


def table(rows: int, seed: int, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=rows)
    digits = load_digits()
    picked = rng.integers(len(digits.images), size=rows)
    sort = digits.target[picked] % 2 if "picture" in names else a > 0
    columns = {
        "picture": np.rint(digits.images[picked] * 255 / 16).astype(np.uint8),
        "sort": np.where(sort, "odd", "even").astype(object),
        "b": 3 * a + rng.normal(size=rows),
        "heavy": np.exp(3 * rng.normal(size=rows)),
        "flag": (a > 0).astype(int).astype(object),
        "service": np.where(a > 1, "ftp", "http").astype(object),
        "note": np.where(rng.random(rows) < 0.3, None, "seen").astype(object),
        "a": np.where(rng.random(rows) < 0.1, np.nan, a),
    }
    return {name: columns[name] for name in names}


def kind_for(variant: str) -> str:
    return "elbo" if MODELS[variant].has_elbo else "reconstruction_error"


# every variant on every mix; further priors, a flow for both, heavy tails, on one
CASES = [(variant, "normal", mix) for variant in MODELS for mix in MIXES if mix != "tails"]
CASES += [("vae", prior, "mixed") for prior in ("vamp", "mixture", "flow")]
CASES += [("vae", "vamp", "conv"), ("flow", "flow", "mixed"), ("flow", "vamp", "mixed")]
CASES += [("discrete", "autoregressive", "mixed")]
CASES += [(variant, "normal", "tails") for variant in ("vae", "autoencoder", "flow")]


def swept(case: tuple[str, str, str]) -> Any:
    """Every day: variants and priors on mixed columns, the plain VAE on all; else in the sweep,
    as are the dearest: pseudo-rows that pass a flow, or a conv network, at every row."""
    variant, prior, mix = case
    plain = (variant, prior) == ("vae", "normal") and mix != "categorical"
    everyday = plain or (mix == "mixed" and (variant, prior) != ("flow", "vamp"))
    marks = () if everyday else (pytest.mark.slow,)
    return pytest.param(case, id="-".join(case), marks=marks)


@pytest.fixture(scope="module", params=[swept(case) for case in CASES])
def fitted(request: pytest.FixtureRequest, device: str) -> tuple[Scorer, dict[str, np.ndarray]]:
    variant, prior, mix = request.param
    names = MIXES[mix] + ("sort",) * MODELS[variant].conditional
    result = fit_scorer(
        table(300, 0, names),
        table(80, 1, names),
        {n: KINDS[n] for n in names},
        model=ModelConfig(
            variant=variant,
            prior=prior,
            components=8,
            couplings=2,
            members=3,
            hidden=(16,),
            latent_dim=3,
            channels=(8,),
            weighted_draws=8,
            network="conv" if mix == "conv" else "mlp",
            numeric="student_t" if mix == "tails" else "gaussian",
        ),
        training=TRAINING,
        score=kind_for(variant),
        device=device,
    )
    scorer = calibrate_scorer(result.scorer, table(200, 2, names), alpha=0.1)
    if scorer.model.has_elbo:
        rows = table(80, 1, names)
        scorer.weighted = fit_weighted(scorer.encoding, scorer.model, rows, draws=8)
    return scorer, table(400 if "picture" in names else 1300, 3, names)


def test_gradients_reach_every_parameter(fitted: tuple) -> None:
    scorer, data = fitted
    model = deepcopy(scorer.model).train()
    x = torch.from_numpy(scorer.encoding.encode(data)[0]).to(scorer.device)
    noise = torch.randn(model.members, 1, len(x), model.draws.shape[1], device=scorer.device)
    parts = elbo_parts(model, x[None], noise)
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(objective(parts, TRAINING.beta).sum(), parameters)
    assert all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in gradients)
    if model.has_elbo:
        encoder = list(model.encoder.parameters())
        parts = elbo_parts(model, x[None], noise)
        kl_gradients = torch.autograd.grad(parts.kl.sum() * TRAINING.beta, encoder)
        assert all(g.abs().sum() > 0 for g in kl_gradients)


def test_scores_do_not_depend_on_batch_or_order(fitted: tuple) -> None:
    scorer, data = fitted
    # more rows than a worker takes at a time, but of pictures, which take long
    rows = 1500 if "picture" in data else 9000
    data = table(rows, 4, tuple(data))
    whole = scorer.score(data)
    again = scorer.score(data)
    order = np.random.default_rng(0).permutation(rows)
    shuffled = scorer.score({k: v[order] for k, v in data.items()})
    for name, values in whole.items():
        np.testing.assert_array_equal(values, again[name])
        np.testing.assert_array_equal(values[order], shuffled[name])
    for size in (1, 7, 512, rows - 808):
        for start in (0, 700):
            batch = scorer.score({k: v[start : start + size] for k, v in data.items()})
            for name, values in whole.items():
                np.testing.assert_array_equal(values[start : start + size], batch[name])


@pytest.mark.slow
def test_the_weighted_bound_does_not_depend_on_batch_or_order(fitted: tuple) -> None:
    scorer, data = fitted
    if not scorer.model.has_elbo:
        pytest.skip("no bound")
    weighted = replace(scorer, score_kind="importance_weighted")
    rows = len(next(iter(data.values())))
    whole = weighted.raw_scores(data).anomaly_score
    order = np.random.default_rng(0).permutation(rows)
    shuffled = weighted.raw_scores({k: v[order] for k, v in data.items()}).anomaly_score
    np.testing.assert_array_equal(whole[order], shuffled)
    for size in (1, 7):
        part = weighted.raw_scores({k: v[200 : 200 + size] for k, v in data.items()})
        np.testing.assert_array_equal(whole[200 : 200 + size], part.anomaly_score)


def test_explanations_sum_to_the_score(fitted: tuple) -> None:
    scorer, data = fitted
    layout = scorer.encoding.layout
    plain = not layout.image and not layout.conditions
    others = {"row_distance"} if not plain else set()
    others |= {"likelihood_ratio"} if not layout.image else set()
    kinds = SCORE_KINDS if scorer.model.has_elbo else ("reconstruction_error", "latent_distance")
    for kind in set(kinds) - others:
        one = replace(scorer, score_kind=kind)
        raw, why = one.raw_scores(data), one.explain(data)
        total = why.contributions.sum(1) + why.latent + why.expected
        np.testing.assert_allclose(total, raw.anomaly_score, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(why.latent, raw.latent)
        assert why.names == scorer.names


def test_saved_and_loaded_scores_are_identical(fitted: tuple, tmp_path: Path) -> None:
    scorer, data = fitted
    scorer.metadata["note"] = "kept"
    scorer.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scorer.json", "scorer.safetensors"]
    loaded = Scorer.load(tmp_path, device=str(scorer.device.type))
    assert loaded.metadata == {"note": "kept"}
    assert loaded.thresholds == scorer.thresholds
    before, after = scorer.score(data), loaded.score(data)
    assert list(before) == list(after)
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_every_output_has_its_shape(fitted: tuple) -> None:
    scorer, data = fitted
    scores = scorer.score(data)
    assert list(scores) == [
        "anomaly_score", "reconstruction_error", "elbo", "latent", "p_value",
        "p_value_reconstruction_error", "p_value_elbo", "is_anomaly",
    ]  # fmt: skip
    rows = len(next(iter(data.values())))
    assert all(v.shape == (rows,) for v in scores.values())
    assert np.isfinite(scores["anomaly_score"]).all()
    assert np.isfinite(scores["elbo"]).all() == scorer.model.has_elbo
    assert np.isnan(scores["p_value_elbo"]).all() != scorer.model.has_elbo
    assert scorer.embed(data).shape == (rows, scorer.model.code_width)
    assert {k: v.dtype for k, v in scorer.reconstruct(data).items()} == {
        k: data[k].dtype for k in scorer.names
    }
    assert list(scorer.score({k: v[:0] for k, v in data.items()})["p_value"]) == []


def test_alpha_per_call_moves_the_flags_only(fitted: tuple) -> None:
    scorer, data = fitted
    wide, narrow = scorer.score(data, alpha=0.3), scorer.score(data, alpha=0.02)
    np.testing.assert_array_equal(wide["anomaly_score"], narrow["anomaly_score"])
    assert wide["is_anomaly"].sum() > narrow["is_anomaly"].sum()
    assert (wide["is_anomaly"] == (wide["p_value"] <= 0.3)).all()
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        scorer.score(data, alpha=1.5)


def test_uncalibrated_scorers_refuse(fitted: tuple) -> None:
    scorer, data = fitted
    with pytest.raises(NotCalibratedError, match="calibrate"):
        replace(scorer, calibration={}, thresholds={}).score(data)


def test_generated_rows_look_like_rows(fitted: tuple) -> None:
    scorer, data = fitted
    if not scorer.model.has_elbo:
        with pytest.raises(ValueError, match="cannot generate"):
            scorer.generate(10)
        return
    drawn = scorer.generate(100, seed=1)
    assert list(drawn) == list(scorer.names)
    assert all(len(v) == 100 for v in drawn.values())
    again = scorer.generate(100, seed=1)
    for name, values in drawn.items():
        assert values.dtype == data[name].dtype
        assert values.tolist() == again[name].tolist() or name == "a"
    scorer.score(drawn | {n: np.array(v) for n, v in drawn.items() if n == "flag"})


def test_blanking_cells_does_not_make_an_odd_row_normal(fitted: tuple) -> None:
    scorer, data = fitted
    if "a" not in data:
        pytest.skip("this mix has no nullable numeric column")
    odd = {k: v[:50].copy() for k, v in data.items()}
    odd["heavy"] = np.full(50, 1e12)
    blanked = odd | {"a": np.full(50, np.nan)}
    usual = {k: v[:50].copy() for k, v in data.items()} | {"a": np.full(50, np.nan)}
    assert scorer.score(blanked)["p_value"].mean() <= scorer.score(usual)["p_value"].mean()


def test_unseen_categories_score_as_rare() -> None:
    names = MIXES["mixed"]
    fit = fit_scorer(
        table(300, 0, names), table(80, 1, names), {n: KINDS[n] for n in names},
        model=ModelConfig(members=2, hidden=(16,)), training=TRAINING,
    )  # fmt: skip
    data = table(50, 5, names)
    known = fit.scorer.raw_scores(data).anomaly_score
    unseen = fit.scorer.raw_scores(data | {"service": np.array(["gopher"] * 50, dtype=object)})
    assert np.isfinite(unseen.anomaly_score).all()
    assert (unseen.anomaly_score > known).mean() > 0.9


def test_scores_that_need_an_elbo_are_refused_for_an_autoencoder() -> None:
    with pytest.raises(ValueError, match=r"needs an ELBO.*autoencoder"):
        fit_scorer(
            table(50, 0, ("b",)), table(20, 1, ("b",)), {"b": KINDS["b"]},
            model=ModelConfig(variant="autoencoder"), score="elbo",
        )  # fmt: skip


def test_unknown_names_list_what_is_known() -> None:
    with pytest.raises(ValueError, match="unknown model 'vea'; known: autoencoder, vae, "):
        fit_scorer(
            table(50, 0, ("b",)), table(20, 1, ("b",)), {"b": KINDS["b"]},
            model=ModelConfig(variant="vea"),
        )  # fmt: skip
    with pytest.raises(ValueError, match="unknown score"):
        fit_scorer(table(50, 0, ("b",)), table(20, 1, ("b",)), {"b": KINDS["b"]}, score="elbow")


@pytest.mark.parametrize(
    ("variant", "names", "message"),
    [
        ("vae", ("b", "sort"), r"'vae' reads no conditions and 1 column.*use model 'conditional'"),
        ("conditional", ("b",), "'conditional' needs a condition and no column is one"),
    ],
)
def test_conditions_and_models_that_read_them_go_together(
    variant: str, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_scorer(
            table(50, 0, names), table(20, 1, names), {n: KINDS[n] for n in names},
            model=ModelConfig(variant=variant),
        )  # fmt: skip


def test_a_newer_file_is_refused(fitted: tuple, tmp_path: Path) -> None:
    scorer, _ = fitted
    scorer.save(tmp_path)
    file = tmp_path / "scorer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
    with pytest.raises(ValueError, match="schema 99"):
        Scorer.load(tmp_path)


@pytest.mark.parametrize("variant", MODELS)
def test_a_variant_says_what_its_latent_is(variant: str) -> None:
    """Every prior that it takes can be built, no other; and whether its posterior is Gaussian."""
    conditions = (2,) if MODELS[variant].conditional else ()
    layout = Layout(2, 0, (), (), conditions=conditions)
    for prior in PRIORS:
        config = ModelConfig(variant=variant, prior=prior, hidden=(8,), latent_dim=4)
        if prior not in MODELS[variant].priors:
            with pytest.raises(ValueError, match=f"takes no prior '{prior}'"):
                build_model(layout, config)
            continue
        model = build_model(layout, config)
        posterior = model.encode(torch.zeros(1, 3, layout.width))
        assert isinstance(posterior, DiagonalGaussian) == model.gaussian
