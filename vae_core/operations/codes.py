"""From rows to codes and back.

Legend: K members, N rows, W encoded width, L latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..asked import asked_for
from ..encoding import Encoding
from ..models import Model
from ..scores import expected_rows, in_chunks, latent_means

Data = Mapping[str, np.ndarray]


def encoded(encoding: Encoding, data: Data) -> Tensor:
    """(N, W) encoded rows on the CPU."""
    return torch.from_numpy(encoding.encode(data)[0])


def whole(encoding: Encoding, x: np.ndarray) -> dict[str, np.ndarray]:
    """Encoded rows (N, W) as raw columns in which no cell is missing."""
    x[:, encoding.layout.mask] = 1.0
    return encoding.decode(x)


def reconstruct(encoding: Encoding, model: Model, data: Data) -> dict[str, np.ndarray]:
    """What the denoising members expect in each cell, in raw units; the likeliest category."""
    return whole(encoding, expected_rows(model, encoded(encoding, data)).numpy())


class Expectation(NamedTuple):
    """What members of a model expect of rows, by column.

    Attributes:
        cells: (N,) in raw units; the likeliest category.
        probability: (N,) of the observed value, per binary or categorical column; 0 where it is
            missing.
    """

    cells: dict[str, np.ndarray]
    probability: dict[str, np.ndarray]


def expectation(encoding: Encoding, model: Model, data: Data) -> Expectation:
    """What the denoising members make of each cell, the cell itself included."""
    cells, left_out = encoding.encode(data)
    expected = expected_rows(model, torch.from_numpy(cells)).numpy()
    return read_expectation(encoding, model, expected, cells, left_out)


def read_expectation(
    encoding: Encoding, model: Model, expected: np.ndarray, cells: np.ndarray, left_out: np.ndarray
) -> Expectation:
    """An expectation in raw units and probabilities.

    Args:
        expected: (N, W) means of the decoders.
        cells, left_out: of `Encoding.encode`.
    """
    layout = encoding.layout
    probability: dict[str, np.ndarray] = {}
    seen = model.likelihood.observed(torch.from_numpy(cells))
    for i, binary in enumerate(encoding.binary, start=layout.numeric):
        p = expected[:, i]
        known = 1.0 if seen is None else seen[:, i].numpy()
        probability[binary.name] = np.where(cells[:, i] > 0.5, p, 1 - p) * known
    place = layout.numeric + layout.binary
    for i, one_hot in enumerate(layout.one_hots, start=place):
        p = (expected[:, one_hot] * cells[:, one_hot]).sum(1)
        share = np.exp(left_out[:, i]) if left_out.shape[1] > i else 1.0
        probability[encoding.categorical[i - place].name] = p * share
    return Expectation(whole(encoding, expected), probability)


def embed(encoding: Encoding, model: Model, data: Data) -> np.ndarray:
    """(N, L) posterior means of the first member."""
    return latent_means(model, encoded(encoding, data))[0].numpy()


def decode(
    encoding: Encoding, model: Model, codes: np.ndarray, given: Tensor | None = None
) -> dict[str, np.ndarray]:
    """What the first member expects of rows with these codes: the way back from `embed`.

    Args:
        codes: (N, L).
        given: (N, W) encoded rows that hold the conditions, for conditional models.

    Raises:
        ValueError: codes have another width.
    """
    return whole(encoding, decoded(model, codes, given).numpy())


def decoded(model: Model, codes: np.ndarray, given: Tensor | None = None) -> Tensor:
    """(N, W) decoder means of the first member for codes (N, L)."""
    z = torch.as_tensor(np.asarray(codes), dtype=torch.float32)
    if z.dim() != 2 or z.shape[1] != model.code_width:
        raise ValueError(
            f"codes of this model have {model.code_width} numbers each, got {tuple(z.shape)}"
        )

    def expected(chunk: Tensor) -> Tensor:
        codes, rows = chunk.split([model.code_width, chunk.shape[1] - model.code_width], dim=1)
        everyone = codes.expand(model.members, 1, -1, -1)
        parameters = model.decode(everyone, rows[None] if model.conditional else None)
        return model.likelihood.mean(parameters)[0, 0]

    return in_chunks(model, z if given is None else torch.cat([z, given], dim=1), expected)


def conditions(
    encoding: Encoding, condition: Mapping[str, object] | None, rows: int
) -> Tensor | None:
    """(N, W) rows that hold nothing but conditions; None where the model knows none.

    Args and errors: see `asked_for`.
    """
    asked = asked_for(encoding, condition, rows)
    return torch.from_numpy(asked) if encoding.conditions else None
