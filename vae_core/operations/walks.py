"""Walks through the latent space: between two rows, and along one latent.

All in the space of the first member, the one of `embed`: members have spaces of their own.

Legend: N pairs of rows, T steps, L latents, J walked latents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..encoding import Encoding
from ..models import Model
from ..neighbours import Neighbours
from ..priors import StandardNormal
from .codes import Data, conditions, decoded, embed, encoded, whole

PATHS = ("linear", "spherical")
# draws that tell the spread of a prior without closed form
MOMENT_DRAWS = 4096


def interpolate(
    encoding: Encoding,
    model: Model,
    start: Data,
    end: Data,
    *,
    steps: int = 9,
    path: str = "linear",
) -> dict[str, np.ndarray]:
    """Rows expected along the way between the codes of two rows.

    Args:
        encoding, model: of a trained scorer.
        start, end: N rows each, (N,) per column; both ends' codes are posterior means.
        steps: T ≥ 2, both ends included.
        path: linear, or spherical: along the arc between both codes, which keeps to where a
            normal prior of many latents has its mass.

    Returns:
        (N · T,) per column, the T steps of a pair in a row. The ends are what `decode` makes of
        the codes of `start` and `end`.

    Raises:
        ValueError: fewer than two steps, an unknown path, or unequal numbers of rows.

    Reference: White (2016), Sampling generative networks, section 2.1 (spherical).
    """
    if steps < 2:
        raise ValueError(f"an interpolation takes at least 2 steps, got {steps}")
    if path not in PATHS:
        raise ValueError(f"unknown path {path!r}; known: {', '.join(PATHS)}")
    a, b = embed(encoding, model, start), embed(encoding, model, end)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} rows cannot be paired with {len(b)}")
    share = np.linspace(0.0, 1.0, steps, dtype=np.float32)[None, :, None]
    between = _linear if path == "linear" else _spherical
    z = between(a[:, None], b[:, None], share).reshape(-1, a.shape[1])
    given = None
    if model.conditional:
        first, last = (encoded(encoding, rows).numpy()[:, None] for rows in (start, end))
        given = torch.from_numpy(_linear(first, last, share).reshape(len(z), -1))
    return whole(encoding, decoded(model, z, given).numpy())


def _linear(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (1 - share) * a + share * b


def _spherical(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Along the arc; straight where there is none, between parallel codes or from the origin."""
    lengths = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    product = (a * b).sum(-1, keepdims=True)
    cosine = np.clip(
        np.divide(product, lengths, out=np.ones_like(product), where=lengths > 0), -1, 1
    )
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    arc = np.broadcast_to(sine > 1e-4, (*a.shape[:-2], share.shape[1], 1))
    safe = np.where(sine > 1e-4, sine, 1.0)
    curved = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / safe
    out = np.where(arc, curved, _linear(a, b, share))
    # the ends are the codes themselves, to the bit
    out[..., 0, :], out[..., -1, :] = a[..., 0, :], b[..., 0, :]
    return out.astype(np.float32)


class Traversal(NamedTuple):
    """What becomes of a row as one latent after another is moved.

    Attributes:
        rows: (J · T,) per column, the T values of a latent in a row.
        latents: J of them, as numbered in `embed`; a categorical latent has one number, not one
            for each of its categories.
        values: (T,) in standard deviations of the prior around its mean, or the numbers of the
            categories.
        categorical: whether they are categories.
    """

    rows: dict[str, np.ndarray]
    latents: tuple[int, ...]
    values: np.ndarray
    categorical: bool = False


def traverse(
    encoding: Encoding,
    model: Model,
    codes: Neighbours,
    base: Data | None = None,
    *,
    order: Sequence[int],
    latents: int | None = 8,
    steps: int = 9,
    reach: float = 3.0,
    condition: Mapping[str, object] | None = None,
) -> Traversal:
    """Move one latent at a time and see what the model expects.

    A categorical latent takes each of its categories in turn. Latents that the decoder does not
    read, those of a ladder's upper layers, are left out.

    Args:
        encoding, model, codes: of a trained scorer. For an autoencoder, which has no prior, mean
            and spread are those of the codes.
        base: one row, whose other latents stay; None: the prior's mean.
        order: latents, the one with most to say first, see `diagnose`.
        latents: the first so many of them; None: all.
        steps: T ≥ 2 values each; of categorical latents T is the number of categories.
        reach: standard deviations to both sides of the prior's mean; not of categorical ones.
        condition: category by condition, for conditional models without base, which has its own.

    Raises:
        ValueError: fewer than 2 steps, `base` is not one row, both it and a condition are given, or
            the model has no such condition.
    """
    if steps < 2:
        raise ValueError(f"a traversal takes at least 2 steps, got {steps}")
    if condition and base is not None:
        raise ValueError("a traversal from a row keeps the row's conditions: give one or the other")
    wide = model.categories
    values = np.linspace(-reach, reach, steps, dtype=np.float32) if wide == 1 else np.arange(wide)
    walked = tuple(latent for latent in order if latent < model.decoded_width // wide)[:latents]
    total = len(walked) * len(values)
    z = None if base is None else embed(encoding, model, base)
    if z is not None and len(z) != 1:
        raise ValueError(f"a traversal starts from one row, got {len(z)}")
    rows = None
    if base is None:
        rows = conditions(encoding, condition, total)
    elif model.conditional:
        rows = encoded(encoding, base).expand(total, -1)
    mean, spread = moments(model, codes, rows)
    z = np.repeat(mean if z is None else z, total, axis=0)
    for i, latent in enumerate(walked):
        own = z[i * len(values) : (i + 1) * len(values), latent * wide : (latent + 1) * wide]
        moved = np.eye(wide) if wide > 1 else mean[0, latent] + values * spread[0, latent]
        own[:] = moved.reshape(own.shape)
    return Traversal(whole(encoding, decoded(model, z, rows).numpy()), walked, values, wide > 1)


@torch.no_grad()
def moments(
    model: Model, codes: Neighbours, given: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the first member's latents under its prior, (1, L) each.

    Args:
        given: rows whose first holds the conditions of all, for conditional models.
    """
    points = codes.points[0]
    if model.has_elbo:
        device = model.draws.device
        x = None if given is None else given[None, :1].expand(-1, MOMENT_DRAWS, -1).to(device)
        prior = model.prior(x)
        if isinstance(prior, StandardNormal):
            one = np.ones((1, model.code_width), dtype=np.float32)
            return 0 * one, one
        generator = torch.Generator(device=device).manual_seed(0)
        points = prior.sample(MOMENT_DRAWS, generator)[0, 0]
    mean, spread = points.mean(0, keepdim=True), points.std(0, correction=0, keepdim=True)
    return mean.cpu().numpy(), spread.cpu().numpy()


def latent_order(diagnostics: Mapping[str, Any], model: Model, codes: Neighbours) -> list[int]:
    """Latents of the first member, most telling first: by KL, as `diagnose` found it.

    Scorers of earlier releases did not keep it, or not by latent: there, by the spread of the
    codes.
    """
    kept = diagnostics.get("latent_order", ())
    if len(kept) == model.latents:
        return list(kept)
    spread = codes.points[0].var(0).unflatten(-1, (-1, model.categories)).sum(-1)
    return spread.argsort(descending=True).tolist()
