"""The conditional VAE: against a linear-Gaussian model, and rows asked for by label."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import one_hot, pad

from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import ModelConfig, Scorer, TrainConfig, build_model
from vae_core.columns import Layout
from vae_core.corruption import Corruption
from vae_core.latents import DiagonalGaussian
from vae_core.objectives import elbo_parts
from vae_core.operations.drawing import suiting
from vae_core.priors import ConditionalPrior, GaussianPrior

D, L, C, VARIANCE = 5, 2, 3, 0.3
LAYOUT = Layout(D, 0, (), (), conditions=(C,))


@pytest.mark.parametrize("y", range(C))
@pytest.mark.parametrize("prior", ["normal", "conditional"])
def test_elbo_is_log_p_of_x_given_y_at_the_true_posterior(y: int, prior: str) -> None:
    """x = Wz + b_y + ε, z ~ N(m_y, s_y²), with orthogonal columns of W."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(D, L, generator=generator)).Q
    weight = basis * torch.tensor([2.0, 0.7])
    shift = 0.3 * torch.randn(C, D, generator=generator)
    mean, logvar = torch.zeros(C, L), torch.zeros(C, L)
    if prior == "conditional":
        mean = 0.3 * torch.randn(C, L, generator=generator)
        logvar = torch.randn(C, L, generator=generator)
    config = ModelConfig(
        variant="conditional", members=1, hidden=(), latent_dim=L, draws=256, prior=prior
    )
    model = build_model(LAYOUT, config)
    precision = (weight.T @ weight).diagonal() / VARIANCE + torch.exp(-logvar[y])
    with torch.no_grad():
        model.likelihood.scaled.raw_log_variance.fill_(math.log(VARIANCE))
        (decoder,), (encoder,) = model.decoder.layers, model.encoder.layers
        decoder.weight[0, :, :D] = torch.cat([weight.T, shift])
        encoder.weight.zero_()
        encoder.weight[0, :D, :L] = weight / VARIANCE / precision
        constant = mean[y] * torch.exp(-logvar[y]) - shift[y] @ weight / VARIANCE
        encoder.bias[0, 0, : 2 * L] = torch.cat([constant / precision, -precision.log()])
        if isinstance(model.latent_prior, ConditionalPrior):
            (table,) = model.latent_prior.network.layers
            table.weight[0, :, : 2 * L] = torch.cat([mean, logvar], dim=1)
    # the encoder bends large values: near 0 it is the identity
    values = 0.2 * torch.randn(40, D, generator=generator)
    x = torch.cat([values, one_hot(torch.full((40,), y), C).float()], dim=1)[None]
    elbo = elbo_parts(model, x, model.draws[:, None]).elbo[0]
    covariance = weight @ torch.diag(logvar[y].exp()) @ weight.T + VARIANCE * torch.eye(D)
    exact = MultivariateNormal(weight @ mean[y] + shift[y], covariance).log_prob(values)
    torch.testing.assert_close(elbo, exact, atol=3e-3, rtol=1e-4)


def test_kl_to_a_gaussian_of_each_row_agrees_with_torch_and_monte_carlo() -> None:
    generator = torch.Generator().manual_seed(0)
    q, p = (DiagonalGaussian(*torch.randn(2, 2, 3, 4, generator=generator)) for _ in range(2))
    normals = [torch.distributions.Normal(one.mu, torch.exp(0.5 * one.logvar)) for one in (q, p)]
    torch.testing.assert_close(q.kl_to(p), torch.distributions.kl_divergence(*normals))
    z = q.rsample(torch.randn(2, 50_000, 3, 4, generator=generator))
    sampled = (q.log_prob(z) - GaussianPrior(p).log_prob(z)).mean(1)
    torch.testing.assert_close(GaussianPrior(p).kl(q, z), sampled, atol=0.1, rtol=0.05)


def test_training_hides_conditions_from_the_model_only() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(1, C, (1, 20_000), generator=generator)
    x = pad(one_hot(labels, C).float(), (D, 0))
    seen = Corruption(LAYOUT, torch.zeros(1), 0.2, generator)(x)
    hidden = seen[..., D] == 1
    assert hidden.float().mean() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(seen[~hidden], x[~hidden])
    assert (seen[..., D:].sum(-1) == 1).all()
    assert not (x[..., D] == 1).any()


def rows(count: int, seed: int) -> dict[str, np.ndarray]:
    """Both kinds of engine run warm and cold, but at other times."""
    rng = np.random.default_rng(seed)
    engine = rng.choice(["diesel", "petrol"], size=count)
    center = np.where(engine == "diesel", 5.0, -5.0)
    return {
        "heat": center + rng.normal(size=count),
        "load": center * 2 + rng.normal(size=count),
        "engine": engine.astype(object),
    }


@cache
def scorer(prior: str) -> Scorer:
    numeric = ColumnKind("numeric", False)
    fit = fit_scorer(
        rows(600, 0), rows(100, 1),
        {"heat": numeric, "load": numeric, "engine": ColumnKind("condition", False)},
        model=ModelConfig(
            variant="conditional", prior=prior, members=2, hidden=(16,), latent_dim=2
        ),
        training=TrainConfig(max_steps=300, learning_rate=0.01), device="cpu",
    )  # fmt: skip
    return fit.scorer


PRIORS = pytest.mark.parametrize("prior", ["normal", "conditional"])


@PRIORS
def test_a_row_of_one_condition_is_odd_under_the_other(prior: str) -> None:
    data = rows(200, 2)
    swapped = np.where(data["engine"] == "diesel", "petrol", "diesel").astype(object)
    right, wrong = (
        scorer(prior).raw_scores(data | {"engine": engine}) for engine in (data["engine"], swapped)
    )
    assert (wrong.anomaly_score > right.anomaly_score).mean() > 0.95
    unknown = scorer(prior).raw_scores({k: v for k, v in data.items() if k != "engine"})
    assert right.elbo.mean() > unknown.elbo.mean() > wrong.elbo.mean()


@PRIORS
def test_rows_come_as_they_are_asked_for(prior: str) -> None:
    one = scorer(prior)
    diesel, petrol = (one.generate(200, condition={"engine": e}) for e in ("diesel", "petrol"))
    assert (diesel["heat"] > 0).mean() > 0.9
    assert (petrol["heat"] < 0).mean() > 0.9
    each = np.array(["diesel", "petrol", "petrol"] * 67)
    mixed = one.generate(201, condition={"engine": each})
    assert ((mixed["heat"] > 0) == (each == "diesel")).mean() > 0.9
    again = one.generate(200, condition={"engine": "diesel"})
    assert again["heat"].tolist() == diesel["heat"].tolist()


def test_codes_of_a_mixture_suit_the_condition_that_is_asked_for() -> None:
    """Under a prior of each condition the mixture of all codes says nothing of one of them."""
    one = scorer("conditional")
    drawn = one.generate(300, how="mixture", condition={"engine": "diesel"})
    real = rows(2000, 3)
    of_diesel = real["heat"][real["engine"] == "diesel"]
    assert abs(drawn["heat"].mean() - of_diesel.mean()) < 0.5
    each = np.array(["diesel", "petrol", "petrol"] * 67)
    mixed = one.generate(201, how="mixture", condition={"engine": each})
    assert ((mixed["heat"] > 0) == (each == "diesel")).mean() > 0.95


def test_a_code_is_taken_as_often_as_its_condition_has_it() -> None:
    model = scorer("conditional").model
    generator = torch.Generator().manual_seed(0)
    count = 4000
    conditions = torch.zeros(2, model.likelihood.layout.width)
    conditions[:, model.condition] = torch.tensor([[0.0, 1, 0], [0, 0, 1]])[
        :, : model.condition.stop - model.condition.start
    ]
    one, other = (model.prior(row.expand(model.members, count, -1)) for row in conditions)
    half = count // 2
    both = torch.cat(
        [one.sample(count, generator)[:, :, :half], other.sample(count, generator)[:, :, :half]], 2
    )
    asked = conditions[:1].expand(model.members, count, -1)
    taken = suiting(model, both, asked, conditions, generator)
    expected = one.gaussian.mu[:, 0]
    spread = torch.exp(0.5 * one.gaussian.logvar[:, 0])
    assert ((taken[:, 0].mean(1) - expected).abs() / spread).max() < 0.15
    torch.testing.assert_close(taken[:, 0].std(1), spread, rtol=0.15, atol=0.0)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"engine": "steam"}, "steam.*diesel, petrol"),
        ({"motor": "diesel"}, "motor.*engine"),
        ({"engine": ["diesel", "petrol"]}, "engine"),
    ],
)
def test_what_is_not_known_cannot_be_asked_for(condition: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scorer("normal").generate(10, condition=condition)


def test_the_prior_of_one_condition_needs_rows_that_have_one() -> None:
    model: torch.nn.Module = scorer("conditional").model
    codes = Tensor(model.members, 1, 4, 2).zero_()
    with pytest.raises(ValueError, match="rows that hold the conditions"):
        model.decode(codes)
    with pytest.raises(ValueError, match="takes no prior 'conditional'"):
        build_model(Layout(2, 0, (), ()), ModelConfig(prior="conditional"))
