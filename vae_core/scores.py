"""Deterministic scores of encoded rows: one encoder pass, one decoder pass over S + 1 points.

Legend: K members, S draws, N rows, D columns (grouped order), W encoded width, L latents.

Rows run in fixed, zero-padded chunks on one thread each, so a row's score does not depend on the
batch it comes in, its place there, or the number of workers.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from .device import single_threaded
from .models import Model
from .neighbours import Codes

CHUNK = {"cpu": 512, "cuda": 8192}
ROWS_PER_TASK = 8192


class RowTerms(NamedTuple):
    """Per row and column, means over draws and the members in the role, float64 on the CPU.

    Attributes:
        value: (N, D) −E_q log p(x_d|z) in nats of scaled units; 0 at missing cells.
        mask: (N, D) −E_q log p(m_d|z) in nats; 0 for columns that are not nullable.
        kl: (N,) nats.
        error: (N, D) squared error at z = mu, scaled units; 0 at missing cells.
        distance: (N,) distance to the nearest training codes.
    """

    value: Tensor
    mask: Tensor
    kl: Tensor
    error: Tensor
    distance: Tensor


def row_terms(model: Model, codes: Codes, x: Tensor) -> RowTerms:
    """All that scores and explanations are made of, for encoded rows x (N, W) on the CPU.

    `error` comes from the denoising members, everything else from the generative ones.
    """
    columns = model.likelihood.layout.columns
    stacked = in_chunks(model, x, lambda chunk: _chunk_terms(model, codes, chunk)).double()
    value, mask, error, rest = stacked.split([columns, columns, columns, 2], dim=1)
    return RowTerms(value, mask, rest[:, 0], error, rest[:, 1])


def latent_means(model: Model, x: Tensor) -> Tensor:
    """(G, N, L) posterior means of the generative members."""
    generative = model.roles.generative
    stacked = in_chunks(
        model, x, lambda chunk: model.encode(chunk[None]).mu[generative].permute(1, 0, 2).flatten(1)
    )
    return stacked.unflatten(1, (-1, model.draws.shape[1])).permute(1, 0, 2)


def expected_rows(model: Model, x: Tensor) -> Tensor:
    """(N, W) decoder means at z = mu, averaged over the denoising members."""

    def expected(chunk: Tensor) -> Tensor:
        parameters = model.decode(model.encode(chunk[None]).mu[:, None])
        return model.likelihood.mean(parameters)[model.roles.denoising].mean(dim=(0, 1))

    return in_chunks(model, x, expected)


def in_chunks(model: Model, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """`compute` over fixed chunks of rows; results (N, ·) on the CPU, in order."""
    device = model.draws.device
    size = CHUNK[device.type]

    @torch.inference_mode()
    def run(rows: Tensor) -> Tensor:
        with single_threaded():
            out = []
            for start in range(0, len(rows), size):
                chunk = rows[start : start + size]
                missing = size - len(chunk)
                if missing:
                    chunk = torch.cat([chunk, chunk.new_zeros(missing, chunk.shape[1])])
                out.append(compute(chunk.to(device))[: size - missing].cpu())
            return torch.cat(out)

    if not len(x):
        return run(x.new_zeros(1, x.shape[1]))[:0]
    tasks = x.split(max(ROWS_PER_TASK, size))
    workers = min(len(tasks), usable_cores()) if device.type == "cpu" else 1
    if workers == 1:
        return torch.cat([run(task) for task in tasks])
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers) as pool:
            return torch.cat(list(pool.map(run, tasks)))
    finally:
        torch.set_num_threads(before)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunk_terms(model: Model, codes: Codes, x: Tensor) -> Tensor:
    """(N, 3D + 2): value, mask, error, KL, distance."""
    generative, denoising = model.roles
    posterior = model.encode(x[None])
    at_mean = posterior.mu[:, None]
    drawn = posterior.rsample(model.draws[:, None])
    parameters = model.decode(torch.cat([at_mean, drawn], dim=1))
    rows = x[None, None]
    error = model.likelihood.squared_error(parameters[:, :1], rows)[denoising]
    value, mask = model.likelihood.log_prob(parameters[:, 1:], rows)
    masked = torch.zeros_like(value) if mask is None else mask
    kl = posterior.kl().sum(-1)[generative].mean(0)
    distance = codes.distance(posterior.mu[generative]).mean(0)
    value, masked = value[generative].mean((0, 1)), masked[generative].mean((0, 1))
    rest = torch.stack([kl, distance], dim=1)
    return torch.cat([-value, -masked, error.mean((0, 1)), rest], dim=1)
