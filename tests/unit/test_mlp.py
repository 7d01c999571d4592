"""What lies between the layers of a network."""

from __future__ import annotations

import pytest
import torch

from vae_core import ModelConfig, build_model
from vae_core.columns import Layout
from vae_core.networks import chunks
from vae_core.scores import reconstruction_errors


def test_relu_by_hand() -> None:
    """Of rows (N, W) through the layers of one member, as they are."""
    layout = Layout(8, 0, (), ())
    config = ModelConfig(members=1, denoisers=0, latent_dim=2, hidden=(16, 8), activation="relu")
    model = build_model(layout, config, 0).eval()
    x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        hidden = 10 * torch.asinh(x / 10)
        for layer in model.encoder.layers[:-1]:
            hidden = (hidden @ layer.weight[0] + layer.bias[0]).clamp_min(0)
        mu = model.encoder.layers[-1](hidden[None])[0, :, :2]
        hidden = mu
        for layer in model.decoder.layers[:-1]:
            hidden = (hidden @ layer.weight[0] + layer.bias[0]).clamp_min(0)
        expected = (x - model.decoder.layers[-1](hidden[None])[0]).square()
    torch.testing.assert_close(reconstruction_errors(model, x), expected)


def test_an_unknown_activation() -> None:
    with pytest.raises(ValueError, match="unknown activation 'tanh'; known: silu, relu"):
        build_model(Layout(8, 0, (), ()), ModelConfig(activation="tanh"), 0)


@pytest.mark.parametrize(
    ("members", "hidden", "width", "rows"),
    [
        (1, 8, 8, 8192),
        (1, 128, 32, 8192),
        (4, 128, 32, 2048),
        (64, 16384, 32, 512),
        (1, 64, 3000, 1024),
    ],
)
def test_rows_at_a_time_fit_the_model(members: int, hidden: int, width: int, rows: int) -> None:
    assert chunks(ModelConfig(members=members, hidden=(hidden,)), width)["cpu"] == rows
