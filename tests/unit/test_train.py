"""Training: reproducible, stops early, survives bad steps, reports the latent's health."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vae_core import Encoding, ModelConfig, NumericColumn, TrainConfig, build_model, diagnose, train
from vae_core.batches import binarised
from vae_core.columns import Layout
from vae_core.distributed import ALONE
from vae_core.latents import DiagonalGaussian, Point
from vae_core.models import Model
from vae_core.objectives import Goal, loss, run, total_correlation
from vae_core.schedule import Schedule
from vae_core.train import _evaluate, _goal

LAYOUT = Layout(6, 0, (), ())


def make(members: int = 2, latent: int = 2) -> tuple[Model, torch.Tensor, torch.Tensor]:
    """A two-factor table of six columns: 600 training and 200 validation rows."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(800, 2))
    x = z @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(800, 6))
    encoding = Encoding([NumericColumn(str(i), 0.0, 1.0) for i in range(6)])
    rows, _ = encoding.encode({str(i): x[:, i] for i in range(6)})
    config = ModelConfig(members=members, hidden=(32,), latent_dim=latent)
    return build_model(encoding.layout, config), *torch.from_numpy(rows).split([600, 200])


def weights(model: Model) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_same_seed_same_weights() -> None:
    results = []
    for seed in (1, 1, 2):
        model, rows, validation = make()
        train(model, rows, validation, TrainConfig(max_steps=40), seed=seed)
        results.append(weights(model))
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[1], strict=True))
    assert not torch.equal(results[0][0], results[2][0])


def test_training_improves_the_bound_and_uses_the_latent() -> None:
    model, rows, validation = make()
    seen: list[dict[str, float]] = []
    result = train(model, rows, validation, TrainConfig(max_steps=400), report=seen.append)
    assert seen == result.history
    assert result.history[-1]["validation_elbo"] > result.history[0]["validation_elbo"] + 1
    health = diagnose(model, validation)
    assert health["active_units"] == 2
    assert not health["collapsed"]
    assert 0 < health["mutual_information"] < sum(health["kl_per_dimension"])


def test_kept_weights_are_those_of_the_best_evaluation() -> None:
    model, rows, validation = make(members=1)
    config = TrainConfig(max_steps=400, learning_rate=0.05, patience=3)
    result = train(model, rows[:60], validation, config)
    best = min(
        h["validation_objective"] for h in result.history if h["step"] >= 0.1 * config.max_steps
    )
    from vae_core.objectives import elbo_parts

    with torch.no_grad():
        now = -elbo_parts(model, validation[None], model.draws[:, None]).elbo.mean().item()
    assert now == pytest.approx(best, rel=1e-4)


def test_patience_ends_training() -> None:
    model, rows, validation = make()
    config = TrainConfig(max_steps=5000, max_epochs=5000, patience=2, learning_rate=0.02)
    result = train(model, rows[:50], validation, config)
    assert result.history[-1]["step"] < 5000


def test_steps_that_are_not_finite_are_dropped_and_counted() -> None:
    model, rows, validation = make()
    poisoned = rows.clone()
    poisoned[0, 0] = float("nan")
    result = train(model, poisoned, validation, TrainConfig(max_steps=50))
    assert 0 < result.skipped_steps < 50
    assert all(torch.isfinite(w).all() for w in weights(model))


def test_hopeless_training_says_so() -> None:
    model, rows, validation = make()
    with pytest.raises(FloatingPointError, match="never reached a finite"):
        train(model, rows, torch.full_like(validation, float("nan")), TrainConfig(max_steps=20))


def test_a_huge_beta_collapses_the_posterior_and_is_reported() -> None:
    model, rows, validation = make()
    train(model, rows, validation, TrainConfig(max_steps=300, beta=200.0))
    health = diagnose(model, validation)
    assert health["collapsed"]
    assert health["active_units"] == 0


def test_free_bits_keep_the_latent_alive_where_beta_would_kill_it() -> None:
    model, rows, validation = make()
    train(model, rows, validation, TrainConfig(max_steps=300, beta=200.0, free_bits=0.5))
    assert sum(diagnose(model, validation)["kl_per_dimension"]) > 0.5


@pytest.mark.parametrize(
    ("variant", "prior"),
    [("vae", "vamp"), ("vae", "flow"), ("flow", "normal")],
)
def test_free_bits_are_per_latent_where_latents_have_one_kl_in_all(
    variant: str, prior: str
) -> None:
    """Under a β that empties the latent the KL stays well above the allowance of one of them."""
    _, rows, validation = make()
    config = ModelConfig(variant, members=1, denoisers=0, hidden=(32,), latent_dim=8, prior=prior)
    model = build_model(LAYOUT, config)
    train(model, rows, validation, TrainConfig(max_steps=200, beta=200.0, free_bits=0.5))
    (joint,) = diagnose(model, validation)["kl_per_dimension"]
    assert joint > 3 * 0.5


def test_the_top_of_a_ladder_under_a_joint_prior_has_the_allowance_of_its_latents() -> None:
    _, rows, _ = make()
    model = build_model(LAYOUT, ModelConfig("hierarchical", ladder=(3, 4), prior="flow"))
    parts = run(model, rows[None], model.draws[:, None]).parts
    assert parts.group_sizes.tolist() == [1, 1, 1, 4]


def test_a_short_last_chunk_of_validation_rows_counts_by_its_rows() -> None:
    model, rows, _ = make(members=1)
    how = TrainConfig(max_steps=1, total_correlation=2.0)
    train(model, rows, rows[:256], how)
    goal = _goal(model, how, len(rows))

    def correlation(validation: Tensor) -> float:
        entry = _evaluate(model, validation, goal, None, 0.0, ALONE)
        kl, likely = entry["validation_kl"], entry["validation_reconstruction_log_prob"]
        return entry["validation_objective"] - kl + likely

    whole, three = correlation(rows[:256]), correlation(rows[256:259])
    assert whole != pytest.approx(three, abs=0.05)
    assert correlation(rows[:259]) == pytest.approx((256 * whole + 3 * three) / 259, abs=1e-3)


def test_beta_is_weighed_up_during_the_warm_up() -> None:
    model, rows, validation = make()
    result = train(model, rows, validation, TrainConfig(max_steps=100, beta=0.5, warmup=0.5))
    betas = [h["beta"] for h in result.history]
    assert betas == sorted(betas)
    assert betas[0] < 0.5
    assert betas[-1] == 0.5


def test_no_rows_are_refused() -> None:
    model, rows, validation = make()
    with pytest.raises(ValueError, match="at least one training row"):
        train(model, rows[:0], validation, TrainConfig())


def test_a_cyclical_warm_up_rises_again_and_keeps_nothing_before_the_last_is_over() -> None:
    plan = Schedule.make(1000, batch_size=10, max_epochs=10, max_steps=400, warmup=0.5, cycles=4)
    warmth = [plan.warmth(step) for step in range(400)]
    assert warmth[:3] == [0.02, 0.04, 0.06]
    assert [warmth[i] for i in (49, 99, 100, 149, 199, 200, 399)] == [1, 1, 0.02, 1, 1, 0.02, 1]
    assert not any(plan.settled(done) for done in range(350))
    assert all(plan.settled(done) for done in range(350, 401))
    model, rows, validation = make()
    how = TrainConfig(max_steps=400, warmup=0.5, cycles=4, patience=1)
    history = train(model, rows, validation, how).history
    assert history[-1]["step"] > 350
    assert [h["beta"] < 1 for h in history if h["step"] in (25, 100, 125)] == [True, False, True]


def test_pictures_are_drawn_anew_each_time_and_grey_is_their_mean() -> None:
    layout = Layout(0, 0, (), (), image=(1, 4, 4), conditions=(3,))
    grey = torch.rand(layout.width, generator=torch.Generator().manual_seed(0))
    rows = grey.expand(2, 20_000, -1)
    generator = torch.Generator().manual_seed(1)
    drawn = binarised(rows, layout, generator)
    pixels = drawn[..., layout.picture]
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(pixels.mean((0, 1)), grey[layout.picture], atol=0.02, rtol=0)
    assert torch.equal(drawn[..., layout.picture.stop :], rows[..., layout.picture.stop :])
    assert torch.equal(binarised(drawn, layout, generator), drawn)
    assert not torch.equal(binarised(rows, layout, generator), drawn)


def test_capacity_holds_the_kl_where_it_is_asked_to() -> None:
    kl = {}
    for nats in (0.5, 2.0):
        model, rows, validation = make()
        how = TrainConfig(max_steps=400, beta=30.0, capacity=nats, patience=1000)
        result = train(model, rows, validation, how)
        kl[nats] = sum(diagnose(model, validation)["kl_per_dimension"])
        assert [h["beta"] for h in result.history] == [30.0] * len(result.history)
    assert kl[0.5] == pytest.approx(0.5, abs=0.25)
    assert kl[2.0] == pytest.approx(2.0, abs=0.4)


def test_total_correlation_of_independent_and_of_dependent_latents() -> None:
    generator = torch.Generator().manual_seed(0)
    estimates = []
    for dependence in (0.0, 0.9):
        mu = torch.randn(1, 2000, 2, generator=generator)
        mu[..., 1] = dependence * mu[..., 0] + (1 - dependence**2) ** 0.5 * mu[..., 1]
        posterior = DiagonalGaussian(mu, torch.full_like(mu, -1.0))
        z = posterior.rsample(torch.randn(1, 1, 2000, 2, generator=generator))[:, 0]
        estimates.append(total_correlation(posterior, z, rows=2000).item())
    # the estimate is off by (L − 1) log(N B) and log B parts that no weight depends on
    variance = 1 + torch.tensor(-1.0).exp().item()
    exact = -0.5 * np.log(1 - (0.9 / variance) ** 2)
    assert estimates[1] - estimates[0] == pytest.approx(exact, abs=0.06)


def test_weighing_the_total_correlation_makes_latents_less_dependent() -> None:
    dependence = []
    for weight in (0.0, 20.0):
        model, rows, validation = make(members=1)
        train(model, rows, validation, TrainConfig(max_steps=400, total_correlation=weight))
        with torch.no_grad():
            posterior = model.encode(validation[None])
            z = posterior.rsample(torch.zeros(1, 1, 1, 2))[:, 0]
            dependence.append(total_correlation(posterior, z, len(rows)).item())
    assert dependence[1] < dependence[0]


def test_a_goal_without_extras_is_the_bound() -> None:
    model, rows, _ = make(members=1)
    passed = run(model, rows[None, :50], torch.zeros(1, 1, 50, 2))
    plain = loss(passed, Goal(beta=torch.ones(1)))
    torch.testing.assert_close(plain, -passed.parts.elbo.mean(1))
    held = loss(passed, Goal(beta=torch.full((1,), 3.0), capacity=4.0), warmth=0.5)
    kl = passed.parts.kl.mean(1).sum(-1)
    expected = 3 * (kl - 2).abs() - passed.parts.reconstruction_log_prob.mean(1)
    torch.testing.assert_close(held, expected)


def test_total_correlation_needs_independent_latents() -> None:
    model, rows, _ = make(members=1)
    with pytest.raises(ValueError, match=r"independent Gaussian latents.*Point"):
        total_correlation(Point(model.encode(rows[None]).mu), rows[None], 10)
