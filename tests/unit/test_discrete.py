"""Categorical latents against enumeration of all their codes."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vae_core import ModelConfig, TrainConfig, build_model, train
from vae_core.columns import Layout
from vae_core.latents import CategoricalLatents, quasi_normal_draws
from vae_core.models import DiscreteVAE, Model
from vae_core.objectives import elbo_parts, run
from vae_core.priors import Autoregressive, AutoregressivePrior, Uniform

L, C, N, D = 2, 3, 6, 4
LAYOUT = Layout(D, 0, (), ())


def posterior(temperature: float = 0.5, **how: bool) -> CategoricalLatents:
    logits = 2 * torch.randn(2, N, L, C, generator=torch.Generator().manual_seed(0))
    how = {"hard": True} | how
    return CategoricalLatents(logits.log_softmax(-1), temperature, **how)


def every_code(rows: int) -> Tensor:
    """All C^L codes for each of the rows: (1, C^L, rows, L·C)."""
    codes = torch.tensor(list(product(range(C), repeat=L)))
    return one_hot(codes, C).float().flatten(1)[None, :, None].expand(-1, -1, rows, -1)


def test_kl_and_log_prob_agree_with_enumeration() -> None:
    q, prior = posterior(), Uniform(2, L, C)
    codes = every_code(N).expand(2, -1, -1, -1)
    log_q, log_p = q.log_prob(codes).sum(-1), prior.log_prob(codes).sum(-1)
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(2, N))
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(2, N))
    enumerated = (log_q.exp() * (log_q - log_p)).sum(1)
    torch.testing.assert_close(prior.kl(q, codes).sum(-1), enumerated)
    assert (q.kl() >= 0).all()
    assert (q.kl() <= math.log(C)).all()


def test_hard_draws_come_as_often_as_they_should() -> None:
    q = posterior()
    draws = quasi_normal_draws(8192, L * C, 0, standardised=False)
    z = q.rsample(draws[:, None])
    assert set(z.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(z.mean(1), q.mu, atol=0.01, rtol=0)


def test_rare_categories_are_drawn_by_few_draws_too() -> None:
    """Over the seeds, four draws choose a category of probability 1 % in 1 % of the cases."""
    log_probs = torch.tensor([0.99, 0.01]).log().expand(1, 1, 1, 2)
    q = CategoricalLatents(log_probs, 1.0, hard=True)
    seeds = [quasi_normal_draws(4, 2, seed, standardised=False) for seed in range(5000)]
    rare = q.rsample(torch.cat(seeds)[:, None])[..., 1].mean()
    assert float(rare) == pytest.approx(0.01, abs=0.003)


def test_relaxed_draws_lie_in_the_simplex_and_end_as_hard_ones() -> None:
    noise = torch.randn(64, 1, L * C, generator=torch.Generator().manual_seed(1))
    relaxed = posterior(0.5, hard=False).rsample(noise).unflatten(-1, (L, C))
    assert ((relaxed > 0) & (relaxed < 1)).any()
    torch.testing.assert_close(relaxed.sum(-1), torch.ones_like(relaxed[..., 0]))
    cold = posterior(1e-4, hard=False).rsample(noise)
    agree = (cold - posterior().rsample(noise)).abs().amax(-1) < 1e-3
    assert agree.float().mean() > 0.99


def test_the_gradient_of_hard_draws_is_exact_for_quadratic_functions() -> None:
    """ReinMax, averaged over all codes by their probability; f knows products of latents too."""
    g = torch.Generator().manual_seed(2)
    logits = torch.randn(1, 1, L, C, generator=g).requires_grad_()
    square, line = torch.randn(L * C, L * C, generator=g), torch.randn(L * C, generator=g)

    def f(z: Tensor) -> Tensor:
        return ((z @ square) * z).sum(-1) + z @ line

    codes = every_code(1)
    q = CategoricalLatents(logits.log_softmax(-1), 1.0, hard=True, straight_through=True)
    probability = q.log_prob(codes).sum(-1).exp()
    (exact,) = torch.autograd.grad((probability * f(codes)).sum(), logits, retain_graph=True)
    estimate = torch.zeros_like(logits)
    for code, weight in zip(codes[0], probability[0].detach(), strict=True):
        # noise that makes this code win whatever the probabilities
        z = q.rsample(20 * (code - 0.5)[None, None])
        torch.testing.assert_close(z[0, 0], code)
        estimate += weight * torch.autograd.grad(f(z).sum(), logits, retain_graph=True)[0]
    torch.testing.assert_close(estimate, exact, atol=1e-4, rtol=1e-4)


def test_hard_draws_are_the_same_with_and_without_a_gradient() -> None:
    noise = torch.randn(8, 1, L * C, generator=torch.Generator().manual_seed(1))
    with_gradient = posterior(straight_through=True).rsample(noise)
    torch.testing.assert_close(with_gradient, posterior().rsample(noise), atol=1e-6, rtol=0)


def autoregressive(latents: int = L) -> Autoregressive:
    """A prior far from the uniform one that it starts as."""
    g = torch.Generator().manual_seed(5)
    learned = AutoregressivePrior(2, latents, C, g)
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=g))
    return learned.distribution(lambda rows: posterior())


def test_the_autoregressive_prior_starts_uniform_and_sums_to_one() -> None:
    codes = every_code(1).expand(2, -1, -1, -1)
    fresh = AutoregressivePrior(2, L, C, torch.Generator()).distribution(lambda rows: posterior())
    torch.testing.assert_close(fresh.log_prob(codes), Uniform(2, L, C).log_prob(codes))
    total = autoregressive().log_prob(codes).sum(-1).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(2, 1))


def test_an_autoregressive_latent_hears_of_earlier_ones_only() -> None:
    prior = autoregressive(latents=4)
    z = torch.randint(C, (2, 1, 5, 4), generator=torch.Generator().manual_seed(0))
    before = prior.log_prob(one_hot(z, C).float().flatten(3))
    z[..., 2] = (z[..., 2] + 1) % C
    moved = (prior.log_prob(one_hot(z, C).float().flatten(3)) - before).abs().amax((0, 1, 2)) > 0
    assert moved.tolist() == [False, False, True, True]


def test_autoregressive_draws_come_as_often_as_they_should() -> None:
    prior, codes = autoregressive(), every_code(1).expand(2, -1, -1, -1)
    drawn = prior.sample(20_000, torch.Generator().manual_seed(0))
    seen = (drawn == codes).all(-1).float().mean(2)  # each code against each draw
    torch.testing.assert_close(
        seen, prior.log_prob(codes).sum(-1).exp()[..., 0], atol=0.015, rtol=0
    )


def test_the_autoregressive_kl_agrees_with_enumeration() -> None:
    q, prior = posterior(), autoregressive()
    codes = every_code(N).expand(2, -1, -1, -1)
    log_q, log_p = q.log_prob(codes).sum(-1), prior.log_prob(codes).sum(-1)
    exact = (log_q.exp() * (log_q - log_p)).sum(1)
    z = q.rsample(quasi_normal_draws(4096, L * C, 0, standardised=False)[:, None])
    torch.testing.assert_close(prior.kl(q, z).sum(-1), exact, atol=0.02, rtol=0.02)


def model_with_exact_posterior() -> tuple[Model, Tensor, Tensor]:
    """One latent of C categories: the posterior, then log p(x), by Bayes' rule over all of them."""
    config = ModelConfig(
        variant="discrete", members=1, latent_dim=1, categories=C, hidden=(16,), draws=4096
    )
    model = build_model(LAYOUT, config, 3).eval()
    x = torch.randn(1, N, LAYOUT.width, generator=torch.Generator().manual_seed(0))
    codes = torch.eye(C)[None, :, None].expand(-1, -1, N, -1)
    with torch.no_grad():
        joint = model.likelihood.log_prob(model.decode(codes), x[:, None]).value.sum(-1)
    joint = joint - math.log(C)
    log_probs = joint.log_softmax(1).transpose(1, 2).unsqueeze(2)
    model.encode = lambda rows: CategoricalLatents(log_probs, 1.0, hard=True)  # type: ignore[method-assign]
    return model, x, joint.logsumexp(1)[0]


@torch.no_grad()
def test_elbo_is_log_p_at_the_true_posterior_and_below_it_elsewhere() -> None:
    model, x, exact = model_with_exact_posterior()
    elbo = elbo_parts(model, x, model.draws[:, None]).elbo[0]
    torch.testing.assert_close(elbo, exact, atol=0.02, rtol=0)
    flat = torch.zeros(1, N, 1, C).log_softmax(-1)
    model.encode = lambda rows: CategoricalLatents(flat, 1.0, hard=True)  # type: ignore[method-assign]
    assert (elbo_parts(model, x, model.draws[:, None]).elbo[0] < exact).all()


def test_training_cools_relaxed_codes_and_scores_take_hard_ones() -> None:
    config = ModelConfig(
        variant="discrete", members=2, latent_dim=2, hidden=(16,), straight_through=False
    )
    model = build_model(LAYOUT, config)
    assert isinstance(model, DiscreteVAE)
    x = torch.randn(200, LAYOUT.width, generator=torch.Generator().manual_seed(0))
    assert model.temperature == 1.0
    seen = []
    train(
        model,
        x,
        x[:50],
        TrainConfig(max_steps=100),
        report=lambda _: seen.append(model.temperature),
    )
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == pytest.approx(0.3, rel=0.05)
    noise = model.draws[:, None]
    assert set(run(model, x[None], noise).z.unique().tolist()) == {0.0, 1.0}
    assert len(run(model.train(), x[None], noise).z.unique()) > 100


def test_no_latent_settles_on_one_value_for_all_rows() -> None:
    """What is usual of all rows, here 24 columns that are nearly constant, needs no code."""
    g = torch.Generator().manual_seed(0)
    layout = Layout(0, 32, (), ())
    shares = torch.tensor([0.98] * 12 + [0.02] * 12)
    usual = (torch.rand(2000, 24, generator=g) < shares).float()
    groups = (torch.rand(2000, 4, generator=g) < 0.5).float().repeat(1, 2)
    x = torch.cat([usual, groups, torch.zeros(2000, layout.width - 32)], dim=1)
    config = ModelConfig(
        variant="discrete", members=2, latent_dim=12, categories=2, prior="autoregressive"
    )
    model = build_model(layout, config)
    train(model, x, x[:200], TrainConfig(learning_rate=8e-3, max_steps=200, patience=100))
    with torch.no_grad():
        shares_of_values = model.eval().encode(x[None]).mu.mean(1)  # (K, L·C)
    assert (shares_of_values > 0.02).all()


@pytest.mark.slow
def test_the_elbo_of_training_is_that_of_scores() -> None:
    """Relaxed codes carry more than hard ones can: a long training lives on the difference."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(500, 3, generator=g) @ torch.randn(3, D, generator=g)
    x = torch.nn.functional.pad(x, (0, LAYOUT.width - D))
    gaps = {}
    for hard in (True, False):
        config = ModelConfig(
            variant="discrete", members=1, latent_dim=3, hidden=(32,), straight_through=hard
        )
        model = build_model(LAYOUT, config)
        train(model, x, x[:100], TrainConfig(max_steps=800, patience=1000))
        noise = torch.randn(1, 64, len(x), model.draws.shape[1], generator=g)
        with torch.no_grad():
            scored = elbo_parts(model, x[None], noise).elbo.mean()
            trained = elbo_parts(model.train(), x[None], noise).elbo.mean()
        gaps[hard] = float(trained - scored)
    assert gaps[True] == pytest.approx(0.0, abs=1e-5)
    assert gaps[False] > 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": 1}, "at least 2 categories"),
        ({"temperature": (1.0, 0.0)}, "temperatures must be positive"),
        ({"prior": "vamp"}, "'discrete' takes no prior 'vamp'"),
    ],
)
def test_a_wrong_shape_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(LAYOUT, ModelConfig(variant="discrete", **change))
