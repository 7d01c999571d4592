"""Model variants: one file each, one line here."""

from __future__ import annotations

from ..columns import Layout
from .autoencoder import Autoencoder
from .base import Model, ModelConfig
from .vae import VAE

MODELS: dict[str, type[VAE] | type[Autoencoder]] = {
    "autoencoder": Autoencoder,
    "vae": VAE,
}


def build_model(layout: Layout, config: ModelConfig, seed: int = 0) -> Model:
    """A fresh model of the configured variant.

    Raises:
        ValueError: the variant is unknown.
    """
    if config.variant not in MODELS:
        raise ValueError(f"unknown model {config.variant!r}; known: {', '.join(MODELS)}")
    return MODELS[config.variant](layout, config, seed)


__all__ = ["MODELS", "VAE", "Autoencoder", "Model", "ModelConfig", "build_model"]
