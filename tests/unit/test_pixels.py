"""Likelihoods of pictures: normalised where they say so, finite at black and white."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli

from vae_core import ModelConfig, TrainConfig, build_model, diagnose, train
from vae_core.columns import Layout
from vae_core.likelihoods import (
    PIXELS,
    ContinuousBernoulli,
    CrossEntropy,
    Likelihood,
    LogisticMixture,
)
from vae_core.likelihoods.image import image_likelihood

SHAPES = [(1, 3, 4), (3, 2, 2)]
LEVELS = torch.arange(256) / 255


def parameters_of(likelihood: Likelihood, rows: int, scale: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 1, rows, likelihood.parameter_width)
    return scale * torch.randn(shape, generator=generator)


def pictures(kind: str, rows: int, cells: int) -> Tensor:
    """(1, 1, N, W): black, white, then random levels."""
    generator = torch.Generator().manual_seed(1)
    high = 2 if kind == "bernoulli" else 256
    levels = torch.randint(high, (rows, cells), generator=generator) / (high - 1)
    levels[0], levels[1] = 0.0, 1.0
    return levels[None, None]


@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_keeps_the_contract(kind: str, shape: tuple[int, int, int]) -> None:
    image = image_likelihood(kind, shape, members=2)
    cells, rows = math.prod(shape), 40
    parameters = parameters_of(image, rows, 1.0)
    x = pictures(kind, rows, cells)
    assert image.log_prob(parameters, x).shape == (2, 1, rows, 1)
    assert image.pixels.log_prob(parameters, x).shape == (2, 1, rows, cells)
    assert image.squared_error(parameters, x).shape == (2, 1, rows, 1)
    mean = image.mean(parameters)
    drawn = image.sample(parameters, torch.Generator().manual_seed(2))
    assert mean.shape == drawn.shape == (2, 1, rows, cells)
    if kind != "gaussian":
        assert 0 <= mean.min() <= mean.max() <= 1
        assert 0 <= drawn.min() <= drawn.max() <= 1
    if image.pixels.discrete:
        assert image.log_prob(parameters, x).max() <= 0
        assert image.log_jacobian == 0
    elif image.density:
        assert image.log_jacobian == pytest.approx(-cells * math.log(255))


@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_values_and_gradients_are_finite_at_black_and_white(
    kind: str, shape: tuple[int, int, int], scale: float
) -> None:
    image = image_likelihood(kind, shape, members=2)
    parameters = parameters_of(image, 30, scale).requires_grad_()
    value = image.log_prob(parameters, pictures(kind, 30, math.prod(shape)))
    mean = image.mean(parameters)
    (value.sum() + mean.sum()).backward()
    assert parameters.grad is not None
    assert torch.isfinite(value).all() and torch.isfinite(parameters.grad).all()


def test_continuous_bernoulli_is_that_of_torch() -> None:
    likelihood = ContinuousBernoulli(1)
    eta = torch.tensor([-15.0, -3.0, -1.01, -0.99, -0.3, -1e-4, 0.0, 1e-6, 0.2, 0.7, 1.5, 9.0])
    x = torch.linspace(0, 1, 7)[:, None, None, None]
    expected = TorchContinuousBernoulli(logits=eta.double(), lims=(0.4999, 0.5001))
    torch.testing.assert_close(
        likelihood.log_prob(eta, x).double(), expected.log_prob(x.double()), atol=2e-6, rtol=1e-5
    )
    torch.testing.assert_close(likelihood.mean(eta).double(), expected.mean, atol=2e-6, rtol=1e-5)


def test_continuous_bernoulli_integrates_to_one_and_has_its_mean() -> None:
    likelihood = ContinuousBernoulli(1)
    eta = torch.cat([torch.linspace(-16, 16, 129), torch.tensor([-1.0, 1.0, 0.999, 1.001])])
    # the midpoint rule
    x = ((torch.arange(20_000) + 0.5) / 20_000)[:, None]
    density = likelihood.log_prob(eta, x).double().exp()
    torch.testing.assert_close(density.mean(0), torch.ones(len(eta)).double(), atol=1e-5, rtol=0)
    mean = (density * x).mean(0)
    torch.testing.assert_close(likelihood.mean(eta).double(), mean, atol=1e-5, rtol=0)
    drawn = likelihood.sample(eta.expand(50_000, -1), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.double().mean(0), mean, atol=6e-3, rtol=0)


def test_cross_entropy_is_no_density() -> None:
    x = ((torch.arange(2000) + 0.5) / 2000)[:, None]
    logits = torch.tensor([-2.0, 0.0, 3.0])
    total = CrossEntropy(3).log_prob(logits, x).exp().mean(0)
    assert (total < 0.9).all()
    # the repaired density differs by what depends on the decoder's output alone
    difference = ContinuousBernoulli(3).log_prob(logits, x) - CrossEntropy(3).log_prob(logits, x)
    torch.testing.assert_close(difference, difference[:1].expand_as(difference))


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_probabilities_of_all_levels_sum_to_one(scale: float) -> None:
    likelihood = LogisticMixture((1, 2, 3))
    parameters = parameters_of(likelihood, 20, scale)
    every = LEVELS[:, None, None, None, None].expand(256, 1, 1, 20, 6)
    total = likelihood.log_prob(parameters[None].double(), every.double()).exp().sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-6, rtol=0)


def test_channels_depend_on_those_before_them_and_their_terms_multiply() -> None:
    likelihood = LogisticMixture((3, 1, 1), components=2)
    parameters = parameters_of(likelihood, 1, 2.0)[:1].double()
    # given the first two channels, the levels of the third sum to one
    x = torch.zeros(256, 1, 1, 1, 3, dtype=torch.float64)
    x[..., 0], x[..., 1], x[..., 2] = 0.2, 0.6, LEVELS[:, None, None, None]
    terms = likelihood.log_prob(parameters[None], x)
    assert terms[..., 2].exp().sum().item() == pytest.approx(1.0, abs=1e-6)
    x[..., 2], x[..., 1] = 0.2, LEVELS[:, None, None, None].double()
    other = likelihood.log_prob(parameters[None], x)
    assert other[..., 1].exp().sum().item() == pytest.approx(1.0, abs=1e-6)
    assert other[..., 2].std() > 0.01  # the third channel's term moves with the second
    assert other[..., 0].std() < 1e-9  # the first one's does not


@pytest.mark.parametrize("shape", SHAPES)
def test_drawn_levels_have_the_frequencies_they_should(shape: tuple[int, int, int]) -> None:
    likelihood = LogisticMixture(shape, components=2)
    parameters = parameters_of(likelihood, 1, 1.0)[:1].expand(1, 1, 20_000, -1)
    drawn = likelihood.sample(parameters, torch.Generator().manual_seed(0))
    levels = drawn * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    # the mean surprise of drawn pictures is the entropy; of the first cell it can be counted
    every = LEVELS[:, None, None, None, None].expand(256, 1, 1, 1, math.prod(shape))
    first = likelihood.log_prob(parameters[None, :, :, :1], every)[:, 0, 0, 0, 0]
    entropy = -(first.exp() * first).sum().item()
    seen = -likelihood.log_prob(parameters, drawn)[..., 0].mean().item()
    assert seen == pytest.approx(entropy, abs=0.05)


def test_bits_per_dimension_need_levels() -> None:
    mixture = image_likelihood("logistic_mixture", (1, 2, 2), members=1)
    nats = torch.tensor([-4 * math.log(256)])
    assert mixture.bits_per_dimension(nats).item() == pytest.approx(8.0)
    for kind in ("gaussian", "continuous_bernoulli", "bce"):
        with pytest.raises(ValueError, match="logistic_mixture"):
            image_likelihood(kind, (1, 2, 2), members=1).bits_per_dimension(nats)


def test_which_kinds_are_densities() -> None:
    flags = {
        kind: (made.density, made.pixels.discrete)
        for kind in PIXELS
        for made in [image_likelihood(kind, (1, 2, 2), members=1)]
    }
    assert flags == {
        "gaussian": (True, False),
        "bernoulli": (True, True),
        "continuous_bernoulli": (True, False),
        "bce": (False, False),
        "logistic_mixture": (True, True),
    }


def test_unknown_kinds_list_what_is_known() -> None:
    with pytest.raises(ValueError, match=r"unknown likelihood 'gausian'.*continuous_bernoulli"):
        image_likelihood("gausian", (1, 2, 2), members=1)


@pytest.mark.parametrize("kind", PIXELS)
def test_only_a_likelihood_of_binary_pictures_refuses_grey_ones(kind: str) -> None:
    image, grey = image_likelihood(kind, (1, 2, 2), members=1), torch.full((3, 4), 0.5)
    image.check(grey.round())
    if kind == "bernoulli":
        with pytest.raises(ValueError, match="these are grey"):
            image.check(grey)
    else:
        image.check(grey)


@pytest.mark.slow
def test_a_default_vae_uses_its_latent_on_grey_pictures() -> None:
    x = torch.from_numpy(load_digits().images.reshape(-1, 64) / 16).float()
    layout = Layout(0, 0, (), (), image=(1, 8, 8))
    model = build_model(layout, ModelConfig(members=2))
    train(model, x[:1300], x[1300:1500], TrainConfig(max_steps=200))
    health = diagnose(model, x[1500:])
    assert health["active_units"] > 10
    assert health["decoder_variance_at_bound"] == 0
    # σ follows the decoder's error, as the analytic optimum of a batch would
    scaled = model.likelihood.scaled
    assert scaled is not None and (scaled.log_variance < math.log(0.06)).all()
