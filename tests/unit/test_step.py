"""What a training step does to parameters: it is torch's own, member by member."""

from __future__ import annotations

import pytest
import torch

from vae_core.adamw import AdamW
from vae_core.flat import ALIGNED, flat
from vae_core.gradients import tame
from vae_core.networks.mlp import MLP

MEMBERS = 3


def network(seed: int = 0) -> MLP:
    return MLP(MEMBERS, [5, 16, 3], torch.Generator().manual_seed(seed))


def losses(mlp: MLP, x: torch.Tensor) -> torch.Tensor:
    return mlp(x).square().sum((1, 2))


def test_steps_are_those_of_torch_to_the_bit() -> None:
    ours, theirs = network(), network()
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1, fused=True)
    with flat(list(ours.parameters())) as parameters:
        mine = AdamW(parameters.values, weight_decay=0.1)
        for step in range(5):
            x = torch.randn(1, 7, 5, generator=torch.Generator().manual_seed(step))
            parameters.backward(losses(ours, x))
            mine.step(1e-2)
            optimizer.zero_grad()
            losses(theirs, x).sum().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.is_contiguous() and a.untyped_storage().nbytes() == a.numel() * 4


def test_a_resumed_optimizer_goes_on_to_the_bit() -> None:
    def trained(resume: bool) -> list[torch.Tensor]:
        mlp = network()
        with flat(list(mlp.parameters())) as parameters:
            optimizer = AdamW(parameters.values, weight_decay=0.0)
            for step in range(6):
                if resume and step == 3:
                    kept = {name: value.clone() for name, value in optimizer.state().items()}
                    optimizer = AdamW(parameters.values, weight_decay=0.0)
                    optimizer.restore(kept)
                parameters.backward(losses(mlp, torch.full((1, 2, 5), float(step))))
                optimizer.step(1e-2)
        return [p.detach() for p in mlp.parameters()]

    for a, b in zip(trained(False), trained(True), strict=True):
        assert torch.equal(a, b)


def test_gradients_lie_member_by_member() -> None:
    mlp, x = network(), torch.randn(1, 7, 5)
    wanted = torch.autograd.grad(losses(mlp, x).sum(), list(mlp.parameters()))
    with flat(list(mlp.parameters())) as parameters:
        gradient = parameters.backward(losses(mlp, x))
        assert gradient is parameters.values.grad
        assert len(gradient) == MEMBERS
        start = 0
        for p, slope in zip(mlp.parameters(), wanted, strict=True):
            n = p[0].numel()
            assert torch.equal(gradient[:, start : start + n], slope.flatten(1))
            start += -(-n // ALIGNED) * ALIGNED
        assert start == gradient.shape[1]


def test_a_parameter_out_of_reach_has_no_gradient() -> None:
    used, unused = torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(2, 4))
    with flat([used, unused]) as parameters:
        parameters.backward((used.sum(1) + unused.sum(1)).square())
        gradient = parameters.backward(used.sum(1))
    assert gradient[:, :3].eq(1).all()
    assert gradient[:, 3:].eq(0).all()


@pytest.mark.parametrize(
    ("first", "kept"),
    [([3.0, 4.0], [3.0, 4.0]), ([6.0, 8.0], [3.0, 4.0]), ([0.0, 0.0], [0.0, 0.0])],
)
def test_clipping_is_by_member(first: list[float], kept: list[float]) -> None:
    gradient = torch.tensor([first, [0.3, 0.4]])
    assert int(tame([gradient], 5.0)) == 0
    torch.testing.assert_close(gradient, torch.tensor([kept, [0.3, 0.4]]))


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_nothing_clipped_is_no_reason_to_let_it_pass(broken: float) -> None:
    gradient = torch.tensor([[1.0, broken], [30.0, 40.0]])
    assert int(tame([gradient], float("inf"))) == 1
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0], [30.0, 40.0]]))


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_member_without_a_finite_gradient_sits_out(broken: float) -> None:
    gradient = torch.tensor([[1.0, broken], [30.0, 40.0]])
    assert int(tame([gradient], 5.0)) == 1
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
