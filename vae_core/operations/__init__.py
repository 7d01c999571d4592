"""What a trained model does beside scoring: reconstruct, embed, draw, walk, fill in, compress."""

from .codes import Expectation, conditions, decode, embed, expectation, reconstruct
from .compression import Compressed, compress
from .drawing import draw_conditions, generate
from .repair import denoise, expectation_given_others, impute, impute_draws
from .walks import Traversal, interpolate, latent_order, traverse

__all__ = [
    "Compressed",
    "Expectation",
    "Traversal",
    "compress",
    "conditions",
    "decode",
    "denoise",
    "draw_conditions",
    "embed",
    "expectation",
    "expectation_given_others",
    "generate",
    "impute",
    "impute_draws",
    "interpolate",
    "latent_order",
    "reconstruct",
    "traverse",
]
