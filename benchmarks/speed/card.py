"""What a graphics card could do, and how many kernels a step launches. Torch only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed import contestants
from benchmarks.speed.network import flops

STEPS = 20


def measure(rows: Tensor) -> dict[str, Any]:
    """Peak rates of the card, scoring of rows that lie on it, and launches a training step.

    Args:
        rows: (N, D) on the card.
    """
    model = contestants.ours(rows.shape[1], draws=1, device="cuda")

    @torch.inference_mode()
    def score() -> None:
        for chunk in rows.split(1 << 18):
            decoded = model.decode(model.encode(chunk[None]).mu[:, None], chunk[None])
            model.likelihood.squared_error(decoded, chunk[None, None]).sum(-1)

    seconds = _seconds(score)
    rate = len(rows) / seconds
    bytes_moved = 2 * rows.element_size() * rows.numel()
    return {
        "rows_per_second_on_card": rate,
        "bandwidth_bytes_per_second": _bandwidth(),
        "fp32_flops_per_second": _products(torch.float32),
        "bf16_flops_per_second": _products(torch.bfloat16),
        "flops_per_second": rate * flops(rows.shape[1]),
        "least_bytes_per_second": bytes_moved / seconds,
        "launches_per_step": _launches(rows),
    }


def _seconds(work: Callable[[], object], repetitions: int = 10) -> float:
    work()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repetitions):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / repetitions


def _bandwidth() -> float:
    source = torch.empty(1 << 28, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source))


def _products(dtype: torch.dtype, width: int = 8192) -> float:
    a = torch.randn(width, width, device="cuda").to(dtype)
    return 2 * width**3 / _seconds(lambda: torch.mm(a, a))


def _launches(rows: Tensor) -> float:
    train = contestants.train_ours(rows, 1024, STEPS)
    train()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        train()
    kernels = sum(e.count for e in profile.key_averages() if e.self_device_time_total > 0)
    return kernels / STEPS
