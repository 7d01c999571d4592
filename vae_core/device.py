"""Choice of the device, of the precision in training, of the thread count while scoring."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def choose_device(name: str = "auto") -> torch.device:
    """The device to work on.

    Args:
        name: "auto" (cuda where there is a card, else cpu), "cpu" or "cuda".

    Raises:
        ValueError: "cuda" without a usable card, or another name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device 'cuda' was asked for, but torch sees no CUDA card here; "
            "use device 'auto' or 'cpu', or install a CUDA build of torch"
        )
    if name not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}; known: auto, cpu, cuda")
    return torch.device(name)


def use_bf16(precision: str, device: torch.device, pictures: bool) -> bool:
    """Whether networks train with bf16 products.

    Args:
        precision: "fp32", "bf16", or "auto": where the hardware multiplies bf16 natively, on a
            processor for pictures only; the small steps of tables would gain nothing.
        device: where the training runs.
        pictures: whether rows are pictures.

    Raises:
        ValueError: another name.
    """
    if precision not in ("auto", "bf16", "fp32"):
        raise ValueError(f"unknown precision {precision!r}; known: auto, bf16, fp32")
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # a processor without the instructions computes bf16 by way of fp32, many times slower
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return pictures and native is not None and bool(native())


@contextmanager
def single_threaded() -> Iterator[None]:
    """One torch thread in this Python thread.

    Splitting one matrix product over threads changes its rounding, so scores are computed by one
    thread each; speed comes from several Python threads working on different chunks.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
