"""Members in two roles: who answers for which score, what each is trained with, and trimming."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.detector import ColumnKind
from pipeline.fitting import fit_scorer
from vae_core import (
    CategoricalColumn,
    Encoding,
    ModelConfig,
    NumericColumn,
    Scorer,
    TrainConfig,
    build_model,
    train,
)
from vae_core.corruption import Corruption
from vae_core.models import Model
from vae_core.objectives import ElboParts, objective

NAMES = "abcd"
KINDS = {name: ColumnKind("numeric", False) for name in NAMES}
NUMERIC = Encoding([NumericColumn(name, 0.0, 1.0) for name in NAMES])


def table(rows: int, seed: int) -> np.ndarray:
    """(N, 4) rows of a two-factor table, about unit variance."""
    mix = np.random.default_rng(7).normal(size=(2, 4)) / 1.5
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 2)) @ mix + 0.2 * rng.normal(size=(rows, 4))


def columns(x: np.ndarray) -> dict[str, np.ndarray]:
    return {name: x[:, i].copy() for i, name in enumerate(NAMES)}


def encoded(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(NUMERIC.encode(columns(x))[0])


@pytest.mark.parametrize(
    ("members", "denoisers", "generative", "denoising"),
    [
        (1, None, slice(0, 1), slice(0, 1)),
        (2, None, slice(0, 1), slice(1, 2)),
        (3, None, slice(0, 2), slice(2, 3)),
        (4, None, slice(0, 2), slice(2, 4)),
        (4, 1, slice(0, 3), slice(3, 4)),
        (4, 3, slice(0, 1), slice(1, 4)),
        (4, 0, slice(0, 4), slice(0, 4)),
        (1, 0, slice(0, 1), slice(0, 1)),
    ],
)
def test_who_does_what(
    members: int, denoisers: int | None, generative: slice, denoising: slice
) -> None:
    roles = ModelConfig(members=members, denoisers=denoisers).roles
    assert roles == (generative, denoising)
    model = build_model(NUMERIC.layout, ModelConfig(members=members, denoisers=denoisers))
    assert model.roles == roles


@pytest.mark.parametrize(("members", "denoisers"), [(4, 4), (4, 5), (4, -1), (1, 1), (0, None)])
@pytest.mark.parametrize("variant", ["vae", "autoencoder"])
def test_someone_must_be_left_for_the_bound(
    variant: str, members: int, denoisers: int | None
) -> None:
    given = ModelConfig(variant=variant, members=members, denoisers=denoisers)
    with pytest.raises(ValueError, match=f"fewer than the {members} members, got"):
        build_model(NUMERIC.layout, given)


def fit(denoisers: int | None, **training: float) -> Scorer:
    return fit_scorer(
        columns(table(300, 0)),
        columns(table(80, 1)),
        KINDS,
        model=ModelConfig(members=4, denoisers=denoisers, hidden=(16,), latent_dim=2),
        training=TrainConfig(max_steps=40, **training),  # type: ignore[arg-type]
        device="cpu",
    ).scorer


@torch.no_grad()
def disturb(model: Model, members: slice) -> None:
    """Other weights for some of the members."""
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        if p.requires_grad:
            p[members] += 0.3 * torch.randn(p[members].shape, generator=generator)


OF_GENERATIVE = ("elbo", "elbo_score", "kl", "latent_distance")


@pytest.mark.parametrize("role", ["generative", "denoising"])
@pytest.mark.parametrize("denoisers", [None, 1, 3])
def test_each_role_moves_its_own_scores_only(role: str, denoisers: int | None) -> None:
    scorer, data = fit(denoisers), columns(table(100, 2))
    before = scorer.raw_scores(data)
    rebuilt, embedded = scorer.reconstruct(data), scorer.embed(data)
    drawn = scorer.generate(20)
    disturb(scorer.model, getattr(scorer.model.roles, role))
    after = scorer.raw_scores(data)
    moved = {
        name for name in before._fields if (getattr(before, name) != getattr(after, name)).all()
    }
    kept = {
        name for name in before._fields if (getattr(before, name) == getattr(after, name)).all()
    }
    if role == "generative":
        assert moved == {*OF_GENERATIVE, "latent", "anomaly_score"}
        assert kept == {"reconstruction_error", "row_distance"}
    else:
        assert moved == {"reconstruction_error", "anomaly_score"}
        assert kept == {*OF_GENERATIVE, "row_distance", "latent"}
    generative = role == "generative"
    again, other = scorer.reconstruct(data), scorer.generate(20)
    assert all((again[name] == rebuilt[name]).all() == generative for name in NAMES)
    assert all((other[name] == drawn[name]).all() != generative for name in NAMES)
    assert (scorer.embed(data) == embedded).all() != generative


def test_without_denoisers_every_member_answers_for_everything() -> None:
    data = columns(table(100, 2))
    for member in range(4):
        scorer = fit(0)
        before = scorer.raw_scores(data)
        disturb(scorer.model, slice(member, member + 1))
        after = scorer.raw_scores(data)
        moved = {n for n in before._fields if (getattr(before, n) != getattr(after, n)).any()}
        assert moved == set(before._fields) - {"row_distance"}  # no member has a part in it


def test_noise_hits_the_inputs_of_its_members_only() -> None:
    encoding = Encoding(
        [NumericColumn("x", 0.0, 1.0), NumericColumn("y", 0.0, 1.0), CategoricalColumn("c", ("u",))]
    )
    x = torch.zeros(4, 20_000, encoding.layout.width)
    x[..., encoding.layout.one_hots[0].start + 1] = 1.0
    generator = torch.Generator().manual_seed(0)
    noise = torch.tensor([0.0, 0.0, 0.3, 0.6])
    seen = Corruption(encoding.layout, noise, 0.0, generator)(x)
    assert torch.equal(seen[:2], x[:2])
    assert torch.equal(seen[..., 2:], x[..., 2:])
    spread = seen[2:, :, :2].std(dim=1)
    torch.testing.assert_close(spread, noise[2:, None].expand(2, 2), rtol=0.03, atol=0)
    assert not x[..., :2].any()
    correlation = torch.corrcoef(seen[2:, :, :2].permute(0, 2, 1).flatten(0, 1))
    assert (correlation - torch.eye(4)).abs().max() < 0.03


def trained(denoisers: int | None = None, **training: float) -> list[torch.Tensor]:
    config = ModelConfig(members=4, denoisers=denoisers, hidden=(16,), latent_dim=2)
    model = build_model(NUMERIC.layout, config)
    how = TrainConfig(max_steps=40, patience=1000, **training)  # type: ignore[arg-type]
    train(model, encoded(table(300, 0)), encoded(table(80, 1)), how)
    return [p.detach() for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize(
    ("setting", "moved"),
    [
        ("denoiser_noise", slice(2, 4)),
        ("denoiser_beta", slice(2, 4)),
        ("noise", slice(0, 2)),
        ("beta", slice(0, 2)),
    ],
)
def test_a_setting_reaches_the_members_of_its_role_only(setting: str, moved: slice) -> None:
    # both values above 0, so that both trainings draw the same random numbers
    usual = {"noise": 0.1, "denoiser_noise": 0.3, "beta": 1.0, "denoiser_beta": 0.1}
    one, other = trained(**usual), trained(**{**usual, setting: 0.7})
    members = [
        any(not torch.equal(p[k], q[k]) for p, q in zip(one, other, strict=True)) for k in range(4)
    ]
    expected = [k in range(4)[moved] for k in range(4)]
    assert members == expected


def test_members_in_both_roles_take_the_generative_settings() -> None:
    usual = trained(denoisers=0)
    same = trained(denoisers=0, denoiser_beta=0.7, denoiser_noise=0.9)
    assert all(torch.equal(p, q) for p, q in zip(usual, same, strict=True))


def parts_of(loss: torch.Tensor) -> ElboParts:
    """Parts with a given reconstruction loss and a KL of ½ per latent."""
    kl = torch.full((*loss.shape, 2), 0.5, requires_grad=True)
    return ElboParts((-loss).requires_grad_(), kl)


def test_the_worst_rows_of_a_batch_give_no_gradient() -> None:
    loss = torch.stack([torch.arange(10.0), torch.arange(10.0).flip(0)])
    parts, beta = parts_of(loss), torch.tensor([1.0, 0.2])
    losses = objective(parts, beta, trim=0.3)
    # each member's own seven best rows: losses 0 … 6
    torch.testing.assert_close(losses, 3.0 + beta)
    losses.sum().backward()
    assert parts.reconstruction_log_prob.grad is not None and parts.kl.grad is not None
    learned = loss <= 6
    torch.testing.assert_close(parts.reconstruction_log_prob.grad, -learned.float() / 7)
    torch.testing.assert_close(
        parts.kl.grad, (learned.float() * beta[:, None] / 7)[..., None].expand(2, 10, 2)
    )


def test_the_worst_rows_are_the_worst_by_the_whole_objective() -> None:
    kl = torch.zeros(1, 4, 1)
    kl[0, 1] = 100.0
    parts = ElboParts(-torch.tensor([[0.0, 0.0, 5.0, 1.0]]), kl)
    assert objective(parts, torch.ones(1), trim=0.25).item() == 2.0
    # a light KL counts little: then the third row is the worst
    assert objective(parts, torch.full((1,), 0.01), trim=0.25).item() == pytest.approx(2 / 3)


def test_without_trimming_every_row_counts_and_one_is_always_left() -> None:
    parts = parts_of(torch.arange(10.0)[None])
    assert objective(parts, torch.ones(1)).item() == 5.5
    assert objective(parts, torch.ones(1), trim=0.99).item() == 1.0


def test_a_row_that_is_not_finite_is_trimmed_first() -> None:
    loss = torch.arange(10.0)[None].clone()
    loss[0, 0] = torch.nan
    loss[0, 1] = torch.inf
    assert objective(parts_of(loss), torch.ones(1), trim=0.2).item() == pytest.approx(6.5)


def mean_elbo_score(trim: float, seed: int) -> tuple[float, float]:
    """Of the outliers among the training rows, and of usual rows; nats."""
    rows, validation = table(800, 0), table(150, 1)
    outliers = np.array([6.0, -6.0, 6.0, 6.0]) + 0.3 * np.random.default_rng(2).normal(size=(40, 4))
    rows[::20], validation[::20] = outliers, outliers[:8]
    scorer = fit_scorer(
        columns(rows),
        columns(validation),
        KINDS,
        model=ModelConfig(members=2, hidden=(32,), latent_dim=2),
        training=TrainConfig(max_steps=300, trim=trim),
        device="cpu",
        seed=seed,
    ).scorer
    usual = scorer.raw_scores(columns(table(300, 3))).elbo_score
    return float(scorer.raw_scores(columns(outliers)).elbo_score.mean()), float(usual.mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_trimming_keeps_gross_anomalies_among_training_rows_abnormal(seed: int) -> None:
    learned, usual = mean_elbo_score(0.0, seed)
    protected, usual_trimmed = mean_elbo_score(0.1, seed)
    assert protected > learned + 5
    assert protected - usual_trimmed > 2 * (learned - usual)
    assert usual_trimmed < usual + 1
