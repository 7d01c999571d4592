"""The ELBO and what training minimises, for every variant.

Legend: K members, S draws, N rows, L latents, G groups of latents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .latents import DiagonalGaussian, Posterior
from .models import Model


class ElboParts(NamedTuple):
    """Nats per row, before the log-Jacobian of the scaling.

    Attributes:
        reconstruction_log_prob: (K, N) mean over draws of log p(x, mask | z).
        kl: (K, N, G) KL(q(z|x) ‖ p(z)) per latent or group of latents.
        latents: of all groups together; None: as many as groups.
    """

    reconstruction_log_prob: Tensor
    kl: Tensor
    latents: int | None = None

    @property
    def elbo(self) -> Tensor:
        """(K, N)."""
        return self.reconstruction_log_prob - self.kl.sum(-1)

    @property
    def group_sizes(self) -> Tensor:
        """(G,) latents in each group: one, but for the last, which has all the others."""
        groups = self.kl.shape[-1]
        sizes = self.kl.new_ones(groups)
        sizes[-1] = (self.latents or groups) - (groups - 1)
        return sizes


class Pass(NamedTuple):
    """One way through the model and what became of the rows on it.

    Attributes:
        posterior: q(z|x).
        z: (K, S, N, L) drawn from it.
        parameters: (K, S, N, P) of p(x|z).
        parts: of the ELBO.
    """

    posterior: Posterior
    z: Tensor
    parameters: Tensor
    parts: ElboParts


def run(model: Model, x: Tensor, noise: Tensor, target: Tensor | None = None) -> Pass:
    """One pass through the model.

    Args:
        model: K members.
        x: (1 or K, N, W) rows the encoder sees.
        noise: (…, S, N or 1, E) standard normal, broadcastable to (K, S, N, E).
        target: rows the likelihood judges, where they differ from `x` (denoising).

    Reference: Kingma, Welling (2014), eq. 3.
    """
    posterior = model.encode(x)
    z = posterior.rsample(noise)
    # a log-probability sums hundreds of terms: never in the half precision of the networks
    parameters = model.decode(z, x).float()
    judged = (x if target is None else target)[:, None]
    per_row = model.likelihood.log_prob(parameters, judged).per_row
    kl = model.prior(x).kl(posterior, z)
    over_draws = per_row.squeeze(1) if per_row.shape[1] == 1 else per_row.mean(dim=1)
    parts = ElboParts(over_draws, kl, z.shape[-1] // model.categories)
    return Pass(posterior, z, parameters, parts)


def elbo_parts(model: Model, x: Tensor, noise: Tensor, target: Tensor | None = None) -> ElboParts:
    """Parts of E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)); arguments as for `run`."""
    return run(model, x, noise, target).parts


class Goal(NamedTuple):
    """What training minimises beside the reconstruction; scores know nothing of it.

    Attributes:
        beta: (K,) weight of the KL; 1 is the ELBO.
        free_bits: nats per latent that are not penalised, on the batch mean; latents that share
            one KL share their allowances.
        trim: share of the batch's rows, each member's worst, that it does not learn from.
        capacity: nats that the KL is held at, from either side; None: it is only weighed.
        total_correlation: (K,) what the total correlation weighs beside its part in the KL; None:
            nothing.
        rows: N training rows, for its estimate.
    """

    beta: Tensor
    free_bits: float = 0.0
    trim: float = 0.0
    capacity: float | None = None
    total_correlation: Tensor | None = None
    rows: int = 1


def loss(passed: Pass, goal: Goal, warmth: float = 1.0) -> Tensor:
    """What each member minimises on a batch, nats: (K,).

    Args:
        passed: one way through the model.
        goal: of the training.
        warmth: how far the warm-up is, in (0, 1]: the KL's weight rises with it, or, where the
            capacity is set, the capacity.
    """
    beta, capacity = goal.beta, goal.capacity
    if capacity is None:
        beta = beta * warmth
    else:
        capacity = capacity * warmth
    losses = objective(passed.parts, beta, goal.free_bits, goal.trim, capacity)
    if goal.total_correlation is not None:
        extra = total_correlation(passed.posterior, passed.z[:, 0], goal.rows)
        losses = losses + warmth * goal.total_correlation * extra
    return losses


def objective(
    parts: ElboParts,
    beta: Tensor,
    free_bits: float = 0.0,
    trim: float = 0.0,
    capacity: float | None = None,
) -> Tensor:
    """β KL, or β |KL − C|, minus the reconstruction, nats: (K,).

    Sums over features and latents, means over rows.

    Args:
        parts: of one batch.
        beta: (K,) weight of the KL.
        free_bits, trim: see `Goal`.
        capacity: C in nats.

    Reference: Higgins et al. (2017), β-VAE, eq. 4; Burgess et al. (2018), Understanding
        disentangling in β-VAE, eq. 8; Kingma et al. (2016), free bits, appendix C.8;
        Shen, Sanghavi (2019), Learning with bad training data via iterative trimmed loss
        minimization, algorithm 1, batch by batch.
    """
    if trim:
        parts = _without_worst(parts, beta, trim)
    kl = parts.kl.mean(dim=1)
    if free_bits:
        kl = torch.clamp(kl, min=free_bits * parts.group_sizes)
    charged = kl.sum(-1) if capacity is None else (kl.sum(-1) - capacity).abs()
    return beta * charged - parts.reconstruction_log_prob.mean(dim=1)


def total_correlation(posterior: Posterior, z: Tensor, rows: int) -> Tensor:
    """KL(q(z) ‖ Π_l q(z_l)), how far latents depend on each other over all rows, nats: (K,).

    Estimated within a batch of B rows by minibatch-weighted sampling, q(z) ≈ 1/(NB) Σ_j q(z|x_j):
    biased, but cheap, and it learns well.

    Args:
        posterior: q(z|x) of the batch.
        z: (K, B, L) one draw of each row's.
        rows: N the batch is drawn from.

    Raises:
        ValueError: the latents are not independent given the row, so that the marginals q(z_l)
            have no such estimate.

    Reference: Chen, Li, Grosse, Duvenaud (2018), Isolating Sources of Disentanglement in VAEs
        (β-TC-VAE), eq. 4 and appendix C.1.
    """
    if not isinstance(posterior, DiagonalGaussian):
        raise ValueError(
            "the total correlation needs a posterior of independent Gaussian latents, as variant "
            f"'vae' has; this one is {type(posterior).__name__}"
        )
    pairs = posterior.log_prob(z[:, :, None])  # (K, i, j, L): log q(z_i | x_j)
    known = math.log(rows * z.shape[1])
    joint = torch.logsumexp(pairs.sum(-1), dim=2) - known
    marginals = torch.logsumexp(pairs, dim=2) - known
    return (joint - marginals.sum(-1)).mean(1)


def _without_worst(parts: ElboParts, beta: Tensor, trim: float) -> ElboParts:
    """The rows whose own loss is not among each member's worst."""
    loss = beta[:, None] * parts.kl.sum(-1) - parts.reconstruction_log_prob
    kept = max(1, round((1 - trim) * loss.shape[1]))
    rows = loss.detach().topk(kept, dim=1, largest=False, sorted=False).indices
    kl = parts.kl.gather(1, rows[..., None].expand(-1, -1, parts.kl.shape[-1]))
    return ElboParts(parts.reconstruction_log_prob.gather(1, rows), kl, parts.latents)
