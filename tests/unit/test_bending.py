"""Large values, as networks read them."""

import torch

from vae_core.bending import asinh, bend


def test_asinh_is_exact_at_every_size() -> None:
    generator = torch.Generator().manual_seed(0)
    size = 10.0 ** torch.randint(-20, 17, (100_000,), generator=generator)
    x = torch.randn(100_000, generator=generator) * size
    expected = torch.asinh(x.double())
    relative = (asinh(x).double() - expected).abs() / expected.abs()
    assert relative.max() < 2 * torch.finfo(torch.float32).eps
    zeros = asinh(torch.tensor([0.0, -0.0]))
    assert zeros.tolist() == [0.0, 0.0]
    assert torch.signbit(zeros).tolist() == [False, True]


def test_only_numbers_are_bent() -> None:
    x = torch.tensor([[1e6, 1e6]])
    bent = bend(x, 1)
    assert bent[0, 1] == 1e6
    assert 100 < bent[0, 0] < 130
    assert torch.equal(bend(x, 0), x)
    assert (bend(x, 2) < 130).all()
