"""Rows as quantised codes: how many bits they take, and how much is lost.

Legend: K members, N rows, D columns, W encoded width, L latents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..encoding import Encoding
from ..models import Model
from ..neighbours import Neighbours
from ..scores import in_chunks
from .codes import Data, decoded, embed, encoded, whole

# the least probability that a code is given: one that training never came near costs 32 bits
LEAST = 2.0**-32


class Compressed(NamedTuple):
    """Rows as whole numbers, and what comes back from them.

    Attributes:
        codes: (N, L) int32, in steps; 0 for latents that the decoder does not read.
        step: width of a step, in units of the latents.
        rows: what comes back, (N,) per column.
        rate: (N,) KL(q(z|x) ‖ p(z)) in bits: what the codes would cost with bits back, and the
            rate of the rate-distortion curve that training with β walks along; NaN without prior.
        bits: (N,) that an arithmetic coder spends on those of `codes` that the decoder reads, with
            a normal distribution for each latent as its model, fitted to training rows: ideal
            code lengths, no rounding.
        distortion: (N,) squared error of `rows` in scaled units, over D columns; pixels' mean for
            a picture.
    """

    codes: np.ndarray
    step: float
    rows: dict[str, np.ndarray]
    rate: np.ndarray
    bits: np.ndarray
    distortion: np.ndarray


def compress(
    encoding: Encoding, model: Model, codes: Neighbours, data: Data, *, step: float = 0.5
) -> Compressed:
    """Rows as the first member's codes, rounded to multiples of `step`, and back.

    Args:
        encoding, model, codes: of a trained scorer.
        data: (N,) per column.
        step: > 0; half of it costs a bit more for each latent that is used.

    Raises:
        ValueError: step is not positive, or the data does not fit.

    Reference: Hoffman, Johnson (2016), ELBO surgery; Ballé, Laparra, Simoncelli (2017),
        End-to-end optimized image compression, section 3 (rate and distortion).
    """
    if not step > 0:
        raise ValueError(f"step must be positive, got {step}")
    x = encoded(encoding, data)
    wholes = np.rint(embed(encoding, model, data) / step).astype(np.int32)
    read = model.decoded_width
    wholes[:, read:] = 0
    back = decoded(model, wholes * np.float32(step), x if model.conditional else None)
    distortion = _distortion(model, back, x)
    return Compressed(
        codes=wholes,
        step=step,
        rows=whole(encoding, back.numpy()),
        rate=rate(model, x),
        bits=code_lengths(wholes[:, :read], step, codes.points[0, :, :read].cpu().double().numpy()),
        distortion=distortion,
    )


def _distortion(model: Model, back: Tensor, x: Tensor) -> np.ndarray:
    """(N,) squared error per source column; missing cells have none."""
    layout = model.likelihood.layout
    squares = (back - x).square()
    error = squares[:, : layout.numeric + layout.binary]
    sums = [0.5 * squares[:, block].sum(1, keepdim=True) for block in layout.one_hots]
    if layout.image:
        sums.append(squares[:, layout.picture].mean(1, keepdim=True))
    error = torch.cat([error, *sums], dim=1)
    observed = model.likelihood.observed(x)
    return (error if observed is None else error * observed).mean(1).double().numpy()


def rate(model: Model, x: Tensor) -> np.ndarray:
    """(N,) KL of the first member in bits, for encoded rows (N, W)."""
    if not model.has_elbo:
        return np.full(len(x), np.nan)

    def kl(chunk: Tensor) -> Tensor:
        posterior = model.encode(chunk[None])
        drawn = posterior.rsample(model.draws[:, None])
        return model.prior(chunk[None]).kl(posterior, drawn).sum(-1)[0][:, None]

    return in_chunks(model, x, kl)[:, 0].double().numpy() / math.log(2)


def code_lengths(codes: np.ndarray, step: float, training: np.ndarray) -> np.ndarray:
    """(N,) bits for codes (N, L) in steps, given codes (M, L) of training rows to learn from."""
    middle = torch.from_numpy(training.mean(0))
    # rounding itself spreads them by a uniform step
    spread = torch.from_numpy(np.sqrt(training.var(0) + step**2 / 12))
    at = torch.from_numpy(codes.astype(np.float64)) * step
    above, below = ((at + half - middle) / spread for half in (step / 2, -step / 2))
    # in the tail where both are far above, the difference of the complements is the exact one
    swap = below > 0
    upper, lower = torch.where(swap, -below, above), torch.where(swap, -above, below)
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    return -mass.clamp_min(LEAST).log2().sum(-1).numpy()
