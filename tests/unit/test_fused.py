"""Networks without gradients: affine layers and activations in one operation each."""

from __future__ import annotations

import pytest
import torch

from vae_core.networks import MLP, fused


def network(activation: str) -> MLP:
    generator = torch.Generator().manual_seed(0)
    it = MLP(3, [12, 16, 24, 5], generator, activation)
    for layer in it.layers:
        torch.nn.init.normal_(layer.bias, generator=generator)
    return it


@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize("members", [slice(None), slice(1, 3), slice(2, 3)])
@pytest.mark.parametrize("shared", [True, False], ids=["one input", "an input each"])
def test_fused_outputs_are_those_of_separate_operations(
    activation: str, members: slice, shared: bool
) -> None:
    it = network(activation)
    count = len(range(3)[members])
    x = torch.randn(1 if shared else count, 40, 12, generator=torch.Generator().manual_seed(1))
    separate = it(x, members).detach()
    with torch.no_grad():
        assert fused.can_fuse(x), "nothing would be tried"
        torch.testing.assert_close(it(x, members), separate, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False], ids=["one input", "an input each"])
def test_gradients_of_large_products_are_those_of_torch(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, generator = network("silu"), torch.Generator().manual_seed(1)
    x = torch.randn(1 if shared else 3, 40, 12, generator=generator, requires_grad=True)
    weights = torch.randn(3, 40, 5, generator=generator)
    wanted = [x, *it.parameters()]
    expected = torch.autograd.grad((it(x) * weights).sum(), wanted)
    monkeypatch.setattr(fused, "_onednn_is_faster", lambda: True)
    assert not fused.should_train(x, it.layers[0].weight), "too small to be worth it"
    monkeypatch.setattr(fused, "LARGE", 1)
    assert fused.should_train(x, it.layers[0].weight)
    got = torch.autograd.grad((it(x) * weights).sum(), wanted)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_build_of_torch_without_the_operation_goes_the_longer_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it, x = network("silu"), torch.randn(1, 9, 12)
    with torch.no_grad():
        expected = it(x)
        monkeypatch.setattr(fused, "_linear", None)
        torch.testing.assert_close(it(x), expected, rtol=1e-5, atol=1e-6)


def test_gradients_and_other_precisions_are_left_to_separate_operations() -> None:
    x = torch.randn(4, 3)
    assert not fused.can_fuse(x)
    with torch.no_grad():
        assert not fused.can_fuse(x.double())
        with torch.autocast("cpu", torch.bfloat16):
            assert not fused.can_fuse(x)
