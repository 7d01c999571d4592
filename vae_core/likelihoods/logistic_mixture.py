"""Mixture of discretised logistic laws: a probability of each of a pixel's 256 levels.

Legend: M components, C channels, H × W pixels; v = 2x − 1, the pixel's value in [−1, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus

from .base import Likelihood

LEVELS = 256
HALF = 1.0 / (LEVELS - 1)  # half the distance of two levels, in units of v
LOG_SCALE_BOUNDS = (-7.0, 2.0)
# where training starts: scales of about a seventh of the range
START = -2.0


class LogisticMixture(Likelihood):
    """p(level|z) = (1 − ε) Σ_m π_m (F_m(v + half) − F_m(v − half)) + ε / 256.

    F_m is a logistic distribution function; the lowest and the highest level take its tails. The
    channels of a pixel share the component, and the mean of each is linear in the channels before
    it, so they depend on each other; the terms are log p(x_c | channels before it). The ε share
    keeps a level that training never saw at a finite cost, 15 nats.

    Decoder outputs come plane by plane, (planes, H, W): M weights, M·C means, M·C log-scales and
    M·C(C−1)/2 coefficients.

    Args:
        shape: (C, H, W) of the picture, values level / 255.
        components: M.
        smoothing: ε in (0, 1).

    Reference: Salimans, Karpathy, Chen, Kingma (2017), PixelCNN++, section 2.1–2.2.
    """

    def __init__(
        self, shape: tuple[int, int, int], components: int = 5, smoothing: float = 1e-4
    ) -> None:
        channels, height, width = shape
        self.couplings = [(c, b) for c in range(channels) for b in range(c)]
        self.blocks = [1, channels, channels, len(self.couplings)]
        planes = components * sum(self.blocks)
        cells = channels * height * width
        super().__init__(cells, planes * height * width, cells)
        self.shape, self.components, self.smoothing = shape, components, smoothing

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        weights, means, log_scales, coefficients = self._cut(parameters)
        v = 2.0 * x.unflatten(-1, self.shape) - 1.0
        centres = self._centres(means, coefficients, v[..., None, :, :, :])
        inverse = torch.exp(-log_scales)
        distance = v[..., None, :, :, :] - centres
        above, below = (distance + HALF) * inverse, (distance - HALF) * inverse
        # F(a) − F(b) = σ(a) σ(−b) (1 − exp(b − a)): nothing cancels, however small it is
        lower, upper = -softplus(-above), -softplus(below)
        between = lower + upper + torch.log(-torch.expm1(-2.0 * HALF * inverse))
        level = v[..., None, :, :, :]
        inner = torch.where(level > 1.0 - HALF, upper, between)
        per_channel = torch.where(level < HALF - 1.0, lower, inner)
        # log of π_m · p_m of a channel and those before it, then the same of the uniform share
        share = math.log1p(-self.smoothing)
        joint = torch.logsumexp(share + weights + per_channel.cumsum(-3), dim=-4)
        count = torch.arange(1, self.shape[0] + 1, device=x.device)[:, None, None]
        floor = math.log(self.smoothing) - count * math.log(LEVELS)
        joint = torch.logaddexp(joint, floor.to(joint.dtype))
        terms = torch.cat([joint[..., :1, :, :], joint.diff(dim=-3)], dim=-3)
        return terms.flatten(-3)

    def mean(self, parameters: Tensor) -> Tensor:
        """Σ π_m · mean_m, kept within [0, 1]; the tails beyond the range are not folded in."""
        weights, means, _, coefficients = self._cut(parameters)
        centres = self._centres(means, coefficients, None)
        v = (weights.exp() * centres).sum(-4)
        return (0.5 * (v + 1.0)).clamp(0.0, 1.0).flatten(-3)

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        return (x - self.mean(parameters)).square()

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        weights, means, log_scales, coefficients = self._cut(parameters)
        device = parameters.device
        uniform = torch.rand(weights.shape, generator=generator, device=device)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-6, 1 - 1e-6)))
        chosen = (weights + gumbel).argmax(-4, keepdim=True)
        uniform = torch.rand(
            means[..., :1, :, :, :].shape, generator=generator, device=device
        ).clamp(1e-6, 1 - 1e-6)

        def of(planes: Tensor) -> Tensor:
            shape = list(planes.shape)
            shape[-4] = 1
            return planes.gather(-4, chosen.expand(shape))

        noise = of(log_scales).exp() * torch.logit(uniform)
        means, coefficients = of(means), of(coefficients)
        drawn: list[Tensor] = []
        for c in range(self.shape[0]):
            v = means[..., c, :, :] + noise[..., c, :, :]
            for i, (channel, before) in enumerate(self.couplings):
                if channel == c:
                    v = v + coefficients[..., i, :, :] * drawn[before]
            level = torch.round((v.clamp(-1.0, 1.0) + 1.0) * 0.5 * (LEVELS - 1))
            drawn.append(2.0 * level / (LEVELS - 1) - 1.0)
        return 0.5 * (torch.stack(drawn, dim=-3).squeeze(-4) + 1.0).flatten(-3)

    def _cut(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log-weights (…, M, 1, H, W), means and log-scales (…, M, C, H, W), coefficients."""
        m, (_, height, width) = self.components, self.shape
        planes = parameters.unflatten(-1, (-1, height, width))
        cut = planes.split([m * block for block in self.blocks], dim=-3)
        weights, means, scales, coefficients = (
            piece.unflatten(-3, (m, block)) for piece, block in zip(cut, self.blocks, strict=True)
        )
        log_scales = (scales + START).clamp(*LOG_SCALE_BOUNDS)
        return log_softmax(weights, dim=-4), means, log_scales, torch.tanh(coefficients)

    def _centres(self, means: Tensor, coefficients: Tensor, v: Tensor | None) -> Tensor:
        """Means given the channels before: those of v, or their own means where it is None."""
        if not self.couplings:
            return means
        centres: list[Tensor] = []
        for c in range(self.shape[0]):
            centre = means[..., c, :, :]
            for i, (channel, before) in enumerate(self.couplings):
                if channel == c:
                    seen = centres[before] if v is None else v[..., before, :, :]
                    centre = centre + coefficients[..., i, :, :] * seen
            centres.append(centre)
        return torch.stack(torch.broadcast_tensors(*centres), dim=-3)
