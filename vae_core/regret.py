"""Likelihood regret: how much better than the encoder's a row's own best posterior would be.

The encoder has learned to explain rows like those of training; for other rows it leaves much to
be gained. Raw likelihood does not tell: it is higher for smooth pictures the model never saw.

Legend: G generative members, S draws, N rows, L latents.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .adamw import AdamW
from .latents import DiagonalGaussian
from .models import Model
from .scores import in_chunks

STEPS = 50
RATE = 0.1


def likelihood_regret(model: Model, x: Tensor, steps: int = STEPS) -> Tensor:
    """max_q ELBO(x; q) − ELBO(x; q(z|x)), over diagonal Gaussians q, the decoder held fixed.

    Mean and log-variance of each row start at the encoder's and take `steps` steps of Adam; the
    expectation uses the model's fixed draws, so the result does not depend on the batch.

    Args:
        model: with Gaussian posteriors.
        x: (N, W) encoded rows on the CPU.
        steps: gradient steps; the best point on the way counts.

    Returns:
        (N,) float64 nats, ≥ 0, mean over the generative members.

    Raises:
        ValueError: the model's posterior is not a diagonal Gaussian.

    Reference: Xiao, Yan, Amit (2020), Likelihood regret: an out-of-distribution detection score
        for variational auto-encoder, eq. 5, with the row's posterior free in place of the
        encoder's weights.
    """
    return in_chunks(model, x, lambda chunk: _chunk_regret(model, chunk, steps)).double()[:, 0]


def _chunk_regret(model: Model, x: Tensor, steps: int) -> Tensor:
    # scoring runs without gradients; here they are what is asked for
    with torch.inference_mode(False), torch.enable_grad():
        rows = x.clone()[None]
        start = model.encode(rows)
        if not isinstance(start, DiagonalGaussian):
            raise ValueError(
                "likelihood regret needs a Gaussian posterior, this model's is "
                f"{type(start).__name__}"
            )
        point = nn.Parameter(torch.stack([start.mu, start.logvar]).detach())
        optimizer = AdamW(point, weight_decay=0.0)
        first = best = _elbo(model, rows, DiagonalGaussian(*point)).detach()
        for _ in range(steps):
            elbo = _elbo(model, rows, DiagonalGaussian(*point))
            best = torch.maximum(best, elbo.detach())
            (point.grad,) = torch.autograd.grad(-elbo.sum(), point)
            optimizer.step(RATE)
        best = torch.maximum(best, _elbo(model, rows, DiagonalGaussian(*point)).detach())
        return (best - first)[model.roles.generative].mean(0)[:, None]


def _elbo(model: Model, rows: Tensor, posterior: DiagonalGaussian) -> Tensor:
    """(K, N) nats of scaled units, by the model's fixed draws."""
    z = posterior.rsample(model.draws[:, None])
    per_row = model.likelihood.log_prob(model.decode(z, rows), rows[:, None]).per_row
    return per_row.mean(1) - model.prior(rows).kl(posterior, z).sum(-1)
