"""Rows drawn from the model.

Legend: K members, G generative ones, N rows, W encoded width, L latents.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..encoding import Encoding
from ..models import Model
from ..neighbours import Neighbours
from ..priors import ConditionalPrior
from ..priors.em import best_mixture
from .codes import conditions

HOW = ("prior", "mixture")
COMPONENTS = 64
# where the prior knows conditions: codes drawn from the mixture, for each row to take one that
# suits its condition, and random conditions that they are held against
CANDIDATES = 8_192
REFERENCES = 256


@torch.no_grad()
def generate(
    encoding: Encoding,
    model: Model,
    codes: Neighbours,
    n: int,
    *,
    seed: int = 0,
    how: str = "prior",
    condition: Mapping[str, object] | None = None,
    expected: bool | None = None,
) -> dict[str, np.ndarray]:
    """n rows: z from the prior, x from p(x|z), the generative members in turn.

    Args:
        encoding, model, codes: of a trained scorer.
        n: rows.
        seed: of codes and cells; the same seed gives the same rows.
        how: "prior", or "mixture": codes from a Gaussian mixture fitted to those of training rows;
            where the prior is that of a condition, those of them that suit it.
        condition: category by condition, for conditional models, one for all rows or (n,); left
            out: known categories at random.
        expected: cells are means of p(x|z) instead of draws; None: for pictures, where independent
            noise in each pixel would count as detail.

    Raises:
        ValueError: the model has no prior to draw from, or an unknown condition or `how`.

    Reference: Ghosh et al. (2020), From variational to deterministic autoencoders, section 4
        (a density fitted to codes after training).
    """
    if n < 1:
        raise ValueError(f"at least one row must be asked for, got {n}")
    _check(model, how)
    members = model.roles.generative.stop
    device = model.draws.device
    each = -(-n // members)
    if encoding.conditions and not condition:
        condition = draw_conditions(encoding, n, seed)
    rows = conditions(encoding, condition, n)
    x = None if rows is None else _by_member(rows, members, model.members, each).to(device)
    generator = torch.Generator(device=device).manual_seed(seed)
    if how == "prior":
        z = model.prior(x).sample(each, generator)
    elif x is not None and isinstance(model.latent_prior, ConditionalPrior):
        others = conditions(encoding, draw_conditions(encoding, REFERENCES, seed), REFERENCES)
        candidates = _from_mixture(model, codes, CANDIDATES, generator)
        assert others is not None  # the rows have conditions
        z = suiting(model, candidates, x, others.to(device), generator)
    else:
        z = _from_mixture(model, codes, each, generator)
    if expected is None:
        expected = encoding.image is not None
    # a picture's feature maps are large: not all codes at once
    piece = model.chunks[device.type] if encoding.image else each
    drawn = []
    for start in range(0, each, piece):
        part = slice(start, start + piece)
        parameters = model.decode(z[:, :, part], None if x is None else x[:, part])
        likelihood = model.likelihood
        cells = (
            likelihood.mean(parameters) if expected else likelihood.sample(parameters, generator)
        )
        drawn.append(cells[:members].permute(2, 0, 1, 3).flatten(0, 2).cpu())
    return encoding.decode(torch.cat(drawn)[:n].numpy())


def _check(model: Model, how: str) -> None:
    if how not in HOW:
        raise ValueError(f"unknown way to draw codes {how!r}; known: {', '.join(HOW)}")
    if how == "prior" and not model.has_elbo:
        raise ValueError(
            f"a {type(model).__name__.lower()} has no prior: it cannot generate rows from one; "
            "draw from a mixture fitted to its codes, how='mixture'"
        )


def draw_conditions(encoding: Encoding, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """(n,) known categories at random for each condition."""
    rng = np.random.default_rng(seed)
    return {
        c.name: np.array(c.categories, dtype=object)[rng.integers(len(c.categories), size=n)]
        for c in encoding.conditions
    }


def _by_member(rows: Tensor, generative: int, members: int, each: int) -> Tensor:
    """(K, each, W): rows as members draw them in turn, row i by generative member i mod G."""
    full = torch.cat([rows, rows[-1:].expand(each * generative - len(rows), -1)])
    shared = full.unflatten(0, (each, generative)).transpose(0, 1)
    return torch.cat([shared, shared[:1].expand(members - generative, -1, -1)])


def _from_mixture(model: Model, codes: Neighbours, each: int, generator: torch.Generator) -> Tensor:
    """(K, 1, each, L) from a mixture of Gaussians for each member's training codes."""
    drawn = []
    for points in codes.points.double():
        mixture = best_mixture(points, COMPONENTS, generator)
        chosen = torch.multinomial(mixture.log_weights.exp(), each, True, generator=generator)
        shape = (each, points.shape[1])
        noise = torch.randn(shape, generator=generator, device=points.device, dtype=points.dtype)
        drawn.append(mixture.mu[chosen] + torch.exp(0.5 * mixture.logvar[chosen]) * noise)
    # members without codes of their own draw nothing that is kept
    drawn += drawn[:1] * (model.members - len(drawn))
    return torch.stack(drawn)[:, None].float()


def suiting(
    model: Model, candidates: Tensor, x: Tensor, others: Tensor, generator: torch.Generator
) -> Tensor:
    """(K, 1, N, L): for each row of x (K, N, W) a candidate (K, 1, C, L) that suits its condition.

    Codes of all conditions have density q(z), those of one q(z|y) ∝ q(z) p(y|z). Candidates are
    from q(z), so they are taken with weights p(z|y) / mean p(z|y') over `others` (R, W), with
    replacement.

    Reference: Rubin (1988), Using the SIR algorithm to simulate posterior distributions.
    """

    def log_prior(row: Tensor) -> Tensor:
        alike = row.expand(model.members, candidates.shape[2], -1)
        return model.prior(alike).log_prob(candidates)[:, 0].sum(-1)

    known, counts = others.unique(dim=0, return_counts=True)
    terms = [log_prior(row) + count.log() for row, count in zip(known, counts, strict=True)]
    overall = torch.logsumexp(torch.stack(terms), dim=0)
    chosen = candidates.new_empty(model.members, 1, x.shape[1], candidates.shape[-1])
    for row in x.flatten(0, 1).unique(dim=0):
        weights = torch.softmax(log_prior(row) - overall, dim=-1)
        for member, alike in enumerate((x == row).all(-1)):
            if alike.any():
                count = int(alike.sum())
                picked = torch.multinomial(weights[member], count, True, generator=generator)
                chosen[member, 0, alike] = candidates[member, 0, picked]
    return chosen
