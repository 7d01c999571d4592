"""The core against loops written out and against matrix products alone. Torch only.

Every contestant trains or scores the same standardised rows with the same layer sizes.

Legend: N rows, D columns, W encoded width, K members, S draws.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.clock import Work
from benchmarks.speed.network import (
    HIDDEN,
    LATENT,
    Plain,
    PyodDataset,
    loss,
    products,
    pyod_batches,
)
from vae_core import ModelConfig, References, TrainConfig, build_model, train
from vae_core.columns import Layout, round_up
from vae_core.device import single_threaded
from vae_core.models import Model
from vae_core.networks.fused import affine, can_fuse
from vae_core.scores import reconstruction_errors, row_terms, usable_cores

SEED = 0
VALIDATION = 512
CHUNK = 512
CHUNKS = (512, 2048)  # of the limit: rows that stay in the cache


def standardised(rows: int, columns: int) -> Tensor:
    """Rows with a few directions of large variance, each column of mean 0 and variance 1.

    Returns:
        (N, W): D columns and zeros up to the encoded width, as the product encodes them.
    """
    rng = np.random.default_rng(SEED)
    hidden = rng.standard_normal((rows, min(8, columns)), dtype=np.float32)
    mixed = hidden @ rng.standard_normal((hidden.shape[1], columns), dtype=np.float32)
    mixed += 0.3 * rng.standard_normal(mixed.shape, dtype=np.float32)
    encoded = np.zeros((rows, round_up(columns)), dtype=np.float32)
    encoded[:, :columns] = (mixed - mixed.mean(0)) / mixed.std(0)
    return torch.from_numpy(encoded)


def ours(columns: int, members: int = 1, draws: int = 2, device: str = "cpu") -> Model:
    """PyOD's network in the product: every member in both roles."""
    config = ModelConfig(
        members=members,
        denoisers=0,
        latent_dim=LATENT,
        hidden=HIDDEN,
        activation="relu",
        draws=draws,
    )
    return build_model(Layout(columns, 0, (), ()), config, SEED).to(device).eval()


# training -----------------------------------------------------------------------------------------


def train_ours(rows: Tensor, batch: int, steps: int, members: int = 1) -> Work:
    """`vae_core.train` from a fresh model, its looks at the validation rows included."""
    config = TrainConfig(
        batch_size=batch, max_steps=steps, max_epochs=10**6, patience=10**6, drop=0.0
    )

    def work() -> int:
        model = ours(rows.shape[1], members, device=rows.device.type).train()
        train(model, rows, rows[:VALIDATION], config, seed=SEED)
        return steps * batch

    return work


def train_bare(rows: Tensor, batch: int, steps: int) -> Work:
    """The shortest PyTorch loop for the same network: fused Adam, rows and order on the device."""

    def work() -> int:
        model = Plain(rows.shape[1], dropout=0.0).to(rows.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        order = torch.randperm(len(rows), device=rows.device)
        with single_threaded():
            for step in range(steps):
                start = step * batch % (len(rows) - batch + 1)
                x = rows[order[start : start + batch]]
                optimizer.zero_grad(set_to_none=True)
                loss(x, *model(x)).backward()
                optimizer.step()
        return steps * batch

    return work


def train_pyod_loop(rows: Tensor, batch: int, steps: int) -> Work:
    """What PyOD's `fit` does in an epoch, without PyOD: its loader, its loss, its `.item()`."""
    dataset = PyodDataset(rows[: steps * batch])

    def work() -> int:
        model = Plain(rows.shape[1]).to(rows.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
        losses = []
        for batch_rows in pyod_batches(dataset, batch, shuffle=True):
            x = batch_rows.to(rows.device)
            optimizer.zero_grad()
            one = loss(x, *model(x))
            one.backward()
            optimizer.step()
            losses.append(one.item())
        return len(losses) * batch

    return work


def training_limit(columns: int, batch: int, steps: int, device: str) -> Work:
    """The matrix products of a step alone: one forward, two of the same size backward."""
    encoder, decoder = products(columns)
    run = products_of([*encoder, *decoder] * 3, batch, torch.float32, device)

    def work() -> int:
        with single_threaded():
            for _ in range(steps):
                run()
        return steps * batch

    return work


# scoring ------------------------------------------------------------------------------------------


def score_errors(model: Model, rows: Tensor) -> Work:
    """Reconstruction errors of rows on the CPU."""

    def work() -> int:
        return len(reconstruction_errors(model, rows))

    return work


def score_terms(model: Model, references: References | None, rows: Tensor) -> Work:
    """ELBO and error, column by column, and with references the distances to them."""

    def work() -> int:
        return len(row_terms(model, references, rows).kl)

    return work


def score_bare(rows: Tensor, device: str) -> Work:
    """A loop over large batches with the network alone, one thread a worker."""
    model = Plain(rows.shape[1], dropout=0.0).to(device).eval()

    @torch.inference_mode()
    def one(x: Tensor) -> Tensor:
        x = x.to(device)
        return (model(x)[0] - x).square().sum(1).sqrt().cpu()

    return _spread(lambda x: torch.cat([one(part) for part in x.split(2048)]), rows, device)


def score_pyod_loop(rows: Tensor, device: str, batch: int = 32) -> Work:
    """What PyOD's `decision_function` does, without PyOD."""
    model = Plain(rows.shape[1]).to(device).eval()
    dataset = PyodDataset(rows)

    def work() -> int:
        scores = []
        with torch.no_grad():
            for x in pyod_batches(dataset, batch, shuffle=False):
                out = model(x.to(device))[0].cpu().numpy()
                scores.append(np.sqrt(np.square(x.numpy() - out).sum(1)))
        return len(np.concatenate(scores))

    return work


def score_limit(
    rows: Tensor, dtype: torch.dtype, device: str, decodings: int = 1, members: int = 1
) -> Work:
    """The matrix products of scoring alone, of rows that stay in the cache, one thread a worker."""
    encoder, decoder = products(rows.shape[1])
    shapes = [*encoder, *decoder * decodings] * members
    sizes = CHUNKS if device == "cpu" else (8192,)
    made = {size: products_of(shapes, size, dtype, device) for size in sizes}
    size = min(sizes, key=lambda size: _seconds(made[size]) / size)
    one = made[size]

    def chunks(x: Tensor) -> Tensor:
        for _ in range(0, len(x), size):
            one()
        return x

    return _spread(chunks, rows, device)


def products_of(
    shapes: list[tuple[int, int]], rows: int, dtype: torch.dtype, device: str
) -> Callable[[], None]:
    """Runs the products (rows, a) × (a, b) of each shape, by the faster of torch's libraries."""
    made = [
        tuple(
            torch.zeros(size, dtype=dtype, device=device) for size in ((rows, a), (a, b), (rows, b))
        )
        for a, b in shapes
    ]

    @torch.inference_mode()
    def run() -> None:
        for left, right, out in made:
            torch.mm(left, right, out=out)

    @torch.inference_mode()
    def run_onednn() -> None:
        for left, right, _ in made:
            affine(left, right)

    if device != "cpu" or dtype != torch.float32:
        return run
    with torch.inference_mode():
        if not can_fuse(made[0][0]):
            return run
    return min(run, run_onednn, key=_seconds)


def _seconds(work: Callable[[], None]) -> float:
    """Of one call in one thread, the best of many."""
    with single_threaded():
        return min(timeit.repeat(work, number=1, repeat=50))


def _spread(score: Callable[[Tensor], Tensor], rows: Tensor, device: str) -> Work:
    """`score` over equal parts of the rows, a worker with one torch thread for each contestants."""
    workers = usable_cores() if device == "cpu" else 1

    def part(x: Tensor) -> int:
        with single_threaded():
            return len(score(x))

    def work() -> int:
        before = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(workers) as pool:
                return sum(pool.map(part, rows.chunk(workers)))
        finally:
            torch.set_num_threads(before)

    return work


def references_of(model: Model, rows: Tensor) -> References:
    """As a fit keeps them."""
    return References.of(model, rows[:2048])
