"""What a model says of itself: bounds on log p of rows, and the health of its latent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.quality.figure import Figure
from pipeline.sampling import Rows
from vae_core import importance_weighted_log_prob
from vae_core.likelihoods import Bernoulli
from vae_core.scores import row_terms

if TYPE_CHECKING:
    from vae_core import Scorer

# of so many rows the tighter bound is taken, with so many draws each
BOUND_ROWS, BOUND_DRAWS = 200, 100

__all__ = ["latent_figures", "likelihood_figures"]


def likelihood_figures(scorer: Scorer, training: Rows, held_out: Rows, seed: int) -> list[Figure]:
    """Bounds on log p of held-out rows, beside those of training rows: a gap is overfitting.

    Where the likelihood is one of binary pictures, of pictures drawn once from the grey ones.
    """
    likelihood = scorer.model.likelihood
    if not scorer.model.has_elbo or not all(block.density for block in likelihood.blocks):
        return []
    parts = [
        _drawn(scorer, part, seed) for part in (held_out, training.sample(len(held_out), seed))
    ]
    elbo = [float(np.mean(scorer.raw_scores(part.columns).elbo)) for part in parts]
    gaps = [_gap(scorer, part.sample(BOUND_ROWS, seed), seed) for part in parts]
    tighter = [value + gap for value, gap in zip(elbo, gaps, strict=True)]
    figures = [
        Figure("elbo", elbo[0], elbo[1], "training_rows"),
        Figure("importance_weighted_elbo", tighter[0], tighter[1], "training_rows"),
    ]
    image = likelihood.image
    if image is not None and image.pixels.discrete:
        bits = image.bits_per_dimension(torch.tensor(tighter)).tolist()
        figures.append(Figure("bits_per_dimension", bits[0], bits[1], "training_rows"))
    return figures


def _drawn(scorer: Scorer, rows: Rows, seed: int) -> Rows:
    """The rows; each pixel 0 or 255 where the likelihood knows no others."""
    column, likelihood = scorer.encoding.image, scorer.model.likelihood.image
    if column is None or likelihood is None or not isinstance(likelihood.pixels, Bernoulli):
        return rows
    grey = rows.columns[column.name]
    uniform = np.random.default_rng(seed).random(grey.shape, dtype=np.float32)
    binary = np.where(255 * uniform < grey, 255, 0).astype(np.uint8)
    return Rows({**rows.columns, column.name: binary}, rows.labels, rows.labelled)


def _gap(scorer: Scorer, rows: Rows, seed: int) -> float:
    """Nats by which the importance-weighted bound of these rows exceeds their ELBO, mean."""
    x = torch.from_numpy(scorer.encoding.encode(rows.columns)[0])
    terms = row_terms(scorer.model, None, x)
    elbo = -(terms.value.double().sum(1) + terms.mask.sum(1) + terms.kl)
    tighter = importance_weighted_log_prob(scorer.model, x, BOUND_DRAWS, seed).log_prob
    return float((tighter - elbo).mean())


def latent_figures(scorer: Scorer) -> list[Figure]:
    """Health of the latent, as diagnosed on validation rows when training ended."""
    seen = scorer.diagnostics
    per_latent = seen.get("kl_per_dimension")
    most = {
        "active_units": seen.get("latent_dim"),
        "mutual_information": seen.get("most_information"),
    }
    values = dict(seen)
    if per_latent:
        values |= {"kl": sum(per_latent), "largest_kl": max(per_latent)}
    names = (
        *("active_units", "kl", "largest_kl", "mutual_information", "marginal_kl"),
        "decoder_variance_at_bound",
    )
    return [
        Figure(name, float(values[name]), most.get(name), "bound")
        for name in names
        if name in values
    ]
