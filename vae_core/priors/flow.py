"""A normalising flow as prior.

Legend: K members, S draws, N rows, L latents.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..networks.flow import Flow
from .base import Encode, LatentPrior, Prior


class FlowDensity(Prior):
    """z = f⁻¹(ε), ε ~ N(0, I): log p(z) = log N(f(z)) + log |det ∂f/∂z|.

    The flow runs from codes to noise, since training asks densities of codes.

    Reference: Rezende, Mohamed (2015), Variational Inference with Normalizing Flows, eq. 6;
        Chen et al. (2017), Variational Lossy Autoencoder, section 3.2 (as a prior).
    """

    def __init__(self, flow: Flow, members: int, latent: int) -> None:
        self.flow, self.members, self.latent = flow, members, latent

    def log_prob(self, z: Tensor) -> Tensor:
        noise, logarithm = self.flow(z.flatten(1, 2))
        normal = -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1)
        return (normal + logarithm).unflatten(1, z.shape[1:3]).unsqueeze(-1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        shape = (self.members, count, self.latent)
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return self.flow.inverse(noise)[0][:, None]


class FlowPrior(LatentPrior):
    """A flow for each member, learned with the model.

    Args:
        members: K.
        latent: L.
        layers: of coupling.
        generator: source of the weights.
    """

    def __init__(self, members: int, latent: int, layers: int, generator: torch.Generator) -> None:
        super().__init__()
        self.members, self.latent = members, latent
        self.flow = Flow(members, latent, layers, 0, generator)

    def distribution(self, encode: Encode) -> FlowDensity:
        return FlowDensity(self.flow, self.members, self.latent)
