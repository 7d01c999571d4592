"""What compression costs: bits against loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.canvas import LINE, MUTED, NORMAL, canvas, describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vae_core.operations import Compressed


def rate_distortion(parts: Sequence[Compressed], raw_bits: float | None = None) -> Figure:
    """Mean distortion over mean bits of a row, one point for each step of the quantiser.

    Args:
        parts: of the same rows, by different steps.
        raw_bits: of a row as it is, where that is known: written in the title.
    """
    ordered = sorted(parts, key=lambda part: part.step)
    bits = [float(part.bits.mean()) for part in ordered]
    loss = [float(part.distortion.mean()) for part in ordered]
    figure, axes = canvas(1, 1, 6, 4)
    axes.plot(bits, loss, "o-", color=NORMAL, markersize=4, label="quantised codes")
    for part, x, y in zip(ordered, bits, loss, strict=True):
        axes.annotate(f" step {part.step:g}", (x, y), fontsize=7, color=LINE, va="bottom")
    rate = float(np.mean(ordered[0].rate))
    if np.isfinite(rate):
        axes.axvline(rate, color=MUTED, linestyle=":", linewidth=1, label=f"KL: {rate:.1f} bits")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    title = "Rate and distortion" + (f"; a row as it is: {raw_bits:,.0f} bits" if raw_bits else "")
    describe(axes, title, "bits per row", "squared error, scaled units")
    axes.legend(frameon=False, loc="upper right")
    return figure
