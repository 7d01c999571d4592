"""Training: one plain loop, K members at once.

Legend: K members, N rows, B batch, W encoded width, L latents.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .adamw import AdamW
from .batches import Batches, Resident, Stream, Streamed, binarised
from .best import Best
from .checkpoint import Checkpoint, unpack
from .corruption import Corruption
from .device import single_threaded, use_bf16
from .distributed import ALONE, Team
from .flat import Flat, flat
from .gradients import tame
from .models import Model
from .objectives import ElboParts, Goal, objective, run, total_correlation
from .schedule import Schedule
from .shares import share_losses
from .state import State

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
        free_bits: nats per latent left unpenalised; under a prior or posterior whose latents have
            one KL in all, their sum.
        capacity: nats at which the KL is held, rising from 0 during the warm-up; `beta` is then
            the weight of the distance. None: the KL is weighed, not aimed.
        total_correlation: weight of the generative members' total correlation beside its part in
            the KL; β-TC-VAE's β is 1 + this.
        adversarial: weight of the adversarial term of variant vae_gan, nats.
        warmup: share of each cycle over which the KL's weight rises linearly from 0.
        cycles: how often it does; 1 is the plain warm-up, more of them the cyclical one.
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
        trim: share of each batch, its worst rows, that is not learned from.
        forget: share of the training rows, the most abnormal, that distances are not measured to:
            twenty anomalies in training vouch for their like.
        binarise: pictures are drawn from their grey values each time they are seen, each pixel 1
            with the probability of its value; of the validation pictures, once.
        precision: of the networks, "fp32", "bf16" or "auto": bf16 on cards that have it, and for
            pictures on processors that do; the loss is computed in fp32 always.
        checkpoint_minutes: between two times that the state is kept, where there is a place for
            it; 0: after every step. It changes nothing in the course of the training.
    """

    beta: float = 1.0
    denoiser_beta: float = 0.1
    free_bits: float = 0.0
    capacity: float | None = None
    total_correlation: float = 0.0
    adversarial: float = 1.0
    warmup: float = 0.1
    cycles: int = 1
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
    forget: float = 0.0
    binarise: bool = False
    precision: str = "auto"
    checkpoint_minutes: float = 5.0


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
        resumed: steps that an earlier process had taken; 0 where it began anew.
    """

    history: list[dict[str, float]]
    best_epoch: list[int]
    skipped_steps: int
    rows: int
    resumed: int = 0


def train(
    model: Model,
    rows: Tensor,
    validation: Tensor,
    config: TrainConfig,
    *,
    seed: int = 0,
    report: Reporter | None = None,
    stream: Stream | None = None,
    checkpoint: Path | None = None,
    team: Team = ALONE,
) -> TrainResult:
    """Train in place and leave each member at its best validation objective, in evaluation mode.

    Args:
        model: on its device.
        rows: (N, W) encoded rows on the model's device; with a stream, a sample of its rows.
        validation: (M, W) encoded rows for early stopping, same device.
        config: see `TrainConfig`.
        seed: of batches, noise and draws.
        report: called with each new entry of the history.
        stream: rows that are too many for the memory; these train then.
        checkpoint: file that keeps the state every `checkpoint_minutes`; where it exists the
            training goes on from it. The caller answers for its being of this very training, and
            removes it; see `Checkpoint`.
        team: processes that train together; all call this with equal arguments.

    Raises:
        ValueError: no rows, grey pictures for a likelihood of binary ones, or a loss that several
            processes cannot share.
        FloatingPointError: some member never reached a finite validation objective.
    """
    if len(rows) == 0 or len(validation) == 0:
        raise ValueError("training needs at least one training row and one validation row")
    image = model.likelihood.image
    if image is not None and not config.binarise:
        image.check(rows[..., model.likelihood.layout.picture])
    kept = None if checkpoint is None else Checkpoint(checkpoint, config.checkpoint_minutes)
    widest = max(p.shape[-1] for p in model.parameters())
    small = min(config.batch_size, len(rows)) * model.members * widest < SMALL_STEP
    with single_threaded() if small else nullcontext():
        generator = torch.Generator(device=rows.device).manual_seed(seed)
        model.start(rows, generator)
        with flat([p for p in model.parameters() if p.requires_grad]) as parameters:
            return _train(
                model, parameters, rows, validation[:VALIDATION_ROWS], config, seed, generator,
                report, stream, kept, team,
            )  # fmt: skip


def _train(
    model: Model,
    parameters: Flat,
    rows: Tensor,
    validation: Tensor,
    config: TrainConfig,
    seed: int,
    generator: torch.Generator,
    report: Reporter | None,
    stream: Stream | None,
    checkpoint: Checkpoint | None,
    team: Team,
) -> TrainResult:
    count = len(rows) if stream is None else stream.rows
    device, layout = model.draws.device, model.likelihood.layout
    if config.binarise:
        fixed = torch.Generator(device=device).manual_seed(seed)
        validation = binarised(validation, layout, fixed)
    adversary = model.adversary(seed)
    optimizer = AdamW(parameters.values, config.weight_decay)
    goal = _goal(model, config, count)
    noises = _by_role(model, config.noise, config.denoiser_noise)
    corrupt = Corruption(layout, noises, config.drop, generator)
    chosen: Batches = (
        Resident(rows, model.members, config.batch_size, generator)
        if stream is None
        else Streamed(stream, model.members, config.batch_size, generator)
    )
    plan = Schedule.make(
        count,
        batch_size=chosen.size,
        max_epochs=config.max_epochs,
        max_steps=config.max_steps,
        warmup=config.warmup,
        cycles=config.cycles,
    )
    half = use_bf16(config.precision, device, layout.image is not None)
    autocast = torch.autocast(device.type, dtype=torch.bfloat16) if half else nullcontext()
    model.train()
    state = State(model, optimizer, Best(model), generator, chosen, adversary)
    losses_of = share_losses(model, goal, team)
    saved = team.told(None if checkpoint is None else checkpoint.read())
    if saved is not None:
        state.restore(unpack(saved))
    resumed = state.step
    while state.step < plan.steps and not _over(state, plan, config.patience):
        warmth = plan.warmth(state.step)
        rate = config.learning_rate * plan.rate(state.step)
        model.anneal(state.step / plan.steps)
        x = chosen.next()
        if config.binarise:
            x = binarised(x, layout, generator)
        noise = torch.randn(
            model.members, 1, plan.batch, model.draws.shape[1],
            generator=generator, device=device,
        )  # fmt: skip
        with autocast:
            losses, passed = losses_of(corrupt(x), noise, x, warmth)
            if adversary is not None:
                penalty = adversary.penalty(model, passed, x)
                losses = losses + warmth * config.adversarial * penalty
        gradient = parameters.backward(losses)
        state.skipped += tame([gradient], config.clip_norm)
        optimizer.step(rate)
        if adversary is not None:
            with autocast:
                adversary.learn(rate)
        state.running += losses.detach()
        state.step += 1
        state.since += 1
        if state.step % plan.evaluate_every == 0 or state.step == plan.steps:
            entry = {
                "epoch": state.step / plan.steps_per_epoch,
                "step": float(state.step),
                "beta": config.beta * (warmth if config.capacity is None else 1.0),
                "learning_rate": rate,
                "train_objective": float(team.mean(state.running).mean()) / state.since,
            }
            best = state.best if plan.settled(state.step) else None
            model.eval()
            entry |= _evaluate(model, validation, goal, best, entry["epoch"], team)
            model.train()
            state.history.append(entry)
            if report is not None:
                report(entry)
            state.running.zero_()
            state.since = 0
        if checkpoint is not None and team.rank == 0 and checkpoint.due():
            checkpoint.write(state.save())
    state.best.restore()
    model.eval()
    return TrainResult(state.history, state.best.epochs(), int(state.skipped), count, resumed)


def _over(state: State, plan: Schedule, patience: int) -> bool:
    """Whether the last evaluation was one too many without progress."""
    return state.since == 0 and plan.settled(state.step) and state.best.stale(patience)


def _goal(model: Model, config: TrainConfig, rows: int) -> Goal:
    return Goal(
        beta=_by_role(model, config.beta, config.denoiser_beta),
        free_bits=config.free_bits,
        trim=config.trim,
        capacity=config.capacity,
        total_correlation=(
            _by_role(model, config.total_correlation, 0.0) if config.total_correlation else None
        ),
        rows=rows,
    )


def _by_role(model: Model, generative: float, denoising: float) -> Tensor:
    """(K,) each member's value; where every member plays both roles, the generative one."""
    values = torch.full((model.members,), denoising, device=model.draws.device)
    values[model.roles.generative] = generative
    return values


@torch.no_grad()
def _evaluate(
    model: Model, validation: Tensor, goal: Goal, best: Best | None, epoch: float, team: Team
) -> dict[str, float]:
    # the total correlation compares each row of a chunk with each
    size = 2048 if goal.total_correlation is None else 256
    chunks: list[ElboParts] = []
    extra: list[Tensor] = []  # means over a chunk, times its rows
    for x in validation.split(size):
        passed = run(model, x[None], model.draws[:, None])
        chunks.append(passed.parts)
        if goal.total_correlation is not None:
            correlation = total_correlation(passed.posterior, passed.z[:, 0], goal.rows)
            extra.append(correlation * len(x))
    reconstruction = torch.cat([c.reconstruction_log_prob for c in chunks], dim=1)
    parts = ElboParts(reconstruction, torch.cat([c.kl for c in chunks], dim=1))
    objectives = objective(parts, goal.beta, capacity=goal.capacity)
    if goal.total_correlation is not None:
        objectives = objectives + goal.total_correlation * sum(extra) / len(validation)
    if best is not None:
        best.update(team.agreed(objectives), epoch)
    generative = model.roles.generative
    return {
        "validation_objective": float(objectives.mean()),
        "validation_elbo": float(parts.elbo[generative].mean()),
        "validation_reconstruction_log_prob": float(reconstruction[generative].mean()),
        "validation_kl": float(parts.kl[generative].sum(-1).mean()),
    }
