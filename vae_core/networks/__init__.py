"""Networks between data, latents and likelihood parameters."""

from .mlp import MLP, BatchedLinear

__all__ = ["MLP", "BatchedLinear"]
