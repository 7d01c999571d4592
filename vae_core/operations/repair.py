"""Rows mended: noise taken out, missing cells filled in.

Legend: K members, G generative ones, N rows, W encoded width, S draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..canonical import canonical, is_missing
from ..columns import (
    BinaryColumn,
    CategoricalColumn,
    ImageColumn,
    ModelledColumn,
    NumericColumn,
)
from ..encoding import Encoding
from ..models import Model
from ..scores import in_chunks
from .codes import Data, Expectation, read_expectation, reconstruct

ROUNDS = 20
# to three digits they settle sooner, and every alert of a night waits for it
ROUNDS_FOR_WORDS = 5


def denoise(encoding: Encoding, model: Model, data: Data) -> dict[str, np.ndarray]:
    """Noisy rows as the members that learned to undo noise expect them.

    Raises:
        ValueError: no member did.

    Reference: Vincent et al. (2008), Extracting and composing robust features with denoising
        autoencoders.
    """
    if model.roles.denoising == model.roles.generative:
        raise ValueError(
            "no member of this model learned to undo noise: train one with 2 or more members, "
            "and denoisers above 0"
        )
    return reconstruct(encoding, model, data)


def impute(
    encoding: Encoding, model: Model, data: Data, *, rounds: int = ROUNDS
) -> dict[str, np.ndarray]:
    """Rows with their missing cells at what the denoising members expect given the others.

    Fill the missing cells with E[x|z] at z = mu, read the row again, and so on until they settle:
    Rezende's sampler with means in place of draws. On correlated columns it comes closer than the
    mean of draws does, in a fraction of the rounds.

    Args:
        encoding, model: of a trained scorer.
        data: (N,) per column; NaN and None are missing, in pictures NaN pixels, in columns that
            never missed a cell in training, too. A column that is not there misses all its cells.
        rounds: ≥ 1.

    Returns:
        (N,) per modelled column; observed cells as they came; of a category, the likeliest one.

    Raises:
        ValueError: no column is there, or the observed cells do not fit the encoding.

    Reference: Rezende, Mohamed, Wierstra (2014), Stochastic backpropagation and approximate
        inference in deep generative models, appendix F.
    """
    gaps = _encode(encoding, data)
    return _merged(encoding, data, _settled(model, gaps, rounds))


def impute_draws(
    encoding: Encoding,
    model: Model,
    data: Data,
    draws: int,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> list[dict[str, np.ndarray]]:
    """Rows with their missing cells drawn, several times: they spread as the model is unsure.

    Pseudo-Gibbs sampling from where `impute` ends: draw z from q(z|x), draw the missing cells from
    p(x|z), and so on; the generative members in turn. The draws follow p(missing|observed) where
    q is the exact posterior.

    Args:
        draws: rows are filled in so many times, independently (multiple imputation).
        seed: of the draws.

    Reference: as `impute`; Mattei, Frellsen (2018), Leveraging the exact likelihood of deep latent
        variable models, section 3 (the bias where q is inexact).
    """
    gaps = _encode(encoding, data)
    start = _settled(model, gaps, rounds)
    device = model.draws.device
    generator = torch.Generator(device=device).manual_seed(seed)
    members = model.roles.generative.stop
    drawn: list[list[Tensor]] = [[] for _ in range(draws)]
    # feature maps of pictures are large: not all rows at once
    size = model.chunks[device.type]
    for x, missing in zip(start.split(size), gaps.missing.split(size), strict=True):
        for run in range(0, draws, members):
            rows = _chain(model, x.to(device), missing.to(device), rounds, generator).cpu()
            for member in range(min(members, draws - run)):
                drawn[run + member].append(rows[member])
    return [_merged(encoding, data, torch.cat(one)) for one in drawn]


def expectation_given_others(
    encoding: Encoding,
    model: Model,
    data: Data,
    hidden: Mapping[str, np.ndarray],
    members: slice | None = None,
) -> Expectation:
    """What members of a model expect in some cells of rows, given the rows' other cells.

    The cells are hidden and filled in as `impute` does it, so an odd one does not pull what is
    expected in its place.

    Args:
        data: (N,) per column.
        hidden: (N,) bool per column, which cells; of columns that are not there none.
        members: the denoising ones by default.

    Returns:
        of the hidden cells; others as they came, with probability 1 of what they hold.
    """
    cells, left_out = encoding.encode(data)
    x, layout = torch.from_numpy(cells), encoding.layout
    names = [column.name for column in encoding.grouped]
    none = np.zeros(len(x), dtype=bool)
    columns = torch.from_numpy(np.stack([hidden.get(name, none) for name in names], axis=1))
    gaps = torch.zeros(x.shape, dtype=torch.bool)
    for i in range(len(names)):
        gaps[:, layout.cells(i)] = columns[:, i : i + 1]
    rows = torch.where(gaps, 0.0, x)
    start, blank = rows.clone(), columns[:, list(layout.nullable)].float()
    start[:, layout.mask] *= 1.0 - blank
    rows[:, layout.mask] = torch.maximum(rows[:, layout.mask], blank)
    settled = _settled(model, Gaps(rows, start, gaps), ROUNDS_FOR_WORDS, members).numpy()
    return read_expectation(encoding, model, settled, cells, left_out)


def _settled(model: Model, gaps: Gaps, rounds: int, members: slice | None = None) -> Tensor:
    """(N, W) rows with their missing cells at the fixed point of the expectations, a mean over
    members: the denoising ones by default."""
    width = gaps.rows.shape[1]
    members = model.roles.denoising if members is None else members

    def expected(chunk: Tensor) -> Tensor:
        start, known, missing = chunk.split(width, dim=1)
        missing = missing > 0.5
        rows = start.expand(model.members, -1, -1)
        for _ in range(rounds):
            parameters = model.decode(model.encode(rows).mu[:, None], rows)
            rows = torch.where(missing, model.likelihood.mean(parameters)[:, 0], known)
        return rows[members].mean(0)

    return in_chunks(model, torch.cat([gaps.start, gaps.rows, gaps.missing.float()], 1), expected)


@torch.no_grad()
def _chain(
    model: Model, x: Tensor, missing: Tensor, rounds: int, generator: torch.Generator
) -> Tensor:
    """(K, N, W) rows after so many rounds of draws."""
    picture = model.likelihood.layout.picture
    rows = x.expand(model.members, -1, -1)
    shape = (model.members, 1, len(x), model.draws.shape[1])
    for _ in range(rounds):
        noise = torch.randn(shape, generator=generator, device=x.device)
        parameters = model.decode(model.encode(rows).rsample(noise), rows)
        drawn = model.likelihood.sample(parameters, generator)[:, 0]
        drawn[..., picture] = drawn[..., picture].clamp(0.0, 1.0)
        rows = torch.where(missing, drawn, x)
    return rows


class Gaps(NamedTuple):
    """Rows with missing cells, (N, W) each.

    Attributes:
        rows: 0 in the missing cells, every mask cell 1.
        start: the same, but the mask says what is missing, in columns that have one.
        missing: which cells are to be filled in.
    """

    rows: Tensor
    start: Tensor
    missing: Tensor


def _encode(encoding: Encoding, data: Data) -> Gaps:
    present = [name for name in encoding.required if name in data]
    if not present:
        raise ValueError(f"none of the columns {', '.join(encoding.required)} is there")
    rows = len(data[present[0]])
    stand_in: dict[str, np.ndarray] = dict(data)
    gaps = np.zeros((rows, encoding.layout.width), dtype=bool)
    seen = np.ones((rows, encoding.layout.columns), dtype=np.float32)
    for i, column in enumerate(encoding.grouped):
        values = data.get(column.name)
        if isinstance(column, ImageColumn):
            shape = (rows, column.height, column.width, column.channels)
            pixels = np.full(shape, np.nan) if values is None else np.reshape(values, shape)
            empty = missing(pixels)
            stand_in[column.name] = np.where(empty, 0, pixels)
            gaps[:, encoding.layout.picture] = empty.transpose(0, 3, 1, 2).reshape(rows, -1)
            continue
        empty = np.ones(rows, dtype=bool) if values is None else missing(values)
        # any value that the column can have: the model does not see it
        filled = np.full(rows, _usual(column), dtype=object if values is None else values.dtype)
        if values is not None:
            filled[~empty] = values[~empty]
        stand_in[column.name] = filled
        gaps[:, encoding.layout.cells(i)] = empty[:, None]
        seen[:, i] = ~empty
    holes = torch.from_numpy(gaps)
    x = torch.where(holes, 0.0, torch.from_numpy(encoding.encode(stand_in)[0]))
    start = x.clone()
    start[:, encoding.layout.mask] = torch.from_numpy(seen[:, list(encoding.layout.nullable)])
    return Gaps(x, start, holes)


def _usual(column: ModelledColumn) -> float | str:
    if isinstance(column, NumericColumn):
        return column.origin if column.transform == "asinh" else column.center
    if isinstance(column, BinaryColumn):
        return column.values[0]
    assert isinstance(column, CategoricalColumn)
    return column.categories[0] if column.categories else ""


def missing(values: np.ndarray) -> np.ndarray:
    """Where cells are NaN or None, in the shape of the values."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype != object:
        return np.zeros(values.shape, dtype=bool)
    flags = np.fromiter(map(is_missing, values.ravel()), bool, values.size)
    return flags.reshape(values.shape)


def _merged(encoding: Encoding, data: Data, filled: Tensor) -> dict[str, np.ndarray]:
    """Decoded rows with every observed cell as it came."""
    x = filled.numpy()
    x[:, encoding.layout.mask] = 1.0
    out = encoding.decode(x)
    for name, values in out.items():
        if name in data:
            given = data[name]
            empty, new = missing(given), values.reshape(given.shape)
            if given.dtype == object:
                new = _as_given(new, given[~empty])
            out[name] = np.where(empty, new, given).astype(values.dtype)
    return out


def _as_given(texts: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Categories (N,) as the observed cells have them: 1 or True where those are no texts."""
    spelled = {canonical(cell): cell for cell in cells.tolist()}
    out = np.empty(len(texts), dtype=object)
    out[:] = [spelled.get(text, text) for text in texts.tolist()]
    return out
