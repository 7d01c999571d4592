"""Likelihoods against torch.distributions, and their common contract."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, t
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Normal
from torch.distributions import StudentT as TorchStudentT

from vae_core.columns import Layout
from vae_core.likelihoods import Bernoulli, Categorical, Gaussian, Mixed, StudentT
from vae_core.likelihoods.usual import usual_outputs

K, S, N = 2, 3, 50
LAYOUT = Layout(numeric=2, binary=1, categories=(4, 3), nullable=(0, 3))


def rows(generator: torch.Generator) -> torch.Tensor:
    """(1, 1, N, W) rows of `LAYOUT`, every fifth numeric and category cell missing."""
    x = torch.zeros(N, LAYOUT.width)
    x[:, :2] = torch.randn(N, 2, generator=generator)
    x[:, 2] = torch.randint(2, (N,), generator=generator).float()
    for block in LAYOUT.one_hots:
        codes = torch.randint(block.stop - block.start, (N,), generator=generator)
        x[torch.arange(N), block.start + codes] = 1.0
    x[:, LAYOUT.mask] = 1.0
    x[::5, 0] = 0
    x[::5, LAYOUT.one_hots[0]] = 0
    x[::5, LAYOUT.mask] = 0
    return x[None, None]


@pytest.mark.parametrize("numeric", ["gaussian", "student_t"])
def test_usual_outputs_have_the_means_of_the_rows(numeric: str) -> None:
    likelihood = Mixed(LAYOUT, K, numeric=numeric)
    x = rows(torch.Generator().manual_seed(0))[0, 0]
    found = likelihood.mean(usual_outputs(likelihood, x, K).expand(K, 1, 1, -1))[:, 0, 0]
    # a missing cell says nothing about the value that it would have had
    seen = torch.ones(N, LAYOUT.width)
    seen[::5, 0] = seen[::5, LAYOUT.one_hots[0]] = 0
    expected = (x * seen).sum(0) / seen.sum(0)
    torch.testing.assert_close(found, expected.expand(K, -1), atol=0.1, rtol=0)


def test_gaussian_has_every_constant() -> None:
    likelihood = Gaussian(3, K)
    with torch.no_grad():
        likelihood.raw_log_variance.copy_(torch.randn(K, 3))
    mean, x = torch.randn(K, S, N, 3), torch.randn(1, 1, N, 3)
    expected = Normal(mean, torch.exp(0.5 * likelihood.log_variance)).log_prob(x)
    torch.testing.assert_close(likelihood.log_prob(mean, x), expected)


def test_fixed_variance_is_the_squared_error() -> None:
    likelihood = Gaussian(3, K, learned=False)
    mean, x = torch.randn(K, S, N, 3), torch.randn(1, 1, N, 3)
    log_prob = likelihood.log_prob(mean, x)
    torch.testing.assert_close(
        log_prob + 0.5 * (x - mean).square(), torch.full_like(log_prob, -0.9189385332)
    )
    assert not likelihood.raw_log_variance.requires_grad


def test_bernoulli_is_binary_cross_entropy() -> None:
    logits, x = torch.randn(K, S, N, 3), torch.randint(2, (1, 1, N, 3)).float()
    expected = TorchBernoulli(logits=logits).log_prob(x.expand_as(logits))
    torch.testing.assert_close(Bernoulli(3).log_prob(logits, x), expected)


def test_bernoulli_surprise_is_bounded() -> None:
    surprise = -Bernoulli(1).log_prob(torch.tensor([[[[-500.0]]]]), torch.ones(1, 1, 1, 1))
    assert 15 < surprise.item() < 17


def test_categorical_sums_to_one_and_keeps_a_floor() -> None:
    for closed in (False, True):
        likelihood = Categorical(5, closed)
        logits = torch.randn(K, S, N, 5) * 50
        p = likelihood.mean(logits)
        torch.testing.assert_close(p.sum(-1), torch.ones(K, S, N))
        assert p.min() >= 0.99 * likelihood.smoothing / 5


def test_a_bucket_that_training_never_saw_has_the_floor_only() -> None:
    likelihood, logits = Categorical(5, closed=True), torch.randn(K, S, N, 5, requires_grad=True)
    floor = likelihood.smoothing / 5
    torch.testing.assert_close(likelihood.mean(logits)[..., 0], torch.full((K, S, N), floor))
    never = torch.nn.functional.one_hot(torch.zeros(1, 1, N, dtype=torch.long), 5).float()
    surprise = -likelihood.log_prob(logits, never)
    torch.testing.assert_close(surprise, torch.full((K, S, N, 1), -math.log(floor)))
    seen = torch.nn.functional.one_hot(torch.full((1, 1, N), 2), 5).float()
    (gradient,) = torch.autograd.grad(likelihood.log_prob(logits, seen).sum(), logits)
    assert (gradient[..., 0] == 0).all()


def test_mixed_row_is_the_sum_of_its_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed, x = Mixed(LAYOUT, K), rows(generator)
    parameters = torch.randn(K, S, N, mixed.parameter_width, generator=generator)
    value, mask = mixed.log_prob(parameters, x)
    assert value.shape == (K, S, N, LAYOUT.columns) == mask.shape
    # missing cells say nothing of their value, and columns without a mask nothing of a mask
    assert (value[:, :, ::5, [0, 3]] == 0).all()
    assert (mask[..., [1, 2, 4]] == 0).all()
    assert (mask[..., [0, 3]] < 0).all()
    expected = Normal(parameters[..., 1], 1.0).log_prob(x[..., 1])
    torch.testing.assert_close(value[..., 1], expected)


def test_mixed_samples_are_rows_of_the_layout() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed = Mixed(LAYOUT, K)
    parameters = torch.randn(K, S, N, mixed.parameter_width, generator=generator)
    drawn = mixed.sample(parameters, generator)
    assert drawn.shape == (K, S, N, LAYOUT.width)
    for block in LAYOUT.one_hots:
        assert (drawn[..., block].sum(-1) == 1).all()
    assert set(drawn[..., LAYOUT.mask].unique().tolist()) <= {0.0, 1.0}
    assert (drawn[..., LAYOUT.mask.stop :] == 0).all()


def test_samples_have_the_stated_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    mixed = Mixed(LAYOUT, 1)
    parameters = torch.randn(1, 1, 1, mixed.parameter_width, generator=generator)
    drawn = mixed.sample(parameters.expand(1, 1, 20_000, -1), generator)
    expected = mixed.mean(parameters)[0, 0, 0]
    torch.testing.assert_close(drawn[0, 0].mean(0), expected, atol=0.03, rtol=0)


def student(members: int, columns: int) -> StudentT:
    likelihood = StudentT(columns, members)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        likelihood.raw_log_variance.copy_(torch.randn(members, columns, generator=generator))
        likelihood.raw_tail.copy_(torch.randn(members, columns, generator=generator))
    return likelihood


def test_student_t_is_torchs_and_scipys() -> None:
    likelihood = student(K, 3)
    location, x = torch.randn(K, S, N, 3), 5 * torch.randn(1, 1, N, 3)
    found = likelihood.log_prob(location, x)
    nu, scale = likelihood.degrees, torch.exp(0.5 * likelihood.log_variance)
    torch.testing.assert_close(found, TorchStudentT(nu, location, scale).log_prob(x))
    expected = t.logpdf(*(v.detach().numpy() for v in (x, nu, location, scale)))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert (nu > 2).all() and len(nu.unique()) == 6


def test_student_t_draws_follow_their_law() -> None:
    likelihood = student(1, 1)
    draws = likelihood.sample(torch.full((1, 1, 20_000, 1), 3.0), torch.Generator().manual_seed(0))
    law = t(likelihood.degrees.item(), 3.0, torch.exp(0.5 * likelihood.log_variance).item())
    assert kstest(draws.flatten().detach().numpy(), law.cdf).pvalue > 0.01


@pytest.mark.slow
def test_student_t_learns_scale_and_tail() -> None:
    """Maximum likelihood on 20,000 draws of known laws finds them again."""
    x = t.rvs([3.0, 5.0], 0.0, [0.5, 2.0], size=(20_000, 2), random_state=0)
    rows = torch.from_numpy(x).float()[None, None]
    likelihood = StudentT(2, 1)
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-likelihood.log_prob(torch.zeros(1, 1, 1, 2), rows).sum(-1).mean()).backward()
        optimizer.step()
    nu, scale = likelihood.degrees.flatten(), torch.exp(0.5 * likelihood.log_variance).flatten()
    torch.testing.assert_close(nu, torch.tensor([3.0, 5.0]), rtol=0.15, atol=0)
    torch.testing.assert_close(scale, torch.tensor([0.5, 2.0]), rtol=0.05, atol=0)


def test_light_tails_make_it_a_gaussian() -> None:
    likelihood = StudentT(1, 1)
    with torch.no_grad():
        likelihood.raw_tail.fill_(100.0)
    x = torch.linspace(-3, 3, 13).view(1, 1, -1, 1)
    zero = torch.zeros(1, 1, 1, 1)
    torch.testing.assert_close(
        likelihood.log_prob(zero, x), Normal(0.0, 1.0).log_prob(x), atol=0.09, rtol=0
    )


def test_an_unknown_likelihood_of_numbers_lists_what_is_known() -> None:
    with pytest.raises(ValueError, match=r"unknown likelihood 'cauchy'.*gaussian, student_t"):
        Mixed(LAYOUT, K, numeric="cauchy")
