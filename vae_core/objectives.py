"""The ELBO and what training minimises, for every variant.

Legend: K members, S draws, N rows, L latents.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .models import Model


class ElboParts(NamedTuple):
    """Nats per row, before the log-Jacobian of the scaling.

    Attributes:
        reconstruction_log_prob: (K, N) mean over draws of log p(x, mask | z).
        kl: (K, N, L) KL(q(z|x) ‖ p(z)) per latent.
    """

    reconstruction_log_prob: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """(K, N)."""
        return self.reconstruction_log_prob - self.kl.sum(-1)


def elbo_parts(model: Model, x: Tensor, noise: Tensor, target: Tensor | None = None) -> ElboParts:
    """One pass through the model.

    Args:
        model: K members.
        x: (1 or K, N, W) rows the encoder sees.
        noise: (…, S, N or 1, L) standard normal, broadcastable to (K, S, N, L).
        target: rows the likelihood judges, where they differ from `x` (denoising).

    Returns:
        parts of E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)).

    Reference: Kingma, Welling (2014), eq. 3.
    """
    posterior = model.encode(x)
    parameters = model.decode(posterior.rsample(noise))
    judged = (x if target is None else target)[:, None]
    value, mask = model.likelihood.log_prob(parameters, judged)
    per_row = value.sum(-1) if mask is None else value.sum(-1) + mask.sum(-1)
    return ElboParts(per_row.mean(dim=1), posterior.kl())


def objective(parts: ElboParts, beta: Tensor, free_bits: float = 0.0, trim: float = 0.0) -> Tensor:
    """What each member minimises, nats: (K,). Sums over features and latents, means over rows.

    Args:
        parts: of one batch.
        beta: (K,) weight of the KL; 1 is the ELBO.
        free_bits: nats per latent that are not penalised, on the batch mean.
        trim: share of the batch's rows, each member's worst, that it does not learn from.

    Reference: Higgins et al. (2017), β-VAE, eq. 4; Kingma et al. (2016), free bits, appendix C.8;
        Shen, Sanghavi (2019), Learning with bad training data via iterative trimmed loss
        minimization, algorithm 1, batch by batch.
    """
    if trim:
        parts = _without_worst(parts, beta, trim)
    kl = parts.kl.mean(dim=1)
    if free_bits:
        kl = torch.clamp(kl, min=free_bits)
    return beta * kl.sum(-1) - parts.reconstruction_log_prob.mean(dim=1)


def _without_worst(parts: ElboParts, beta: Tensor, trim: float) -> ElboParts:
    """The rows whose own loss is not among each member's worst."""
    loss = beta[:, None] * parts.kl.sum(-1) - parts.reconstruction_log_prob
    kept = max(1, round((1 - trim) * loss.shape[1]))
    rows = loss.detach().topk(kept, dim=1, largest=False, sorted=False).indices
    kl = parts.kl.gather(1, rows[..., None].expand(-1, -1, parts.kl.shape[-1]))
    return ElboParts(parts.reconstruction_log_prob.gather(1, rows), kl)
