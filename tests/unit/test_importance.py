"""The importance-weighted bound, against the exact log p(x) of a linear-Gaussian model."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_elbo import LinearGaussian, exact_log_prob
from torch import Tensor

from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import ModelConfig, TrainConfig, build_model, importance_weighted_log_prob, train
from vae_core.columns import Layout
from vae_core.latents import quasi_normal_draws
from vae_core.objectives import elbo_parts
from vae_core.weighted import fit_weighted, weighted_row_terms, weighted_terms

LAYOUT = Layout(5, 0, (), ())


@pytest.fixture
def model() -> LinearGaussian:
    model = LinearGaussian()
    model.chunks, model.code_width = {"cpu": 512}, 2
    return model


@pytest.fixture
def x() -> Tensor:
    rows = torch.randn(200, 5, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.pad(rows, (0, 3))


def test_one_draw_suffices_at_the_true_posterior(model: LinearGaussian, x: Tensor) -> None:
    bound = importance_weighted_log_prob(model, x, 1)
    exact = exact_log_prob(model, x[None]).double()
    torch.testing.assert_close(bound.log_prob, exact, atol=1e-4, rtol=1e-5)
    several = importance_weighted_log_prob(model, x, 16)
    assert (several.standard_error < 1e-3).all()


def test_it_rises_from_the_elbo_to_log_p(model: LinearGaussian, x: Tensor) -> None:
    model.shift = 0.5
    exact = exact_log_prob(model, x[None]).double().mean().item()
    elbo = elbo_parts(model, x[None], model.draws[:, None]).elbo.mean().item()
    bounds = [
        importance_weighted_log_prob(model, x, draws).log_prob.mean().item()
        for draws in (1, 10, 100, 1000)
    ]
    assert bounds == sorted(bounds)
    once = [importance_weighted_log_prob(model, x, 1, seed).log_prob.mean() for seed in range(30)]
    assert torch.stack(once).mean().item() == pytest.approx(elbo, abs=0.1)
    assert elbo < exact - 0.1
    assert bounds[-1] == pytest.approx(exact, abs=0.02)


def test_the_standard_error_is_that_of_repeated_estimates(model: LinearGaussian, x: Tensor) -> None:
    model.shift = 0.3
    runs = [importance_weighted_log_prob(model, x[:50], 400, seed) for seed in range(40)]
    seen = torch.stack([r.log_prob for r in runs]).std(dim=0)
    said = torch.stack([r.standard_error for r in runs]).mean(dim=0)
    assert (said / seen).mean().item() == pytest.approx(1.0, abs=0.2)


def test_members_that_agree_are_no_surer_than_one_of_them(x: Tensor) -> None:
    """Members share their draws, so their errors do not cancel."""
    shape = {"denoisers": 0, "hidden": (16,), "latent_dim": 2, "network": "mlp"}
    one = build_model(LAYOUT, ModelConfig(members=1, **shape))
    two = build_model(LAYOUT, ModelConfig(members=2, **shape))
    twice = {
        name: value if name == "draws" else torch.cat([value, value])
        for name, value in one.state_dict().items()
    }
    two.load_state_dict(twice)
    alone, both = (importance_weighted_log_prob(model, x, 50) for model in (one, two))
    torch.testing.assert_close(both.log_prob, alone.log_prob, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(both.standard_error, alone.standard_error, atol=1e-4, rtol=1e-3)


def test_same_seed_same_bound_however_many_draws_fit_at_once(
    model: LinearGaussian, x: Tensor
) -> None:
    model.shift = 0.5
    first = importance_weighted_log_prob(model, x, 300, seed=3)
    assert torch.equal(first.log_prob, importance_weighted_log_prob(model, x, 300, 3).log_prob)
    other = importance_weighted_log_prob(model, x, 300, seed=4)
    assert not torch.equal(first.log_prob, other.log_prob)
    model.chunks = {"cpu": 8}  # one draw of 128 rows at a time, where it was 64
    torch.testing.assert_close(
        importance_weighted_log_prob(model, x, 300, seed=3).log_prob, first.log_prob,
        atol=1e-5, rtol=1e-6,
    )  # fmt: skip
    assert importance_weighted_log_prob(model, x[:0], 10).log_prob.shape == (0,)


@pytest.mark.parametrize(
    ("variant", "prior"),
    [
        ("vae", "vamp"), ("vae", "mixture"), ("vae", "flow"), ("flow", "flow"),
        ("hierarchical", "normal"),
    ],
)  # fmt: skip
def test_it_is_above_the_elbo_for_every_posterior_and_prior(
    variant: str, prior: str, x: Tensor
) -> None:
    config = ModelConfig(
        variant, members=2, denoisers=0, hidden=(16,), latent_dim=4, prior=prior, components=4
    )
    model = build_model(LAYOUT, config)
    train(model, x, x, TrainConfig(max_steps=40))
    model.fit_prior(x, 0)
    noise = torch.randn(1, 2000, 1, model.draws.shape[1])
    with torch.no_grad():
        elbo = elbo_parts(model, x[None, :50], noise).elbo.double().mean(0)
    bound = importance_weighted_log_prob(model, x[:50], 2000)
    assert bound.log_prob.shape == bound.standard_error.shape == (50,)
    assert (bound.log_prob > elbo - 3 * bound.standard_error).all()
    assert bound.log_prob.mean() > elbo.mean()


def test_what_has_no_likelihood_is_refused(model: LinearGaussian, x: Tensor) -> None:
    autoencoder = build_model(LAYOUT, ModelConfig("autoencoder"))
    with pytest.raises(ValueError, match="no prior"):
        importance_weighted_log_prob(autoencoder, x)
    with pytest.raises(ValueError, match="at least one draw"):
        importance_weighted_log_prob(model, x, 0)


def score(model: LinearGaussian, x: Tensor, draws: int, seed: int = 0) -> Tensor:
    """−log p(x) as the score of kind `importance_weighted` has it: fixed draws, summed terms."""
    points = quasi_normal_draws(draws, 2, seed, standardised=False)
    terms = weighted_row_terms(model, x, points)
    return terms.value.sum(1) + terms.mask.sum(1) + terms.kl


def test_the_score_comes_down_to_log_p_with_more_draws(model: LinearGaussian, x: Tensor) -> None:
    model.shift = 0.5
    exact = -exact_log_prob(model, x[None]).double()
    elbo = -elbo_parts(model, x[None], model.draws[:, None]).elbo.mean().item()
    # a bound in expectation over the seed of the draws
    scores = [
        torch.stack([score(model, x, draws, seed).mean() for seed in range(20)]).mean().item()
        for draws in (2, 8, 32, 128, 1024)
    ]
    assert elbo > scores[0]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > exact.mean().item() - 1e-3
    torch.testing.assert_close(score(model, x, 1024), exact, atol=0.1, rtol=0)
    assert torch.equal(score(model, x, 64), score(model, x, 64))


def test_the_score_is_exact_at_the_true_posterior(model: LinearGaussian, x: Tensor) -> None:
    exact = -exact_log_prob(model, x[None]).double()
    torch.testing.assert_close(score(model, x, 2), exact, atol=1e-4, rtol=1e-5)


def test_the_terms_are_the_bound_however_the_weights_lie() -> None:
    generator = torch.Generator().manual_seed(0)
    value, mask = (30 * torch.randn(2, 6, 50, 4, generator=generator) for _ in range(2))
    inside = 30 * torch.randn(2, 6, 50, generator=generator)
    values, masks, bracket = weighted_terms(value, mask, inside)
    log_weight = (value.sum(-1) + mask.sum(-1) + inside).double()
    expected = log_weight.logsumexp(1) - math.log(6)
    total = values.sum(-1) + masks.sum(-1) - bracket
    torch.testing.assert_close(total.double(), expected, atol=1e-3, rtol=1e-5)
    # equal weights leave the means
    values, _, bracket = weighted_terms(value[:, :1], mask[:, :1], inside[:, :1])
    torch.testing.assert_close(values, value[:, 0])
    torch.testing.assert_close(bracket, -inside[:, 0])


def test_a_scorer_that_was_not_fitted_for_it_says_so() -> None:
    rng = np.random.default_rng(0)
    data, kinds = {"a": rng.normal(size=60)}, {"a": ColumnKind("numeric", False)}
    shape, how = ModelConfig(members=1, hidden=(16,), weighted_draws=8), TrainConfig(max_steps=5)
    scorer = fit_scorer(data, data, kinds, model=shape, training=how).scorer
    with pytest.raises(ValueError, match="not fitted for score 'importance_weighted'"):
        replace(scorer, score_kind="importance_weighted")
    kind = "importance_weighted"
    scorer = fit_scorer(data, data, kinds, model=shape, training=how, score=kind).scorer
    raw, why = scorer.raw_scores(data), scorer.explain(data)
    # the reference is the mean of validation rows, here of these
    np.testing.assert_allclose(why.contributions.mean(0), 0.0, atol=1e-6)
    assert why.expected == pytest.approx(raw.anomaly_score.mean())
    with pytest.raises(ValueError, match="even number of draws"):
        fit_weighted(scorer.encoding, scorer.model, data, 7)
