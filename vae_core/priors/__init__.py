"""Priors p(z): one file a kind, one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..columns import Layout
from .autoregressive import Autoregressive, AutoregressivePrior
from .base import LatentPrior, Prior
from .conditional import ConditionalPrior, GaussianPrior
from .flow import FlowPrior
from .ladder import LadderPrior
from .mixture import Mixture, MixturePrior
from .normal import NormalPrior, StandardNormal
from .nothing import Nothing
from .uniform import Uniform, UniformPrior
from .vamp import VampPrior

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models.base import ModelConfig


def _normal(layout: Layout, config: ModelConfig, generator: torch.Generator) -> LatentPrior:
    return NormalPrior(config.members, config.latent_dim_for(layout))


def _conditional(layout: Layout, config: ModelConfig, generator: torch.Generator) -> LatentPrior:
    conditions = sum(layout.conditions)
    if not conditions:
        raise ValueError("prior 'conditional' needs a condition, and there is none")
    latent, hidden = config.latent_dim_for(layout), config.hidden[-1:]
    return ConditionalPrior(config.members, conditions, hidden, latent, generator)


def _vamp(layout: Layout, config: ModelConfig, generator: torch.Generator) -> LatentPrior:
    latent = config.latent_dim_for(layout)
    return VampPrior(layout, config.members, latent, config.components, generator)


def _mixture(layout: Layout, config: ModelConfig, generator: torch.Generator) -> LatentPrior:
    return MixturePrior(config.members, config.latent_dim_for(layout), config.components)


def _flow(layout: Layout, config: ModelConfig, generator: torch.Generator) -> LatentPrior:
    return FlowPrior(config.members, config.latent_dim_for(layout), config.couplings, generator)


def _autoregressive(layout: Layout, config: ModelConfig, generator: torch.Generator) -> LatentPrior:
    latents = config.latent_dim_for(layout)
    return AutoregressivePrior(config.members, latents, config.categories, generator)


PRIORS: dict[str, Callable[[Layout, ModelConfig, torch.Generator], LatentPrior]] = {
    "normal": _normal,
    "vamp": _vamp,
    "mixture": _mixture,
    "flow": _flow,
    "conditional": _conditional,
    "autoregressive": _autoregressive,
}


def build_prior(layout: Layout, config: ModelConfig, generator: torch.Generator) -> LatentPrior:
    """The configured prior.

    Raises:
        ValueError: it is unknown.
    """
    if config.prior not in PRIORS:
        raise ValueError(f"unknown prior {config.prior!r}; known: {', '.join(PRIORS)}")
    return PRIORS[config.prior](layout, config, generator)


__all__ = [
    "PRIORS",
    "Autoregressive",
    "AutoregressivePrior",
    "ConditionalPrior",
    "FlowPrior",
    "GaussianPrior",
    "LadderPrior",
    "LatentPrior",
    "Mixture",
    "MixturePrior",
    "NormalPrior",
    "Nothing",
    "Prior",
    "StandardNormal",
    "Uniform",
    "UniformPrior",
    "VampPrior",
    "build_prior",
]
