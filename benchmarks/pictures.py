"""The critical-difference picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")
from matplotlib.figure import Figure

ROW = 0.28  # inches


def groups(ranks: pd.Series, difference: float) -> list[tuple[float, float]]:
    """First and last mean rank of each largest run of methods within the critical difference."""
    ordered = sorted(ranks)
    found: list[tuple[float, float]] = []
    for start in ordered:
        end = max(r for r in ordered if r <= start + difference)
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return found


def critical_difference_picture(
    path: Path, ranks: pd.Series, difference: float, ours: str, title: str
) -> None:
    """Mean ranks on a line, best on the left; a bar joins methods that the Nemenyi test does not
    tell apart (Demšar 2006, figure 1a).

    Args:
        ranks: (methods,) mean ranks.
        difference: critical difference of two mean ranks.
        ours: method printed in bold.
    """
    ranks = ranks.sort_values()
    bars = groups(ranks, difference)
    half = -(-len(ranks) // 2)
    top = 0.35 + 0.16 * len(bars)  # below the axis: the bars, then the labels
    height = 1.05 + top + ROW * half
    figure = Figure(figsize=(8.5, height), dpi=130)
    axes = figure.add_axes((0, 0, 1, 1))
    low, high = 1, len(ranks)
    span = high - low
    axes.set_xlim(low - 0.32 * span, high + 0.32 * span)
    axes.set_ylim(height - 0.85, -0.85)  # inches below the axis line
    axes.axis("off")

    axes.plot([low, high], [0, 0], color="black", lw=1)
    for rank in range(low, high + 1):
        axes.plot([rank, rank], [-0.06, 0], color="black", lw=1)
        axes.text(rank, -0.1, str(rank), ha="center", va="bottom", fontsize=9)
    axes.text(low - 0.3 * span, -0.68, title, ha="left", va="center", fontsize=10)
    axes.plot([high - difference, high], [-0.45, -0.45], color="black", lw=2)
    axes.text(
        high + 0.02 * span, -0.45, f"critical difference {difference:.2f}", va="center", fontsize=8
    )

    for i, (start, end) in enumerate(bars):
        y = 0.18 + 0.16 * i
        axes.plot([start - 0.04, end + 0.04], [y, y], color="black", lw=3.5, solid_capstyle="butt")

    for i, (name, rank) in enumerate(ranks.items()):
        left = i < half
        row = i if left else len(ranks) - 1 - i
        y = top + ROW * (row + 0.5)
        edge = low - 0.04 * span if left else high + 0.04 * span
        axes.plot([rank, rank, edge], [0, y, y], color="0.45", lw=0.8)
        text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        axes.text(
            edge + (-1 if left else 1) * 0.01 * span,
            y,
            text,
            ha="right" if left else "left",
            va="center",
            fontsize=9,
            fontweight="bold" if name == ours else "normal",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
