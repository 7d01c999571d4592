"""The likelihood of a picture: one term for all of its pixels.

Legend: C channels, H × W pixels; cells lie channel by channel, line by line.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..columns import WHITE
from .base import Likelihood
from .bernoulli import Bernoulli
from .continuous_bernoulli import ContinuousBernoulli
from .cross_entropy import CrossEntropy
from .gaussian import Gaussian
from .logistic_mixture import LogisticMixture

# σ of a pixel, of which a picture has hundreds, decides how much the latent is worth. It starts at
# about the spread of pixels round their mean, and is learned faster than the weights: from σ = 1
# at their pace the KL wins first and the latent collapses.
LOG_VARIANCE_START = math.log(0.1)
LOG_VARIANCE_PACE = 10.0
# σ is no smaller than one of the 255 steps: a density between two levels means nothing
LOG_VARIANCE_BOUNDS = (-2.0 * math.log(WHITE), 4.0)


class Image(Likelihood):
    """Pixels, independent given z, as one source column.

    Args:
        pixels: likelihood of the C·H·W cells, each a term of its own.

    The squared error of a picture is the mean over its pixels, so that pictures of any size can
    be compared.
    """

    def __init__(self, pixels: Likelihood) -> None:
        super().__init__(pixels.width, pixels.parameter_width, 1)
        self.pixels = pixels
        self.density = pixels.density

    @property
    def log_jacobian(self) -> float:
        """log |du/dx| of a picture in nats: 0 where the likelihood counts levels, not lengths."""
        return 0.0 if self.pixels.discrete else -self.width * math.log(WHITE)

    def check(self, cells: Tensor) -> None:
        """Refuse grey pictures (N, C·H·W) where the likelihood is of binary ones.

        Raises:
            ValueError: there are some.
        """
        if isinstance(self.pixels, Bernoulli) and bool(((cells > 0) & (cells < 1)).any()):
            raise ValueError(
                "pixels 'bernoulli' are a likelihood of binary pictures, and these are grey: use "
                "'continuous_bernoulli' or 'gaussian', the loss 'bce', or draw binary pictures "
                "with `binarise`"
            )

    def bits_per_dimension(self, log_prob: Tensor) -> Tensor:
        """−log₂ p per cell of pictures, from log p (or a bound on it) in nats; lower is better.

        Raises:
            ValueError: the pixels' likelihood gives no probability of levels, so that bits per
                dimension would mean nothing.
        """
        if not (self.density and self.pixels.discrete):
            raise ValueError(
                f"bits per dimension need the probability of a picture's levels, and "
                f"{type(self.pixels).__name__} gives none: use pixels 'logistic_mixture', or "
                "'bernoulli' for binary pictures"
            )
        return -log_prob / (self.width * math.log(2.0))

    def log_prob(self, parameters: Tensor, x: Tensor, members: slice = slice(None)) -> Tensor:
        return self.pixels.log_prob(parameters, x, members).sum(-1, keepdim=True)

    def mean(self, parameters: Tensor) -> Tensor:
        return self.pixels.mean(parameters)

    def squared_error(self, parameters: Tensor, x: Tensor) -> Tensor:
        return self.pixels.squared_error(parameters, x).mean(-1, keepdim=True)

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        return self.pixels.sample(parameters, generator)


def _gaussian(shape: tuple[int, int, int], members: int, learned_variance: bool) -> Likelihood:
    pixels = math.prod(shape)
    if not learned_variance:
        return Gaussian(pixels, members, learned=False, shared=True)
    return Gaussian(
        pixels,
        members,
        shared=True,
        bounds=LOG_VARIANCE_BOUNDS,
        start=LOG_VARIANCE_START,
        pace=LOG_VARIANCE_PACE,
    )


def _per_pixel(
    kind: Callable[[int], Likelihood],
) -> Callable[[tuple[int, int, int], int, bool], Likelihood]:
    """Of likelihoods that are the same for every cell and learn nothing themselves."""
    return lambda shape, members, learned_variance: kind(math.prod(shape))


def _logistic_mixture(
    shape: tuple[int, int, int], members: int, learned_variance: bool
) -> Likelihood:
    return LogisticMixture(shape)


# shape (C, H, W), members, whether a variance is learned
PIXELS: dict[str, Callable[[tuple[int, int, int], int, bool], Likelihood]] = {
    "gaussian": _gaussian,
    "bernoulli": _per_pixel(Bernoulli),
    "continuous_bernoulli": _per_pixel(ContinuousBernoulli),
    "bce": _per_pixel(CrossEntropy),
    "logistic_mixture": _logistic_mixture,
}


def image_likelihood(
    kind: str, shape: tuple[int, int, int], members: int, *, learned_variance: bool = True
) -> Image:
    """p(picture|z) for pictures (C, H, W).

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in PIXELS:
        raise ValueError(f"unknown likelihood {kind!r} for pictures; known: {', '.join(PIXELS)}")
    return Image(PIXELS[kind](shape, members, learned_variance))
