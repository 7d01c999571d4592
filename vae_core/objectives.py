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


def objective(parts: ElboParts, beta: float, free_bits: float = 0.0) -> Tensor:
    """What each member minimises, nats: (K,). Sums over features and latents, means over rows.

    Args:
        parts: of one batch.
        beta: weight of the KL; 1 is the ELBO.
        free_bits: nats per latent that are not penalised, on the batch mean.

    Reference: Higgins et al. (2017), β-VAE, eq. 4; Kingma et al. (2016), free bits, appendix C.8.
    """
    kl = parts.kl.mean(dim=1)
    if free_bits:
        kl = torch.clamp(kl, min=free_bits)
    return beta * kl.sum(-1) - parts.reconstruction_log_prob.mean(dim=1)
