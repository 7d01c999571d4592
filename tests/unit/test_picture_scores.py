"""Scores that meet the failure of raw likelihood on pictures."""

import numpy as np
import pytest
import torch

from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import ModelConfig, TrainConfig
from vae_core.columns import Layout
from vae_core.complexity import complexity
from vae_core.regret import likelihood_regret


def rows(pictures: np.ndarray) -> torch.Tensor:
    cells = pictures.reshape(len(pictures), -1) / 255
    return torch.from_numpy(cells.astype(np.float32))


def test_noise_is_more_complex_than_ramps_and_ramps_than_blanks() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1, 16, 16))
    steps = np.tile(np.repeat([0, 80, 160, 240], 4), (1, 16, 1))
    blank = np.zeros((1, 16, 16), dtype=int)
    found = complexity(
        Layout(0, 0, (), (), (1, 16, 16)), rows(np.concatenate([noise, steps, blank]))
    )
    assert found[0] > 2 * found[1] > 2 * found[2] > 0
    # noise cannot be compressed: 8 bits a pixel, and little more
    assert 256 * 8 <= found[0] / np.log(2) <= 1.1 * 256 * 8


def test_complexity_asks_for_pictures() -> None:
    with pytest.raises(ValueError, match="no image column"):
        complexity(Layout(3, 0, (), ()), torch.zeros(2, 8))


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(600, 2))
    x = z @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(600, 5))
    data = {str(i): x[:, i] for i in range(5)}
    kinds = {name: ColumnKind("numeric", False) for name in data}
    return fit_scorer(
        data, {k: v[:100] for k, v in data.items()}, kinds,
        model=ModelConfig(members=2, denoisers=0, latent_dim=2, hidden=(32,)),
        training=TrainConfig(max_steps=300),
    ).scorer.model  # fmt: skip


def test_regret_grows_where_the_encoder_fails_and_never_falls_below_0(
    model: torch.nn.Module,
) -> None:
    rng = np.random.default_rng(2)
    x = torch.from_numpy(rng.normal(size=(40, 8)).astype(np.float32))
    x[:, 5:] = 0
    before = likelihood_regret(model, x)
    assert before.shape == (40,) and (before >= 0).all()
    with torch.no_grad():
        model.encoder.layers[-1].bias[..., :2] += 1.0  # every posterior mean is off by one
    after = likelihood_regret(model, x)
    with torch.no_grad():
        model.encoder.layers[-1].bias[..., :2] -= 1.0
    assert (after > before).float().mean() > 0.9


def test_regret_of_a_row_does_not_depend_on_its_batch(model: torch.nn.Module) -> None:
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(30, 8)).astype(np.float32))
    whole = likelihood_regret(model, x, steps=5)
    assert torch.equal(whole[7:9], likelihood_regret(model, x[7:9], steps=5))
    assert torch.equal(whole, likelihood_regret(model, x, steps=5))
