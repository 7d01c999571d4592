"""What a chunk of scoring is made of, piece by piece, on one thread. Torch only."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.speed import contestants
from benchmarks.speed.network import HIDDEN, LATENT, products
from vae_core.bending import bend
from vae_core.device import single_threaded
from vae_core.neighbours import MOST_CODES, WIDE, Neighbours
from vae_core.rows import MOST_ROWS, Rows

CHUNK = contestants.CHUNK


@torch.inference_mode()
def run(rows: Tensor, repetitions: int) -> dict[str, float]:
    """Microseconds of a chunk of 512 rows, the best of many: what else runs only adds to it.

    Args:
        rows: (N, D) on the CPU.
        repetitions: of each piece.
    """
    x = rows[:CHUNK]
    encoder, decoder = products(rows.shape[1])
    multiply = contestants.products_of([*encoder, *decoder], CHUNK, torch.float32, "cpu")
    hidden = torch.randn(CHUNK, 2 * sum(HIDDEN))
    generator = torch.Generator().manual_seed(contestants.SEED)
    points = torch.randn(1, MOST_CODES, LATENT, generator=generator)
    codes = Neighbours.of(points)
    model = contestants.ours(rows.shape[1])
    near = Rows.of(rows[:MOST_ROWS], model.likelihood.layout)
    mu = torch.randn(1, CHUNK, LATENT, generator=generator)
    pieces: dict[str, Callable[[], object]] = {
        "products, there and back": multiply,
        "SiLU of all hidden values": lambda: torch.nn.functional.silu(hidden),
        "ReLU of them, for comparison": lambda: torch.relu(hidden),
        "large cells bent by asinh": lambda: bend(x, x.shape[-1]),
        "torch.asinh of them, for comparison": lambda: torch.asinh(x),
        "distance to the codes": lambda: codes.distance(mu),
        "distance to the rows": lambda: near.distance(x),
        "one long search for the codes, for comparison": lambda: torch.cdist(mu, points).topk(
            WIDE, largest=False
        ),
        "encoder": lambda: model.encode(x[None]),
        "a decoding": lambda: model.decode(mu[:, None]),
    }
    with single_threaded():
        return {name: 1e6 * _best(piece, repetitions) for name, piece in pieces.items()}


def _best(work: Callable[[], object], repetitions: int) -> float:
    best = float("inf")
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best
