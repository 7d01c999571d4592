"""Model variants: one file each, one line here."""

from __future__ import annotations

from ..columns import Layout
from .autoencoder import Autoencoder
from .base import Model, ModelConfig
from .conditional import ConditionalVAE
from .discrete import DiscreteVAE
from .flow import FlowVAE
from .hierarchical import HierarchicalVAE
from .vae import VAE
from .vae_gan import VAEGAN

MODELS: dict[str, type[Model]] = {
    "autoencoder": Autoencoder,
    "vae": VAE,
    "conditional": ConditionalVAE,
    "flow": FlowVAE,
    "discrete": DiscreteVAE,
    "hierarchical": HierarchicalVAE,
    "vae_gan": VAEGAN,
}


def build_model(layout: Layout, config: ModelConfig, seed: int = 0) -> Model:
    """A fresh model of the configured variant.

    Raises:
        ValueError: the variant is unknown.
    """
    if config.variant not in MODELS:
        raise ValueError(f"unknown model {config.variant!r}; known: {', '.join(MODELS)}")
    return MODELS[config.variant](layout, config, seed)


__all__ = [
    "MODELS",
    "VAE",
    "VAEGAN",
    "Autoencoder",
    "ConditionalVAE",
    "DiscreteVAE",
    "FlowVAE",
    "HierarchicalVAE",
    "Model",
    "ModelConfig",
    "build_model",
]
