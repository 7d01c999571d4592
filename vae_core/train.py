"""Training: all data on the device, one plain loop, K members at once.

Legend: K members, N rows, B batch, W encoded width, L latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .corruption import Corruption
from .device import single_threaded
from .models import Model
from .objectives import elbo_parts, objective

Reporter = Callable[[dict[str, float]], None]
VALIDATION_ROWS = 5_000
# activations per layer and step below which a second thread costs more than it saves
SMALL_STEP = 1 << 20


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Attributes:
        beta: weight of the KL in the objective (scores always use 1).
        denoiser_beta: the same for the members that learn to denoise.
        free_bits: nats per latent left unpenalised.
        warmup: share of the steps over which the KL's weight rises linearly from 0.
        noise: standard deviation of the noise added to numeric inputs, scaled units.
        denoiser_noise: the same for the members that learn to denoise.
        drop: probability that an input category is hidden in the unseen bucket, and that an
            observed nullable cell is blanked, so that both are known to the encoder.
        learning_rate, weight_decay: of AdamW; the rate falls to 0 along a cosine.
        batch_size: B rows per member and step.
        max_epochs, max_steps: training ends at whichever comes first.
        patience: evaluations without a better validation objective before a member stops
            counting; training ends when no member counts.
        clip_norm: largest gradient norm per member.
        trim: share of each batch, its worst rows, that is not learned from, and of the training
            codes that are forgotten: protects against anomalies among the training rows.
        precision: "auto" (bf16 on cards that have it, else fp32) or "fp32".
    """

    beta: float = 1.0
    denoiser_beta: float = 0.1
    free_bits: float = 0.0
    warmup: float = 0.1
    noise: float = 0.0
    denoiser_noise: float = 0.3
    drop: float = 0.05
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    batch_size: int = 128
    max_epochs: int = 400
    max_steps: int = 1000
    patience: int = 10
    clip_norm: float = 50.0
    trim: float = 0.0
    precision: str = "auto"


@dataclass(frozen=True)
class TrainResult:
    """What happened.

    Attributes:
        history: one dict per evaluation: epoch, step, beta, learning_rate, train_objective,
            validation_objective, validation_elbo, validation_reconstruction_log_prob,
            validation_kl (nats per row in scaled units, means over the generative members but
            for the objectives, which are means over all), beta (of the generative members).
        best_epoch: (K,) epoch of each member's kept weights.
        skipped_steps: member-steps whose gradient was not finite and was dropped.
        rows: training rows.
    """

    history: list[dict[str, float]]
    best_epoch: list[int]
    skipped_steps: int
    rows: int


def train(
    model: Model,
    rows: Tensor,
    validation: Tensor,
    config: TrainConfig,
    *,
    seed: int = 0,
    report: Reporter | None = None,
) -> TrainResult:
    """Train in place and leave each member at its best validation objective.

    Args:
        model: on its device.
        rows: (N, W) encoded rows on the model's device.
        validation: (M, W) encoded rows for early stopping, same device.
        config: see `TrainConfig`.
        seed: of batches, noise and draws.
        report: called with each entry of the history.

    Raises:
        ValueError: no rows.
        FloatingPointError: no member ever reached a finite validation objective.
    """
    if len(rows) == 0 or len(validation) == 0:
        raise ValueError("training needs at least one training row and one validation row")
    widest = max(p.shape[-1] for p in model.parameters())
    small = min(config.batch_size, len(rows)) * model.members * widest < SMALL_STEP
    with single_threaded() if small else nullcontext():
        return _train(model, rows, validation[:VALIDATION_ROWS], config, seed, report)


def _train(
    model: Model,
    rows: Tensor,
    validation: Tensor,
    config: TrainConfig,
    seed: int,
    report: Reporter | None,
) -> TrainResult:
    plan = _Plan.make(len(rows), config)
    generator = torch.Generator(device=rows.device).manual_seed(seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    betas = _by_role(model, config.beta, config.denoiser_beta)
    noises = _by_role(model, config.noise, config.denoiser_noise)
    corrupt = Corruption(model.likelihood.layout, noises, config.drop, generator)
    autocast = torch.autocast(
        rows.device.type, dtype=torch.bfloat16, enabled=_use_bf16(rows.device, config)
    )
    best = _Best(model)
    skipped = torch.zeros((), dtype=torch.long, device=rows.device)
    history: list[dict[str, float]] = []
    running = torch.zeros((), device=rows.device)
    step = since = 0
    batches = _batches(model.members, len(rows), plan.batch, generator)
    while step < plan.steps:
        warmed = min(1.0, (step + 1) / max(1.0, config.warmup * plan.steps))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / plan.steps))
        x = rows[next(batches)]
        noise = torch.randn(
            model.members, 1, plan.batch, model.draws.shape[1],
            generator=generator, device=rows.device,
        )  # fmt: skip
        with autocast:
            parts = elbo_parts(model, corrupt(x), noise, target=x)
            losses = objective(parts, warmed * betas, config.free_bits, config.trim)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        skipped += _tame_gradients(parameters, config.clip_norm)
        optimizer.step()
        running += losses.detach().mean()
        step += 1
        since += 1
        if step % plan.evaluate_every == 0 or step == plan.steps:
            entry = {
                "epoch": step / plan.steps_per_epoch,
                "step": float(step),
                "beta": warmed * config.beta,
                "learning_rate": optimizer.param_groups[0]["lr"],
                "train_objective": float(running) / since,
            }
            # until the warm-up is over the objective is easier, so nothing is kept before it
            warm = step >= config.warmup * plan.steps
            entry |= _evaluate(model, validation, betas, best if warm else None, entry["epoch"])
            history.append(entry)
            if report is not None:
                report(entry)
            running.zero_()
            since = 0
            if warm and best.stale(config.patience):
                break
    best.restore()
    return TrainResult(history, best.epochs(), int(skipped), len(rows))


@dataclass(frozen=True)
class _Plan:
    batch: int
    steps: int
    steps_per_epoch: float
    evaluate_every: int

    @staticmethod
    def make(rows: int, config: TrainConfig) -> _Plan:
        batch = min(config.batch_size, rows)
        per_epoch = rows / batch
        steps = max(1, min(config.max_steps, math.ceil(config.max_epochs * per_epoch)))
        # at least 40 looks at the validation rows however few epochs the steps make up
        every = max(1, min(math.ceil(per_epoch), steps // 40), min(25, steps // 4))
        return _Plan(batch, steps, per_epoch, every)


def _by_role(model: Model, generative: float, denoising: float) -> Tensor:
    """(K,) each member's value; where every member plays both roles, the generative one."""
    values = torch.full((model.members,), denoising, device=model.draws.device)
    values[model.roles.generative] = generative
    return values


def _batches(members: int, rows: int, batch: int, generator: torch.Generator) -> Any:
    """Endless (K, B) indices; every member runs through its own permutations."""
    order = torch.empty(members, 0, dtype=torch.long, device=generator.device)
    while True:
        while order.shape[1] < batch:
            fresh = torch.stack(
                [
                    torch.randperm(rows, generator=generator, device=generator.device)
                    for _ in range(members)
                ]
            )
            order = torch.cat([order, fresh], dim=1)
        yield order[:, :batch]
        order = order[:, batch:]


def _use_bf16(device: torch.device, config: TrainConfig) -> bool:
    return config.precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()


@torch.no_grad()
def _tame_gradients(parameters: Sequence[Tensor], clip_norm: float) -> Tensor:
    """Clip each member's gradient; zero it where it is not finite. Returns how many were."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = torch.stack([g.flatten(1).square().sum(1) for g in gradients])
    norm = squares.sum(0).sqrt()
    finite = torch.isfinite(norm)
    factor = (clip_norm / norm.clamp_min(1e-12)).clamp_max(1.0)
    factor = torch.where(finite, factor, 0.0)
    for g in gradients:
        # a NaN times 0 is a NaN: the cells must go before the factor comes
        torch.nan_to_num_(g, 0.0, 0.0, 0.0).mul_(factor.view(-1, *[1] * (g.dim() - 1)))
    return (~finite).sum()


@torch.no_grad()
def _evaluate(
    model: Model, validation: Tensor, betas: Tensor, best: _Best | None, epoch: float
) -> dict[str, float]:
    sums: list[Tensor] = []
    for x in validation.split(2048):
        parts = elbo_parts(model, x[None], model.draws[:, None])
        sums.append(torch.stack([parts.reconstruction_log_prob.sum(1), parts.kl.sum((1, 2))]))
    reconstruction, kl = torch.stack(sums).sum(0) / len(validation)
    member_objective = betas * kl - reconstruction
    if best is not None:
        best.update(member_objective, epoch)
    reconstruction, kl = reconstruction[model.roles.generative], kl[model.roles.generative]
    return {
        "validation_objective": float(member_objective.mean()),
        "validation_elbo": float((reconstruction - kl).mean()),
        "validation_reconstruction_log_prob": float(reconstruction.mean()),
        "validation_kl": float(kl.mean()),
    }


class _Best:
    """Each member's weights at its lowest validation objective."""

    def __init__(self, model: Model) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.kept = [p.detach().clone() for p in self.parameters]
        device = self.parameters[0].device
        self.value = torch.full((model.members,), math.inf, device=device)
        self.epoch = torch.zeros(model.members, device=device)
        self.waited = torch.zeros(model.members, dtype=torch.long, device=device)

    def update(self, value: Tensor, epoch: float) -> None:
        better = value < self.value
        self.value = torch.where(better, value, self.value)
        self.epoch = torch.where(better, epoch, self.epoch)
        self.waited = torch.where(better, 0, self.waited + 1)
        for kept, now in zip(self.kept, self.parameters, strict=True):
            shape = (-1, *[1] * (now.dim() - 1))
            kept.copy_(torch.where(better.view(shape), now.detach(), kept))

    def stale(self, patience: int) -> bool:
        return bool((self.waited >= patience).all())

    def epochs(self) -> list[int]:
        return [round(e) for e in self.epoch.tolist()]

    @torch.no_grad()
    def restore(self) -> None:
        if torch.isinf(self.value).any():
            raise FloatingPointError(
                "training never reached a finite validation objective; "
                "look for absurd values in the training rows or lower the learning rate"
            )
        for kept, parameter in zip(self.kept, self.parameters, strict=True):
            parameter.copy_(kept)
