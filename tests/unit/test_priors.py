"""Priors against closed forms, and flows against numerical integrals."""

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import Normal, kl_divergence

from vae_core import ModelConfig, TrainConfig, build_model, train
from vae_core.columns import Layout
from vae_core.latents import DiagonalGaussian, FlowPosterior, quasi_normal_draws
from vae_core.models import Model
from vae_core.networks.flow import Flow
from vae_core.objectives import elbo_parts
from vae_core.priors import MixturePrior, StandardNormal, VampPrior
from vae_core.priors.em import fit_mixture

K, L, N = 2, 3, 30
LAYOUT = Layout(5, 0, (), ())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def posterior(rows: int = N, seed: int = 0) -> DiagonalGaussian:
    g = generator(seed)
    mu = torch.randn(K, rows, L, generator=g)
    return DiagonalGaussian(mu, torch.randn(K, rows, L, generator=g) - 1)


def no_encoder(rows: Tensor) -> DiagonalGaussian:
    raise AssertionError("this prior needs no encoder")


def bent(flow: Flow) -> Flow:
    """A flow far from the identity it starts as."""
    g = generator(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.08 * torch.randn(parameter.shape, generator=g))
    return flow


def trained(prior: str, variant: str = "vae", steps: int = 60, **more: int) -> tuple[Model, Tensor]:
    """A model of rows in two clumps, and the rows."""
    g = generator()
    sides = torch.randint(2, (400, 1), generator=g) * 4.0 - 2.0
    x = torch.nn.functional.pad(sides + 0.3 * torch.randn(400, 5, generator=g), (0, 3))
    config = ModelConfig(
        variant, members=2, denoisers=0, hidden=(16,), latent_dim=2, prior=prior, **more
    )
    model = build_model(LAYOUT, config)
    train(model, x, x[:100], TrainConfig(max_steps=steps))
    model.fit_prior(x, 0)
    return model, x


def test_a_mixture_of_one_standard_normal_is_the_normal_prior() -> None:
    prior = MixturePrior(K, L, 1)
    prior.fitted.fill_(True)
    one, normal = prior.distribution(no_encoder), StandardNormal(K, L)
    q, noise = posterior(), quasi_normal_draws(64, L, 0)[:, None]
    z = q.rsample(noise)
    torch.testing.assert_close(one.log_prob(z)[..., 0], normal.log_prob(z).sum(-1))
    # the draws are standardised: the expectation of a quadratic function is exact
    expected = normal.kl(q, z).sum(-1)
    torch.testing.assert_close(one.kl(q, z)[..., 0], expected, atol=1e-4, rtol=1e-5)


def test_the_mixture_is_the_normal_prior_until_it_is_fitted() -> None:
    assert isinstance(MixturePrior(K, L, 8).distribution(no_encoder), StandardNormal)


def test_the_mixture_finds_the_clumps_and_raises_the_elbo() -> None:
    with_mixture, x = trained("mixture", components=8)
    plain, _ = trained("normal")
    mixture = with_mixture.prior()
    used = mixture.log_weights.exp() > 0.01
    assert (used.sum(1) >= 2).all()
    noise = with_mixture.draws[:, None]
    with torch.no_grad():
        before = elbo_parts(plain, x[None], noise).elbo
        after = elbo_parts(with_mixture, x[None], noise).elbo
    assert (after.mean(1) > before.mean(1)).all()


def test_a_second_fit_starts_anew() -> None:
    model, x = trained("mixture", components=8)
    before = {k: v.clone() for k, v in model.latent_prior.state_dict().items()}
    model.fit_prior(x, 0)
    assert all(torch.equal(v, before[k]) for k, v in model.latent_prior.state_dict().items())


def test_em_recovers_a_known_mixture() -> None:
    g = generator(2)
    middle = torch.tensor([[-4.0, 0.0], [4.0, 1.0]], dtype=torch.float64)
    spread = torch.tensor([[0.5, 1.0], [1.5, 0.2]], dtype=torch.float64)
    which = (torch.rand(20_000, generator=g) < 0.25).long()
    z = middle[which] + spread[which] * torch.randn(20_000, 2, generator=g, dtype=torch.float64)
    found = fit_mixture(z, 2, g)
    order = found.mu[:, 0].argsort()
    torch.testing.assert_close(found.mu[order], middle, atol=0.05, rtol=0)
    torch.testing.assert_close(found.logvar[order].exp().sqrt(), spread, atol=0.05, rtol=0)
    weights = torch.tensor([0.75, 0.25], dtype=torch.float64)
    torch.testing.assert_close(found.log_weights[order].exp(), weights, atol=0.02, rtol=0)


def test_one_pseudo_row_gives_the_kl_between_two_gaussians() -> None:
    one, q = posterior(1, seed=5), posterior()
    prior = VampPrior(LAYOUT, K, L, 1, generator()).distribution(lambda rows: one)
    z = q.rsample(torch.randn(K, 20_000, N, L, generator=generator(6)))
    scale, other = torch.exp(0.5 * q.logvar), torch.exp(0.5 * one.logvar)
    expected = kl_divergence(Normal(q.mu, scale), Normal(one.mu, other)).sum(-1)
    torch.testing.assert_close(prior.kl(q, z)[..., 0], expected, atol=0.05, rtol=0.03)


def test_pseudo_rows_start_as_training_rows_and_each_member_learns_its_own() -> None:
    prior = VampPrior(LAYOUT, K, L, 50, generator())
    rows = torch.randn(20, LAYOUT.width)
    prior.start(rows, generator())
    gaps = (prior.pseudo_rows[:, :, None] - rows).abs().amax(-1)
    assert (gaps.amin(2) == 0).all()
    assert (gaps.amin(1) == 0).all()  # with more pseudo-rows than rows, each row is one
    assert not torch.equal(prior.pseudo_rows[0], prior.pseudo_rows[1])


@pytest.mark.parametrize("kind", ["vamp", "mixture", "flow"])
def test_densities_integrate_to_one(kind: str) -> None:
    model, _ = trained(kind, components=6)
    prior = model.prior()
    axis = torch.linspace(-9, 9, 250)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = prior.log_prob(grid.expand(2, 1, -1, -1))[:, 0, :, 0].exp()
    total = density.double().sum(1) * (axis[1] - axis[0]).double() ** 2
    torch.testing.assert_close(total, torch.ones(2).double(), atol=0.01, rtol=0)


@pytest.mark.parametrize("kind", ["vamp", "mixture", "flow"])
def test_samples_follow_the_density(kind: str) -> None:
    model, _ = trained(kind, components=6)
    prior = model.prior()
    with torch.no_grad():
        z = prior.sample(20_000, generator(3))
        log_p = prior.log_prob(z)
        assert torch.equal(z, prior.sample(20_000, generator(3)))
    assert z.shape == (2, 1, 20_000, 2)
    # the share of samples in boxes against the integral of the density over them
    axis = torch.linspace(-9, 9, 250)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        density = prior.log_prob(grid.expand(2, 1, -1, -1))[:, 0, :, 0].exp()
    density = density / density.sum(1, keepdim=True)
    for low, high in ((-9, -1), (-1, 0), (0, 1), (1, 9)):
        for latent in (0, 1):
            within = (grid[:, latent] >= low) & (grid[:, latent] < high)
            share = ((z[..., latent] >= low) & (z[..., latent] < high)).float().mean((1, 2))
            torch.testing.assert_close(share, density[:, within].sum(1), atol=0.02, rtol=0)
    # −E log p is the entropy, by samples and by the integral
    entropy = -(density * (density / (axis[1] - axis[0]) ** 2).clamp_min(1e-30).log()).sum(1)
    torch.testing.assert_close(-log_p.mean((1, 2, 3)), entropy, atol=0.05, rtol=0.02)


def test_a_flow_is_inverted_and_knows_its_jacobian() -> None:
    flow = bent(Flow(K, 5, 4, 2, generator()))
    z, context = 2 * torch.randn(K, N, 5), torch.randn(K, N, 2)
    image, logarithm = flow(z, context)
    back, inverse = flow.inverse(image, context)
    assert (image - z).abs().mean() > 0.1
    torch.testing.assert_close(back, z, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(inverse, -logarithm, atol=1e-2, rtol=1e-2)
    for member in range(K):
        for row in range(3):

            def one(point: Tensor, member: int = member, row: int = row) -> Tensor:
                at = z.clone()
                at[member, row] = point
                return flow(at, context)[0][member, row]

            matrix = jacobian(one, z[member, row])
            expected = torch.linalg.slogdet(matrix).logabsdet
            torch.testing.assert_close(logarithm[member, row], expected, atol=1e-3, rtol=1e-3)
    some, _ = flow(z[1:], context[1:], slice(1, 2))
    torch.testing.assert_close(some, image[1:])


def test_a_flow_starts_as_the_identity_and_needs_two_latents() -> None:
    z = torch.randn(K, N, 4)
    image, logarithm = Flow(K, 4, 3, 0, generator())(z)
    torch.testing.assert_close(image, z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logarithm, torch.zeros(K, N), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="two or more, got 1"):
        Flow(K, 1, 3, 0, generator())


def flow_posterior(latent: int = 2) -> FlowPosterior:
    g = generator(4)
    gaussian = DiagonalGaussian(
        torch.randn(K, N, latent, generator=g), 0.3 * torch.randn(K, N, latent, generator=g)
    )
    context = torch.randn(K, N, 3, generator=g)
    return FlowPosterior(gaussian, context, bent(Flow(K, latent, 4, 3, g)))


def test_a_drawn_density_is_that_of_the_inverse() -> None:
    q = flow_posterior(5)
    z = q.rsample(torch.randn(K, 7, N, 5, generator=generator(7)))
    drawn = q.log_prob(z)
    assert drawn.shape == (K, 7, N, 1)
    torch.testing.assert_close(drawn, q.log_prob(z.clone()), atol=1e-2, rtol=1e-3)
    part = q.of(slice(1, 2)).log_prob(z[1:])
    torch.testing.assert_close(part, drawn[1:], atol=1e-2, rtol=1e-3)
    nothing = q.rsample(torch.zeros(1, 1, 1, 5))[:, 0]
    torch.testing.assert_close(q.mu, nothing)


def test_the_posterior_of_a_flow_integrates_to_one() -> None:
    q = flow_posterior()
    axis = torch.linspace(-12, 12, 250)
    grid = torch.cartesian_prod(axis, axis)[None, :, None].expand(K, -1, N, -1)[:, :, :2]
    some = FlowPosterior(
        DiagonalGaussian(q.gaussian.mu[:, :2], q.gaussian.logvar[:, :2]), q.context[:, :2], q.flow
    )
    with torch.no_grad():
        total = some.log_prob(grid)[..., 0].exp().double().sum(1)
    total = total * (axis[1] - axis[0]).double() ** 2
    torch.testing.assert_close(total, torch.ones(K, 2).double(), atol=0.01, rtol=0)


@pytest.mark.slow
def test_a_bent_posterior_and_prior_fit_better_than_gaussian_ones() -> None:
    values = {}
    for variant, prior in (("vae", "normal"), ("vae", "flow"), ("flow", "flow")):
        model, x = trained(prior, variant, steps=300)
        with torch.no_grad():
            noise = torch.randn(1, 64, 1, 2, generator=generator(8))
            values[variant, prior] = elbo_parts(model, x[None], noise).elbo.mean().item()
    assert values["vae", "flow"] > values["vae", "normal"] + 0.1
    assert values["flow", "flow"] > values["vae", "normal"] + 0.1
