"""Part `core`: the core alone, on whatever device there is. Torch only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.speed import card, clock, contestants, pieces
from benchmarks.speed.clock import Work
from benchmarks.speed.size import Size
from vae_core.device import choose_device

COLUMNS = 32
BATCHES = (32, 1024, 8192)
ENSEMBLE, ENSEMBLE_BATCH = 8, 128


def run(size: Size, device: str = "auto") -> dict[str, Any]:
    """Training and scoring against loops written out and against matrix products."""
    chosen = choose_device(device).type
    rows = contestants.standardised(size.rows, COLUMNS)
    out: dict[str, Any] = {
        "rows": size.rows,
        "columns": COLUMNS,
        "training": training(rows.to(chosen), size),
        "scoring": scoring(rows, chosen, size),
        "ensemble": ensemble(rows.to(chosen), chosen, size),
    }
    if chosen == "cpu":
        out["pieces"] = pieces.run(rows, 3 if size.quick else 300)
    if chosen == "cuda":
        out["card"] = card.measure(rows.to(chosen))
    return out


def steps_of(batch: int, size: Size) -> int:
    """As many as an epoch of the slow contestants' rows."""
    return max(2, size.slow_rows // batch)


def training(rows: Tensor, size: Size) -> dict[str, Any]:
    """Rows a second by batch and contestant."""
    out = {}
    for batch in (b for b in BATCHES if b <= len(rows)):
        steps = steps_of(batch, size)
        works = {
            "ours": contestants.train_ours(rows, batch, steps),
            "bare loop": contestants.train_bare(rows, batch, steps),
            "PyOD's loop": contestants.train_pyod_loop(rows, batch, steps),
            "limit fp32": contestants.training_limit(rows.shape[1], batch, steps, rows.device.type),
        }
        out[str(batch)] = clock.interleaved(works, size.repetitions)
    return out


def scorings(rows: Tensor, device: str) -> dict[str, Work]:
    """Contestants of scoring that take large tables; limits by the passes they count."""
    model = contestants.ours(rows.shape[1], draws=2, device=device)
    single = contestants.ours(rows.shape[1], draws=1, device=device)
    references = contestants.references_of(model, rows)
    works = {
        "ours, error": contestants.score_errors(model, rows),
        "ours, ELBO at the mean and error": contestants.score_terms(single, None, rows),
        "ours, ELBO of 2 draws and error": contestants.score_terms(model, None, rows),
        "ours, all scores": contestants.score_terms(model, references, rows),
        "bare loop": contestants.score_bare(rows, device),
        "limit fp32": contestants.score_limit(rows, torch.float32, device),
        "limit fp32, 2 decodings": contestants.score_limit(rows, torch.float32, device, 2),
        "limit fp32, 3 decodings": contestants.score_limit(rows, torch.float32, device, 3),
    }
    if fast_bf16(device):
        works["limit bf16"] = contestants.score_limit(rows, torch.bfloat16, device)
    return works


def fast_bf16(device: str) -> bool:
    """Whether the hardware multiplies bf16 itself; by way of fp32 it is many times slower."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return native is not None and bool(native())


def scoring(rows: Tensor, device: str, size: Size) -> dict[str, Any]:
    works = scorings(rows, device)
    works["PyOD's loop"] = contestants.score_pyod_loop(rows[: size.slow_rows], device)
    return clock.interleaved(works, size.repetitions)


def ensemble(rows: Tensor, device: str, size: Size) -> dict[str, Any]:
    """Training of 8 members against 1, rows a second that each member sees."""
    steps = steps_of(ENSEMBLE_BATCH, size)
    works = {
        str(members): contestants.train_ours(rows, ENSEMBLE_BATCH, steps, members)
        for members in (1, ENSEMBLE)
    }
    return clock.interleaved(works, size.repetitions)
