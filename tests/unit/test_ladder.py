"""The ladder of latents against a linear-Gaussian hierarchy and against the plain VAE."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from vae_core import ModelConfig, build_model
from vae_core.columns import Layout
from vae_core.latents import DiagonalGaussian, Ladder, quasi_normal_draws
from vae_core.latents.ladder import below
from vae_core.models import HierarchicalVAE
from vae_core.objectives import elbo_parts
from vae_core.priors import LadderPrior

D, WIDTHS, VARIANCE = 5, (2, 1), 0.3
LAYOUT = Layout(D, 0, (), ())


def hierarchical(**shape: object) -> HierarchicalVAE:
    fields = {"members": 1, "hidden": (), "ladder": WIDTHS, "draws": 1024} | shape
    model = build_model(LAYOUT, ModelConfig(variant="hierarchical", **fields), 1)
    assert isinstance(model, HierarchicalVAE)
    return model.requires_grad_(False)


def rows(count: int = 30) -> Tensor:
    """Near 0, where the encoder's bend of large values is the identity."""
    x = torch.zeros(1, count, LAYOUT.width)
    x[..., :D] = 0.2 * torch.randn(count, D, generator=torch.Generator().manual_seed(2))
    return x


def test_elbo_is_log_p_at_the_true_posterior() -> None:
    """x = W z_1 + ε, z_1 = a z_2 + c + s ⊙ δ, z_2 ~ N(0, 1), with orthogonal columns of W."""
    generator = torch.Generator().manual_seed(0)
    length = torch.tensor([1.5, 0.7])
    weight = torch.linalg.qr(torch.randn(D, 2, generator=generator)).Q * length
    a, c, s = torch.tensor([0.9, -0.6]), torch.tensor([0.3, 0.2]), torch.tensor([0.5, 0.8])
    given = weight @ torch.diag(s.square()) @ weight.T + VARIANCE * torch.eye(D)
    inverse = torch.linalg.inv(given)
    precision = 1 + (weight @ a) @ inverse @ (weight @ a)
    slope = inverse @ (weight @ a) / precision
    model = hierarchical()
    model.likelihood.scaled.raw_log_variance.fill_(math.log(VARIANCE))
    (decoder,), (encoder,), (step,) = (
        net.layers for net in (model.decoder, model.encoder, model.steps[0])
    )
    decoder.weight[0, :, :D] = weight.T
    step.weight[0, 0, :4] = torch.cat([a, torch.zeros(2)])
    step.bias[0, 0, :4] = torch.cat([c, 2 * s.log()])
    encoder.weight.zero_()
    encoder.weight[0, :D, :2] = weight / length.square()
    encoder.bias[0, 0, 2:4] = (VARIANCE / length.square()).log()
    encoder.weight[0, :D, 4] = slope
    encoder.bias[0, 0, 4] = -slope @ weight @ c
    encoder.bias[0, 0, 5] = -precision.log()
    x = rows()
    parts = elbo_parts(model, x, model.draws[:, None])
    exact = MultivariateNormal(weight @ c, given + torch.outer(weight @ a, weight @ a))
    torch.testing.assert_close(parts.elbo[0], exact.log_prob(x[0, :, :D]), atol=4e-3, rtol=1e-4)
    encoder.bias[0, 0, 4] += 1.0
    moved = elbo_parts(model, x, model.draws[:, None])
    assert (moved.elbo[0] < parts.elbo[0] - 0.1).all()


def test_with_one_informative_layer_it_is_the_plain_vae() -> None:
    """The top layer says nothing and is told nothing: p(z_1|z_2) = N(0, I), q(z_2|x) = N(0, 1)."""
    ladder = hierarchical(hidden=(16,))
    *_, last = ladder.steps[0].layers
    last.weight.zero_()
    *_, last = ladder.encoder.layers
    last.weight[..., 4:] = 0
    plain = build_model(LAYOUT, ModelConfig(members=1, hidden=(16,), latent_dim=2, draws=2))
    plain.decoder.load_state_dict(ladder.decoder.state_dict())
    x = rows()
    evidence = ladder.encode(x).evidence[0]
    precision = 1 + torch.exp(-evidence.logvar)
    mean = evidence.mu * torch.exp(-evidence.logvar) / precision
    plain.encode = lambda _: DiagonalGaussian(mean, -precision.log())  # type: ignore[method-assign]
    noise = torch.randn(8, 1, 3, generator=torch.Generator().manual_seed(0))
    got, expected = elbo_parts(ladder, x, noise), elbo_parts(plain, x, noise[..., :2])
    torch.testing.assert_close(got.elbo, expected.elbo)
    torch.testing.assert_close(got.kl[..., :2], expected.kl)
    assert got.kl[..., 2].abs().max() < 1e-6
    torch.testing.assert_close(ladder.encode(x).mu[..., :2], mean)


def deep() -> HierarchicalVAE:
    return hierarchical(members=3, hidden=(16,), ladder=(4, 3, 2))


def test_kl_in_closed_form_agrees_with_monte_carlo() -> None:
    model, x = deep(), rows(5)
    posterior, prior = model.encode(x), model.prior()
    noise = torch.randn(40_000, 1, 9, generator=torch.Generator().manual_seed(0))
    z = posterior.rsample(noise)
    sampled = (posterior.log_prob(z) - prior.log_prob(z)).mean(1)
    torch.testing.assert_close(prior.kl(posterior, z), sampled, atol=0.02, rtol=0.05)


def test_the_density_of_the_posterior_is_that_of_its_draws() -> None:
    """By the chain of layers; the noise that made a draw gives it back."""
    model, x = deep(), rows(5)
    posterior: Ladder = model.encode(x)
    noise = torch.randn(16, 1, 9, generator=torch.Generator().manual_seed(0))
    z = posterior.rsample(noise)
    parts = [(own[:, 0], q) for own, q, _ in posterior.layers(z)]
    for (own, q), eps in zip(parts, noise[:, 0].split([4, 3, 2], dim=-1), strict=False):
        made = ((own - q.mu) * torch.exp(-0.5 * q.logvar)).unflatten(1, (16, 5))
        torch.testing.assert_close(made, eps[None, :, None].expand_as(made), atol=1e-3, rtol=1e-3)
    scales = [torch.exp(0.5 * q.logvar).unflatten(1, (16, 5)) for _, q in parts]
    top = torch.exp(0.5 * posterior.top.logvar)[:, None].expand(-1, 16, -1, -1)
    expected = Normal(0.0, 1.0).log_prob(noise) - torch.cat([*scales, top], dim=-1).log()
    torch.testing.assert_close(posterior.log_prob(z), expected, atol=1e-3, rtol=1e-3)
    some = posterior.of(slice(1, 3))
    torch.testing.assert_close(some.log_prob(z[1:]), posterior.log_prob(z)[1:])
    torch.testing.assert_close(some.mu, posterior.mu[1:])


def test_the_prior_draws_what_it_says() -> None:
    model = deep()
    prior = model.prior()
    z = prior.sample(50_000, torch.Generator().manual_seed(0))
    assert z.shape == (3, 1, 50_000, 9)
    # E_p[log p] is minus the entropy: of each layer given the one above, then of the top one
    layers = z[:, 0].split([4, 3, 2], dim=-1)
    spreads = [
        below(step, up).logvar.mean(1) for step, up in zip(model.steps, layers[1:], strict=True)
    ]
    logvar = torch.cat([*spreads, torch.zeros(3, 2)], dim=-1)
    expected = -0.5 * (logvar + math.log(2 * math.pi * math.e))
    torch.testing.assert_close(prior.log_prob(z)[:, 0].mean(1), expected, atol=0.02, rtol=0.01)


def test_priors_stand_above_the_top_layer() -> None:
    model = hierarchical(hidden=(16,), ladder=(4, 3), prior="vamp", components=5)
    prior = model.prior()
    assert isinstance(prior, LadderPrior)
    assert prior.sample(7, torch.Generator().manual_seed(0)).shape == (1, 1, 7, 7)
    x, noise = rows(5), quasi_normal_draws(8, 7, 0)[:, None]
    kl = elbo_parts(model, x, noise).kl
    assert kl.shape == (1, 5, 5)  # one term per latent below, one for the mixture


@pytest.mark.parametrize("ladder", [(3,), (3, 0)])
def test_a_ladder_has_two_layers_or_more(ladder: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least two layers"):
        hierarchical(ladder=ladder)


def test_by_default_the_upper_layer_is_half_as_wide() -> None:
    assert hierarchical(ladder=(), latent_dim=8).widths == (8, 4)
    assert hierarchical(ladder=(), latent_dim=1).widths == (1, 1)
