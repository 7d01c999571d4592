"""Deterministic scores of encoded rows: each member decodes only the points its role asks for.

Legend: K members, S draws, N rows, D columns (grouped order), W encoded width, L latents.

Rows run in fixed, zero-padded chunks on one thread each, so a row's score does not depend on the
batch it comes in, its place there, or the number of workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
from torch import Tensor

from .device import single_threaded
from .models import Model

if TYPE_CHECKING:
    from .references import References

T = TypeVar("T")
R = TypeVar("R")

ROWS_PER_TASK = 8192


class RowTerms(NamedTuple):
    """Per row and column, means over draws and the members in the role, on the CPU.

    `value` and `error` in single precision, which is all that the model has; the others float64.

    Attributes:
        value: (N, D) −E_q log p(x_d|z) in nats of scaled units; 0 at missing cells.
        mask: (N, D) −E_q log p(m_d|z) in nats; 0 for columns that are not nullable.
        kl: (N,) nats.
        error: (N, D) squared error at z = mu, scaled units; 0 at missing cells.
        latent_distance: (N,) to training codes, see `Neighbours`.
        row_distance: (N,) to training rows, see `Rows`.
    """

    value: Tensor
    mask: Tensor
    kl: Tensor
    error: Tensor
    latent_distance: Tensor
    row_distance: Tensor


def row_terms(model: Model, references: References | None, x: Tensor) -> RowTerms:
    """All that scores and explanations are made of, for encoded rows x (N, W) on the CPU.

    Without references distances are 0. `error` comes from the denoising members, everything else
    from the generative ones.
    """
    columns = model.likelihood.layout.columns
    stacked = in_chunks(model, x, lambda chunk: _chunk_terms(model, references, chunk))
    rest = stacked.shape[1] - 2 * columns
    value, error, more = stacked.split([columns, columns, rest], dim=1)
    more = more.double()
    mask = more[:, 3:] if rest > 3 else more.new_zeros(()).expand(value.shape)
    return RowTerms(value, mask, more[:, 0], error, more[:, 1], more[:, 2])


def latent_means(model: Model, x: Tensor) -> Tensor:
    """(G, N, L) posterior means of the generative members."""
    generative = model.roles.generative
    stacked = in_chunks(
        model, x, lambda chunk: model.encode(chunk[None]).mu[generative].permute(1, 0, 2).flatten(1)
    )
    return stacked.unflatten(1, (-1, model.code_width)).permute(1, 0, 2)


def expected_rows(model: Model, x: Tensor) -> Tensor:
    """(N, W) decoder means at z = mu, averaged over the denoising members."""
    members = model.roles.denoising

    def expected(chunk: Tensor) -> Tensor:
        mu = model.encode(chunk[None]).mu[members]
        parameters = model.decode(mu[:, None], chunk[None], members)
        return averaged(model.likelihood.mean(parameters))

    return in_chunks(model, x, expected)


def reconstruction_errors(model: Model, x: Tensor) -> Tensor:
    """(N, D) squared errors at z = mu, as `RowTerms.error`, and nothing else: one decoding."""

    def errors(chunk: Tensor) -> Tensor:
        members = model.roles.denoising
        mu = model.encode(chunk[None]).mu[members]
        parameters = model.decode(mu[:, None], chunk[None], members)
        return averaged(model.likelihood.squared_error(parameters, chunk[None, None]))

    return in_chunks(model, x, errors)


def in_chunks(
    model: Model,
    x: Tensor,
    compute: Callable[[Tensor], Tensor],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`compute` over fixed chunks of rows; results (N, ·) on the CPU, in order, as `dtype`."""
    device = model.draws.device
    size = model.chunks[device.type]
    sheet = _Sheet(len(x), dtype)

    @torch.inference_mode()
    def run(first: int) -> None:
        with single_threaded():
            for start in range(first, min(first + task, len(x)) or 1, size):
                chunk = x[start : start + size]
                missing = size - len(chunk)
                if missing:
                    chunk = torch.cat([chunk, chunk.new_zeros(missing, chunk.shape[1])])
                sheet.write(start, compute(chunk.to(device))[: size - missing])

    task = max(ROWS_PER_TASK, size)
    over_cores(run, range(0, len(x) or 1, task), device)
    return sheet.rows


def over_cores(run: Callable[[T], R], tasks: Sequence[T], device: torch.device) -> list[R]:
    """`run` on each task, results in order; with the model on the CPU, a Python thread a core."""
    workers = min(len(tasks), usable_cores()) if device.type == "cpu" else 1
    if workers == 1:
        return [run(task) for task in tasks]
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(run, tasks))
    finally:
        torch.set_num_threads(before)


def averaged(terms: Tensor) -> Tensor:
    """(N, ·) means over members and draws of (K, S, N, ·)."""
    return terms[0, 0] if terms.shape[:2] == (1, 1) else terms.mean((0, 1))


def usable_cores() -> int:
    """Cores this process may run on; fewer where OMP_NUM_THREADS says so.

    Dask and Spark set that variable for their workers, of which a machine runs one for each core.
    """
    able = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if able else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdecimal() and int(asked) else cores


class _Sheet:
    """Rows on the CPU that several threads write; the first to come tells how wide they are."""

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        self._count, self._dtype, self._lock = count, dtype, Lock()
        self.rows: Tensor = torch.empty(0)

    def write(self, start: int, part: Tensor) -> None:
        """The rows from `start` on; a part that is all of them is kept as it is."""
        if len(part) == self._count:
            self.rows = part.to("cpu", self._dtype)
            return
        with self._lock:
            if not len(self.rows):
                self.rows = torch.empty(self._count, *part.shape[1:], dtype=self._dtype)
        self.rows[start : start + len(part)] = part


def _chunk_terms(model: Model, references: References | None, x: Tensor) -> Tensor:
    """(N, 2D + 3): value, error, KL, distances; where cells may be missing the mask (N, D) too."""
    generative, denoising = model.roles
    posterior = model.encode(x[None])
    mu = posterior.mu
    drawn = posterior.rsample(model.draws[:, None])
    rows = x[None, None]
    at_mean = model.decode(mu[denoising][:, None], x[None], denoising)
    error = averaged(model.likelihood.squared_error(at_mean, rows))
    # one draw at a time: the activations of all of them would leave the cache
    draws = [
        model.likelihood.log_prob(model.decode(z, x[None], generative), rows, generative)
        for z in drawn[generative].split(1, dim=1)
    ]
    values, masks = zip(*draws, strict=True)
    kl = model.prior(x[None]).kl(posterior, drawn).sum(-1)[generative].mean(0)
    of_codes = of_rows = torch.zeros_like(kl)
    if references is not None:
        of_codes = references.codes.distance(mu[generative]).mean(0)
        if references.rows is not None:
            of_rows = references.rows.distance(x)
    parts = [_surprise(values), error, torch.stack([kl, of_codes, of_rows], dim=1)]
    return torch.cat(parts if masks[0] is None else [*parts, _surprise(masks)], dim=1)


def _surprise(draws: Sequence[Tensor]) -> Tensor:
    """(N, ·) minus the mean over members and draws (K, 1, N, ·); the terms are used up."""
    return averaged(reduce(torch.add, draws)).div_(-len(draws))
