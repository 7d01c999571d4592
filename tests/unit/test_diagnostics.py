"""What diagnoses say, against known posteriors."""

import math

import pytest
import torch

from vae_core import Encoding, ModelConfig, NumericColumn, TrainConfig, build_model, diagnose, train
from vae_core.diagnostics import cut_kl
from vae_core.latents import DiagonalGaussian
from vae_core.priors import StandardNormal


def parts(mu: torch.Tensor, logvar: torch.Tensor) -> tuple[float, float, float]:
    posterior = DiagonalGaussian(mu, logvar)
    noise = torch.randn(mu.shape[0], 1, *mu.shape[1:], generator=torch.Generator().manual_seed(1))
    z = posterior.rsample(noise)
    prior = StandardNormal(mu.shape[0], mu.shape[-1])
    cut = cut_kl(posterior, z, prior.log_prob(z))
    mean_kl = posterior.kl().sum(-1).mean()
    return float(cut.mutual_information[0]), float(cut.marginal_kl[0]), float(mean_kl)


def test_a_collapsed_posterior_says_nothing_and_is_the_prior() -> None:
    information, marginal, _ = parts(torch.zeros(1, 400, 3), torch.zeros(1, 400, 3))
    assert information == pytest.approx(0, abs=1e-4)
    assert marginal == pytest.approx(0, abs=1e-4)


def test_codes_far_apart_say_which_row_it_is() -> None:
    mu = 100.0 * torch.arange(200.0)[None, :, None]
    information, _, _ = parts(mu, torch.full_like(mu, -4.0))
    assert information == pytest.approx(math.log(200), abs=1e-3)


def test_a_posterior_elsewhere_is_far_from_the_prior_but_says_nothing() -> None:
    """All rows have q = N(3, 1): the whole KL, 4.5 nats a latent, is the marginal's."""
    information, marginal, kl = parts(torch.full((1, 500, 2), 3.0), torch.zeros(1, 500, 2))
    assert information == pytest.approx(0, abs=1e-4)
    assert kl == pytest.approx(9.0)
    assert marginal == pytest.approx(9.0, abs=0.5)


def test_mutual_information_of_a_linear_gaussian_channel() -> None:
    """mu ~ N(0, 1 − s²) and q = N(mu, s²): q(z) is the prior, I = −log s = the mean KL."""
    s = 0.4
    generator = torch.Generator().manual_seed(0)
    mu = math.sqrt(1 - s**2) * torch.randn(1, 3000, 1, generator=generator)
    information, marginal, kl = parts(mu, torch.full_like(mu, 2 * math.log(s)))
    assert information == pytest.approx(-math.log(s), abs=0.05)
    assert marginal == pytest.approx(0, abs=0.02)
    assert information + marginal == pytest.approx(kl, abs=0.05)


def test_of_a_trained_model_the_parts_add_up_and_come_out_the_same_twice() -> None:
    encoding = Encoding([NumericColumn(name, 0.0, 1.0) for name in "abc"])
    model = build_model(encoding.layout, ModelConfig(members=2, denoisers=1, hidden=(16,)))
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(600, 1, generator=rng)
    x = torch.zeros(600, encoding.layout.width)
    x[:, :3] = z + 0.2 * torch.randn(600, 3, generator=rng)
    train(model, x[:400], x[400:], TrainConfig(max_steps=200))
    health = diagnose(model, x[400:])
    whole = sum(health["kl_per_dimension"])
    assert health["mutual_information"] + health["marginal_kl"] == pytest.approx(whole, rel=0.1)
    assert 0 < health["mutual_information"] < math.log(200)
    assert diagnose(model, x[400:]) == health


def test_an_autoencoder_has_no_kl() -> None:
    encoding = Encoding([NumericColumn("a", 0.0, 1.0)])
    model = build_model(encoding.layout, ModelConfig(variant="autoencoder", members=1))
    health = diagnose(model, torch.randn(50, encoding.layout.width))
    assert "kl_per_dimension" not in health
    assert "marginal_kl" not in health
