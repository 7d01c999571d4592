"""Posteriors q(z|x)."""

from .base import Posterior
from .categorical import CategoricalLatents
from .flow import FlowPosterior
from .gaussian import DiagonalGaussian, quasi_normal_draws
from .ladder import Ladder
from .point import Point

__all__ = [
    "CategoricalLatents",
    "DiagonalGaussian",
    "FlowPosterior",
    "Ladder",
    "Point",
    "Posterior",
    "quasi_normal_draws",
]
