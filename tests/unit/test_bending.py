"""Large values, as networks read them."""

import torch

from vae_core.bending import KNEE, bend


def test_many_numbers_are_bent_as_few_are() -> None:
    generator = torch.Generator().manual_seed(0)
    size = 10.0 ** torch.randint(-20, 17, (100_000, 1), generator=generator)
    x = torch.randn(100_000, 1, generator=generator) * size
    expected = KNEE * torch.asinh(x.double() / KNEE)
    apart = (bend(x, 1).double() - expected).abs()
    assert (apart < 1e-6 * expected.abs().clamp_min(KNEE)).all()
    assert torch.equal(torch.signbit(bend(x, 1)), torch.signbit(x))


def test_bending_has_a_gradient() -> None:
    x = torch.linspace(-30, 30, 10_000)[:, None].requires_grad_()
    (slope,) = torch.autograd.grad(bend(x, 1).sum(), x)
    torch.testing.assert_close(slope, 1 / torch.sqrt(1 + (x / KNEE) ** 2))


def test_only_numbers_are_bent() -> None:
    x = torch.tensor([[1e6, 1e6]])
    bent = bend(x, 1)
    assert bent[0, 1] == 1e6
    assert 100 < bent[0, 0] < 130
    assert torch.equal(bend(x, 0), x)
    assert (bend(x, 2) < 130).all()
