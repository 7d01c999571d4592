"""The importance-weighted bound: log p(x) as close as the draws allow.

Legend: K members, G generative ones, S draws, N rows, W encoded width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .models import Model

# draws × rows decoded at a time, in chunks of scoring
CHUNKS_AT_ONCE = 16
MOST_ROWS = 128


class ImportanceBound(NamedTuple):
    """Per row, means over the generative members.

    Attributes:
        log_prob: (N,) nats; a lower bound of log p(x) in expectation.
        standard_error: (N,) of the estimate, nats, by the delta method; too small where a few
            draws carry most of the weight.
    """

    log_prob: Tensor
    standard_error: Tensor


@torch.inference_mode()
def importance_weighted_log_prob(
    model: Model, x: Tensor, draws: int = 5_000, seed: int = 0
) -> ImportanceBound:
    """log p(x) ≥ E log 1/S Σ_s p(x, z_s) / q(z_s|x), z_s ~ q(z|x); the more draws the tighter.

    S = 1 is the ELBO in expectation. Rows are encoded once and decoded a few draws at a time, so
    memory does not grow with S.

    Args:
        model: with an ELBO, trained; any posterior and prior.
        x: (N, W) encoded rows, on any device.
        draws: S.
        seed: of the draws. The same rows in the same order on the same device give the same result.

    Returns:
        float64 on the CPU, nats of the encoded row: add the encoding's log-Jacobian for nats of the
        original columns.

    Raises:
        ValueError: S < 1, the model has no ELBO, or its likelihood is no density.

    Reference: Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders, eq. 8.
    """
    if draws < 1:
        raise ValueError(f"the bound needs at least one draw, got {draws}")
    if not model.has_elbo:
        raise ValueError("this model has no prior, hence no bound on log p(x)")
    if not model.likelihood.density:
        raise ValueError("the model's likelihood is no density: log p(x) means nothing under it")
    device = model.draws.device
    generator = torch.Generator(device=device).manual_seed(seed)
    if not len(x):
        return ImportanceBound(torch.zeros(0).double(), torch.zeros(0).double())
    done = [_of_rows(model, rows.to(device), draws, generator) for rows in x.split(MOST_ROWS)]
    return ImportanceBound(*(torch.cat(part).cpu() for part in zip(*done, strict=True)))


def _of_rows(
    model: Model, x: Tensor, draws: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    generative = model.roles.generative
    at_once = max(1, CHUNKS_AT_ONCE * model.chunks[x.device.type] // len(x))
    posterior, prior = model.encode(x[None]), model.prior(x[None])
    # log Σ w_g (G, N) and log Σ w_g w_h (G, G, N): members share the draws
    first = torch.full((), -torch.inf, dtype=torch.float64, device=x.device)
    second = first
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        noise = torch.randn(
            1, count, len(x), model.draws.shape[1], generator=generator, device=x.device
        )
        z = posterior.rsample(noise)
        log_weight = model.likelihood.log_prob(model.decode(z, x[None]), x[None, None]).per_row
        log_weight = log_weight + prior.log_prob(z).sum(-1) - posterior.log_prob(z).sum(-1)
        log_weight = log_weight[generative].double()
        first = torch.logaddexp(first, log_weight.logsumexp(1))
        products = log_weight[:, None] + log_weight[None]
        second = torch.logaddexp(second, products.logsumexp(2))
    # covariance of relative mean weights: mean w_g w_h / (mean w_g mean w_h) − 1, over S
    relative = torch.exp(second - first[:, None] - first[None] + math.log(draws)) - 1.0
    variance = relative.mean((0, 1)).clamp_min(0.0) / draws
    return (first - math.log(draws)).mean(0), variance.sqrt()
