"""The ELBO against closed forms: a linear-Gaussian VAE has exact log p(x) and posterior."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_core.columns import Layout
from vae_core.latents import DiagonalGaussian, quasi_normal_draws
from vae_core.likelihoods import Mixed
from vae_core.models import Model, ModelConfig
from vae_core.objectives import ElboParts, elbo_parts, objective
from vae_core.priors import NormalPrior

D, L, N, VARIANCE = 5, 2, 40, 0.3


class LinearGaussian(Model):
    """x = Wz + ε, with orthogonal columns of W so that the true posterior is diagonal."""

    def __init__(self) -> None:
        super().__init__(Layout(D, 0, (), ()), ModelConfig(), 0)
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(D, L, generator=generator)).Q
        self.weight = nn.Parameter(basis * torch.tensor([2.0, 0.7]))
        self.members, self.roles = 1, ModelConfig(members=1).roles
        self.likelihood = Mixed(Layout(D, 0, (), ()), 1)
        with torch.no_grad():
            self.likelihood.scaled.raw_log_variance.fill_(math.log(VARIANCE))
        self.latent_prior = NormalPrior(1, L)
        self.register_buffer("draws", quasi_normal_draws(64, L, 0))
        self.shift = 0.0

    def encode(self, x: Tensor) -> DiagonalGaussian:
        gram = (self.weight.T @ self.weight).diagonal() / VARIANCE
        variance = 1 / (1 + gram)
        mu = x[..., :D] @ self.weight / VARIANCE * variance
        return DiagonalGaussian(mu + self.shift, variance.log().expand_as(mu))

    def decode(self, z: Tensor, x: Tensor | None = None, members: slice = slice(None)) -> Tensor:
        return nn.functional.pad(z @ self.weight.T, (0, 3))


@pytest.fixture
def model() -> LinearGaussian:
    return LinearGaussian()


@pytest.fixture
def x() -> Tensor:
    return nn.functional.pad(
        torch.randn(1, N, D, generator=torch.Generator().manual_seed(1)), (0, 3)
    )


def exact_log_prob(model: LinearGaussian, x: Tensor) -> Tensor:
    covariance = model.weight @ model.weight.T + VARIANCE * torch.eye(D)
    return MultivariateNormal(torch.zeros(D), covariance).log_prob(x[0, :, :D])


def test_elbo_equals_log_p_at_the_true_posterior(model: LinearGaussian, x: Tensor) -> None:
    elbo = elbo_parts(model, x, model.draws[:, None]).elbo[0]
    torch.testing.assert_close(elbo, exact_log_prob(model, x), atol=2e-3, rtol=1e-4)


def test_elbo_is_below_log_p_elsewhere_by_the_posterior_gap(
    model: LinearGaussian, x: Tensor
) -> None:
    true = model.encode(x)
    model.shift = 0.5
    elbo = elbo_parts(model, x, model.draws[:, None]).elbo[0]
    gap = exact_log_prob(model, x) - elbo
    moved = model.encode(x)
    scale = torch.exp(0.5 * true.logvar)
    expected = kl_divergence(Normal(moved.mu, scale), Normal(true.mu, scale)).sum(-1)[0]
    assert (gap > 0).all()
    torch.testing.assert_close(gap, expected, atol=5e-3, rtol=1e-3)


def test_importance_weighted_bound_rises_with_draws(model: LinearGaussian, x: Tensor) -> None:
    model.shift = 0.5
    posterior = model.encode(x)
    noise = torch.randn(1, 4096, 1, L, generator=torch.Generator().manual_seed(2))
    z = posterior.rsample(noise)
    value, _ = model.likelihood.log_prob(model.decode(z), x[:, None])
    log_weight = (
        value.sum(-1) + Normal(0.0, 1.0).log_prob(z).sum(-1) - posterior.log_prob(z).sum(-1)
    )
    bounds = [
        (log_weight.unflatten(1, (-1, s)).logsumexp(2) - math.log(s)).mean().item()
        for s in (1, 8, 64, 512)
    ]
    assert bounds == sorted(bounds)
    assert bounds[-1] <= exact_log_prob(model, x).mean().item() + 1e-3


def test_kl_agrees_with_torch_and_monte_carlo() -> None:
    generator = torch.Generator().manual_seed(0)
    q = DiagonalGaussian(
        torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)
    )
    standard = Normal(0.0, 1.0)
    exact = kl_divergence(Normal(q.mu, torch.exp(0.5 * q.logvar)), standard)
    torch.testing.assert_close(q.kl(), exact)
    z = q.rsample(torch.randn(2, 20_000, 3, 4, generator=generator))
    sampled = (q.log_prob(z) - standard.log_prob(z)).mean(1)
    torch.testing.assert_close(sampled, exact, atol=0.1, rtol=0.05)


def test_draws_are_centred_and_standardised() -> None:
    draws = quasi_normal_draws(8, 5, seed=3)
    torch.testing.assert_close(draws.mean(0), torch.zeros(5), atol=1e-6, rtol=0)
    torch.testing.assert_close(draws.square().mean(0), torch.ones(5))
    assert torch.equal(draws, quasi_normal_draws(8, 5, seed=3))
    with pytest.raises(ValueError, match="even"):
        quasi_normal_draws(3, 5, seed=0)


def test_beta_and_free_bits_belong_to_the_objective_only() -> None:
    parts = ElboParts(torch.tensor([[-3.0, -5.0]]), torch.tensor([[[0.5, 2.0], [0.1, 4.0]]]))
    assert objective(parts, beta=torch.tensor([1.0])).item() == pytest.approx(4 + 0.3 + 3)
    assert objective(parts, beta=torch.tensor([0.1])).item() == pytest.approx(4 + 0.33)
    assert objective(parts, torch.tensor([1.0]), free_bits=1.0).item() == pytest.approx(4 + 1 + 3)
    joint = ElboParts(parts.reconstruction_log_prob, parts.kl, latents=5)
    assert joint.group_sizes.tolist() == [1, 4]
    assert objective(joint, torch.tensor([1.0]), free_bits=1.0).item() == pytest.approx(4 + 1 + 4)
    assert objective(parts, torch.tensor([1.0])).item() == pytest.approx(-parts.elbo.mean().item())
