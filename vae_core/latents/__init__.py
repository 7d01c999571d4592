"""Posteriors q(z|x) and priors p(z)."""

from .gaussian import DiagonalGaussian, quasi_normal_draws
from .point import Point

Posterior = DiagonalGaussian | Point

__all__ = ["DiagonalGaussian", "Point", "Posterior", "quasi_normal_draws"]
