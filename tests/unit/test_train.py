"""Training: reproducible, stops early, survives bad steps, reports the latent's health."""

import numpy as np
import pytest
import torch

from vae_core import Encoding, ModelConfig, NumericColumn, TrainConfig, build_model, diagnose, train
from vae_core.models import Model


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
