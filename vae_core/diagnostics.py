"""Health of a trained model: is the latent used, how far is it from the prior, is a variance at
its bound?

Legend: K members, N rows, L latents, G groups of latents with a KL each.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .latents import CategoricalLatents, DiagonalGaussian, Posterior
from .models import Model

ACTIVE_VARIANCE = 0.01
ROWS = 1000
# rows of which each one's code is held against each one's posterior, …
PAIRED = 500
# … where a density of a foreign code takes networks, or the inverse of a flow
PAIRED_BY_NETWORK = 64
# codes against posteriors at a time: bounds the memory of N × N log-densities
BLOCK = 64


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
        collapsed: True where no latent is active in some member;
        latent_order: the first member's latents, most telling first: by KL, or by the spread of
            their means where they have no KL of their own; a categorical latent is one;
        decoder_variance_at_bound: share of variances, of numeric columns or a picture's values,
            that are at their lower bound;
        and, where there is a prior,
        kl_per_dimension: G values in nats, mean over rows and members, largest first per member;
        mutual_information, marginal_kl: see `KlParts`, means over members, of the first rows;
        most_information: log of how many rows that is, what the mutual information cannot exceed.

    Reference: Burda, Grosse, Salakhutdinov (2016), section 4.1.2 (active units).
    """
    x = x[:ROWS]
    generative = model.roles.generative
    whole = model.encode(x[None])
    posterior = whole.of(generative)
    spread = posterior.mu.var(dim=1, correction=0)
    active = (spread > ACTIVE_VARIANCE).sum(-1)
    telling = spread[0].unflatten(-1, (-1, model.categories)).sum(-1)
    out: dict[str, Any] = {
        "active_units": float(active.float().mean()),
        "latent_dim": posterior.mu.shape[-1],
        "collapsed": bool((active == 0).any()),
    }
    if model.has_elbo:
        prior = model.prior(x[None])
        z = whole.rsample(_noise(model, len(x)))
        kl = prior.kl(whole, z)[generative].mean(1)
        telling = kl[0] if kl.shape[-1] == len(telling) else telling
        largest = kl.sort(dim=-1, descending=True).values.mean(0)
        out["kl_per_dimension"] = [float(v) for v in largest]
        closed = isinstance(posterior, DiagonalGaussian | CategoricalLatents)
        out |= _parts_of_kl(model, x[: PAIRED if closed else PAIRED_BY_NETWORK])
    out["latent_order"] = telling.argsort(descending=True).tolist()
    scaled = model.likelihood.scaled
    if scaled is not None:
        at_bound = scaled.log_variance[generative] <= scaled.bounds[0]
        out["decoder_variance_at_bound"] = float(at_bound.float().mean())
    return out


def _parts_of_kl(model: Model, x: Tensor) -> dict[str, float]:
    whole, prior = model.encode(x[None]), model.prior(x[None])
    generative = model.roles.generative
    z = whole.rsample(_noise(model, len(x)))
    parts = cut_kl(whole.of(generative), z[generative], prior.log_prob(z)[generative])
    return {
        "mutual_information": float(parts.mutual_information.mean()),
        "marginal_kl": float(parts.marginal_kl.mean()),
        "most_information": math.log(len(x)),
    }


class KlParts(NamedTuple):
    """The mean KL of a posterior cut in two, nats, (K,) each; they add up to it.

    Attributes:
        mutual_information: I(x; z) = E log q(z|x) − E log q(z), what codes say about the row; at
            most log N, since q(z) is the mean posterior of these N rows.
        marginal_kl: KL(q(z) ‖ p(z)), how far codes of rows as a whole lie from the prior that
            generated rows start from.

    Reference: Hoffman, Johnson (2016), ELBO surgery, eq. 5.
    """

    mutual_information: Tensor
    marginal_kl: Tensor


def cut_kl(posterior: Posterior, z: Tensor, log_prior: Tensor) -> KlParts:
    """Both parts by Monte Carlo, whatever the kinds of posterior and prior.

    Args:
        posterior: q(z|x) of N rows.
        z: (K, 1, N, L), a draw of each row's posterior.
        log_prior: (K, 1, N, G) log p(z) of these draws, nats.
    """
    rows = z.shape[2]
    own = posterior.log_prob(z).sum(-1)[:, 0]
    marginal = torch.cat(
        [_log_marginal(posterior, codes, rows) for codes in z[:, 0].split(BLOCK, dim=1)], dim=1
    )
    return KlParts((own - marginal).mean(1), (marginal - log_prior.sum(-1)[:, 0]).mean(1))


def _log_marginal(posterior: Posterior, codes: Tensor, rows: int) -> Tensor:
    """log q(z) of codes (K, B, L) under the mean posterior of all rows: (K, B)."""
    everyone = codes[:, :, None].expand(-1, -1, rows, -1)
    return posterior.log_prob(everyone).sum(-1).logsumexp(-1) - math.log(rows)


def _noise(model: Model, rows: int) -> Tensor:
    device = model.draws.device
    generator = torch.Generator(device=device).manual_seed(0)
    shape = (model.members, 1, rows, model.draws.shape[1])
    return torch.randn(shape, generator=generator, device=device)
