"""Health of a trained model: is the latent used, is a variance at its bound?

Legend: K members, N rows, L latents.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .latents import DiagonalGaussian
from .models import Model

ACTIVE_VARIANCE = 0.01
ROWS = 1000


@torch.no_grad()
def diagnose(model: Model, x: Tensor) -> dict[str, Any]:
    """Latent health on held-out rows.

    Args:
        model: trained.
        x: (N, W) encoded rows on the model's device; the first 1,000 are used.

    Returns:
        What the generative members say:
        active_units: mean over members of the latents with Var_x(mu) > 0.01;
        latent_dim: L;
        kl_per_dimension: L values in nats, mean over rows and members, largest first per member;
        mutual_information: I(x; z) under q in nats, mean over members, at most log N;
        decoder_variance_at_bound: share of numeric columns whose variance is at its lower bound;
        collapsed: True where no latent is active in some member.

    Reference: Burda, Grosse, Salakhutdinov (2016), section 4.1.2 (active units); Hoffman, Johnson
        (2016), ELBO surgery (mutual information).
    """
    x = x[:ROWS]
    posterior = model.encode(x[None]).of(model.roles.generative)
    latent = posterior.mu.shape[-1]
    spread = posterior.mu.var(dim=1, correction=0)
    active = (spread > ACTIVE_VARIANCE).sum(-1)
    out: dict[str, Any] = {
        "active_units": float(active.float().mean()),
        "latent_dim": latent,
        "collapsed": bool((active == 0).any()),
    }
    if isinstance(posterior, DiagonalGaussian):
        per_latent = posterior.kl().mean(1).sort(dim=-1, descending=True).values.mean(0)
        out["kl_per_dimension"] = [float(v) for v in per_latent]
        out["mutual_information"] = _mutual_information(posterior)
    gaussian = model.likelihood.gaussian
    if gaussian is not None:
        at_bound = gaussian.raw_log_variance <= gaussian.bounds[0]
        out["decoder_variance_at_bound"] = float(at_bound.float().mean())
    return out


def _mutual_information(posterior: DiagonalGaussian) -> float:
    """E_q log q(z|x) − E_q log q(z), with q(z) the mean posterior of the rows, at z = mu + σ·ε."""
    generator = torch.Generator(device=posterior.mu.device).manual_seed(0)
    values = []
    for mu, logvar in zip(posterior.mu, posterior.logvar, strict=True):
        noise = torch.randn(mu.shape, generator=generator, device=mu.device)
        z = mu + noise * torch.exp(0.5 * logvar)
        # (N, N): log q(z_i | x_j), constants cancel between the two terms
        difference = (z[:, None] - mu[None]).square() * torch.exp(-logvar)[None]
        joint = -0.5 * (difference + logvar[None]).sum(-1)
        marginal = torch.logsumexp(joint, dim=1) - math.log(len(z))
        values.append((joint.diagonal() - marginal).mean())
    return float(torch.stack(values).mean())
