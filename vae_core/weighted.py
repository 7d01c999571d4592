"""The importance-weighted bound as a score: deterministic, and a sum over columns.

Legend: K members, S draws, N rows, D columns in grouped order, E numbers that make a z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .additive import AdditiveScore, additive, column_terms, means
from .encoding import Encoding
from .latents import quasi_normal_draws
from .models import Model
from .scores import RowTerms, in_chunks

Data = Mapping[str, np.ndarray]
# decoded at a time: bounds the memory, whatever S is
AT_ONCE = 4


class Weighted(NamedTuple):
    """What the score needs beside the model.

    Attributes:
        draws: (S, E) fixed points; each is standard normal over the seeds, so that the mean weight
            is unbiased and the bound is one. Those of the ELBO are standardised, and are not.
        value: (D,) mean of −log p of observed cells of validation rows, nats of the original
            columns.
        term: (D,) of value and mask terms together, missing cells filled.
        latent: mean of what belongs to no column.
    """

    draws: Tensor
    value: np.ndarray
    term: np.ndarray
    latent: float


def fit_weighted(
    encoding: Encoding, model: Model, data: Data, draws: int, seed: int = 0
) -> Weighted:
    """Fix S points, and take the means of validation rows.

    Raises:
        ValueError: S is odd or below 2, or the model has no ELBO.
    """
    if draws < 2 or draws % 2:
        raise ValueError(
            f"the importance-weighted score needs an even number of draws, got {draws}"
        )
    if not model.has_elbo:
        raise ValueError("this model has no prior, hence no bound on log p(x)")
    points = quasi_normal_draws(draws, model.draws.shape[1], seed, standardised=False)
    points = points.to(model.draws.device)
    terms = column_terms(encoding, model, data, lambda x: weighted_row_terms(model, x, points))
    value, term = means(terms, terms.value, terms.mask)
    return Weighted(points, value, term, float(terms.kl.mean()))


def weighted_score(encoding: Encoding, model: Model, data: Data, fitted: Weighted) -> AdditiveScore:
    """−log 1/S Σ_s w_s of rows, nats of the original columns; missing cells filled by their mean.

    The mean over the generative members.
    """
    points = fitted.draws
    terms = column_terms(encoding, model, data, lambda x: weighted_row_terms(model, x, points))
    value = np.where(terms.observed, terms.value, fitted.value)
    return additive(value + terms.mask, fitted.term, terms.kl, fitted.latent)


def weighted_row_terms(model: Model, x: Tensor, draws: Tensor) -> RowTerms:
    """Terms of encoded rows x (N, W) on the CPU that add up to the score; `kl` is the bracket of
    `weighted_terms`; error and distances are 0."""
    columns = model.likelihood.layout.columns
    generative = model.roles.generative

    def of(chunk: Tensor) -> Tensor:
        posterior, prior = model.encode(chunk[None]), model.prior(chunk[None])
        rows = chunk[None, None]
        values, masks, insides = [], [], []
        for some in draws.split(AT_ONCE):
            z = posterior.rsample(some[:, None])
            value, mask = model.likelihood.log_prob(model.decode(z, chunk[None]), rows)
            values.append(value)
            masks.append(torch.zeros_like(value) if mask is None else mask)
            insides.append(prior.log_prob(z).sum(-1) - posterior.log_prob(z).sum(-1))
        parts = weighted_terms(*(torch.cat(part, dim=1) for part in (values, masks, insides)))
        value, mask, bracket = (part[generative].mean(0) for part in parts)
        return torch.cat([-value, -mask, bracket[:, None]], dim=1)

    value, mask, rest = in_chunks(model, x, of, torch.float64).split([columns, columns, 1], dim=1)
    nothing = torch.zeros_like(value)
    return RowTerms(value, mask, rest[:, 0], nothing, nothing[:, 0], nothing[:, 0])


def weighted_terms(value: Tensor, mask: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The bound log 1/S Σ_s w_s as a sum of terms: one per column, and what belongs to none.

    With the weights normalised, ŵ_s = w_s / Σ w, and log w_s = Σ_d ℓ_sd + r_s, it is

        Σ_d Σ_s ŵ_s ℓ_sd  −  [ Σ_s ŵ_s (−r_s) + KL(ŵ ‖ uniform) ]

    exactly: columns get their log-probabilities under the posterior that the weights correct q to,
    and the bracket takes the place of the KL.

    Args:
        value: (K, S, N, D) log p(x_d|z_s), nats.
        mask: (K, S, N, D) log p(m_d|z_s), nats.
        inside: (K, S, N) r_s = log p(z_s) − log q(z_s|x), nats.

    Returns:
        value and mask (K, N, D), and the bracket (K, N); value + mask summed over columns, less the
        bracket, is the bound.

    Reference: Burda, Grosse, Salakhutdinov (2016), eq. 8; Cremer, Morris, Duvenaud (2017),
        Reinterpreting importance-weighted autoencoders, for the corrected posterior.
    """
    log_weight = value.sum(-1) + mask.sum(-1) + inside
    log_share = log_weight - log_weight.logsumexp(1, keepdim=True)
    share = log_share.exp()
    # KL(ŵ ‖ uniform); a share of 0 counts 0
    concentration = torch.where(share > 0, share * log_share, 0.0).sum(1) + math.log(share.shape[1])
    bracket = concentration - (share * inside).sum(1)
    share = share.unsqueeze(-1)
    return (share * value).sum(1), (share * mask).sum(1), bracket
